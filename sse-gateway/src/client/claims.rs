//! What a request says of the way it came: by which address, host and protocol.
//!
//! Anybody can write these fields. They are believed from listed proxies alone; what a stranger says is taken out
//! before anything looks at it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header, request};

use crate::client::address::ClientAddress;
use crate::client::ip_text::IpText;
use crate::config::trusted_proxies::TrustedProxies;
use crate::fields::remove_all;
use crate::listener::Connection;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Leaves only what is believable, and notes where the request came from. Of `own_fields` nobody else says anything.
pub(crate) fn judge(
    parts: &mut request::Parts,
    trusted: &TrustedProxies,
    own_fields: &[HeaderName],
) {
    if !own_fields.is_empty() {
        remove_all(&mut parts.headers, own_fields.iter());
    }
    let connection = parts.extensions.remove();
    let Some(Connection {
        peer,
        is_tls,
        identity,
    }) = connection
    else {
        remove(&mut parts.headers);
        return;
    };
    let peer = peer.map(canonical);
    let hop = peer.map(|peer| peer.ip());
    let mut client = hop;
    if trusted.contain_peer(hop) {
        client = real_client(&parts.headers, hop, trusted);
    } else {
        remove(&mut parts.headers);
    }
    for (name, value) in identity.iter().flat_map(|fields| fields.iter()) {
        parts.headers.insert(name, value.clone());
    }
    // Here, where all requests come by: those that a relay makes for several clients have no connection.
    if is_tls && !parts.headers.contains_key(X_FORWARDED_PROTO) {
        let https = HeaderValue::from_static("https");
        parts.headers.insert(X_FORWARDED_PROTO, https);
    }
    if let Some(client) = client {
        parts.extensions.insert(ClientAddress { peer, client });
    }
}

/// Not an IPv4 address in IPv6 clothes.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Whether a field is one of these. `_` counts as `-`: servers after the manner of CGI give both the same name.
pub(crate) fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    if name.contains('_') {
        return is_claim_of(&name.replace('_', "-"));
    }
    is_claim_of(name)
}

fn is_claim_of(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        || NAMES.contains(&name)
}

const PREFIXES: [&str; 2] = ["x-forwarded", "x-original-"];
const SUFFIXES: [&str; 7] = [
    "client-ip",
    "clientip",
    "connecting-ip",
    "connecting-ipv6",
    "forwarded-for",
    "forwarded-host",
    "forwarded-proto",
];
const NAMES: [&str; 20] = [
    "forwarded",
    "cf-pseudo-ipv4",
    "cloudfront-viewer-address",
    "fastly-ssl",
    "front-end-https",
    "remote-addr",
    "x-appengine-user-ip",
    "x-azure-socketip",
    "x-envoy-external-address",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-host",
    "x-http-host-override",
    "x-proto",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
    "x-scheme",
];

fn remove(headers: &mut HeaderMap) {
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Leaves of trailers what may stand there (RFC 9110 section 6.5.1), and nothing that is said in a header by others: some servers make one
/// of both. Nobody in front writes trailers, so nobody is believed.
pub(crate) fn judge_trailers(trailers: &mut HeaderMap, own_fields: &[HeaderName]) {
    remove(trailers);
    remove_all(trailers, own_fields.iter().chain(&NOT_IN_TRAILERS));
}

const NOT_IN_TRAILERS: [HeaderName; 10] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::COOKIE,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Adds the peer of the connection to what the proxies in front of it have told.
pub(crate) fn add_peer(headers: &mut HeaderMap, peer: IpAddr) {
    let peer = peer.to_canonical();
    append(headers, &X_FORWARDED_FOR, IpText::of(peer).as_bytes());
    // It is not begun where nobody uses it: few servers read it, and two stories are one too many.
    if headers.contains_key(header::FORWARDED) {
        let node = match peer {
            IpAddr::V4(peer) => format!("for={peer}"),
            IpAddr::V6(peer) => format!("for=\"[{peer}]\""),
        };
        append(headers, &header::FORWARDED, node.as_bytes());
    }
}

/// Adds an item to a list, on one line: many servers read the first line alone.
pub(crate) fn append(headers: &mut HeaderMap, name: &HeaderName, item: &[u8]) {
    let mut list = Vec::new();
    for line in headers.get_all(name) {
        let line = line.as_bytes().trim_ascii();
        if !line.is_empty() {
            list.extend_from_slice(line);
            list.extend_from_slice(b", ");
        }
    }
    let value = match list.is_empty() {
        true => HeaderValue::from_bytes(item),
        false => HeaderValue::from_bytes(&[&list, item].concat()),
    };
    if let Ok(value) = value {
        headers.insert(name, value);
    }
}

/// From right to left: each trusted address has written what stands to the left of its own. What cannot be read as
/// an address ends the walk at the proxy that wrote it.
fn real_client(
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    trusted: &TrustedProxies,
) -> Option<IpAddr> {
    let mut client = peer;
    let mut walk = |entry: Option<IpAddr>| match entry {
        Some(address) if trusted.contain_peer(client) => {
            client = Some(address);
            true
        }
        _ => false,
    };
    if headers.contains_key(X_FORWARDED_FOR) {
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let entries = entries.map(<[u8]>::trim_ascii);
        let _ = entries
            .filter(|entry| !entry.is_empty())
            .all(|entry| walk(address(entry)));
    } else {
        let lines = headers.get_all(header::FORWARDED).iter().rev();
        let elements = lines.flat_map(|line| rsplit(line.as_bytes(), b','));
        let _ = elements
            .filter(|element| !element.is_empty())
            .all(|element| walk(forwarded_for(element)));
    }
    client
}

/// The address of an entry, with or without port, quotes and brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let entry = match entry.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?.trim(),
        None => entry,
    };
    let bare = match entry.strip_prefix('[') {
        Some(rest) => {
            let (inside, behind) = rest.split_once(']')?;
            if !behind.is_empty() && !behind.strip_prefix(':').is_some_and(is_port) {
                return None;
            }
            let address = inside.parse().ok();
            return address
                .filter(IpAddr::is_ipv6)
                .map(|address| address.to_canonical());
        }
        None => match entry.split_once(':') {
            Some((address, port)) if is_port(port) && address.contains('.') => address,
            _ => entry,
        },
    };
    bare.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The address of an element of `Forwarded` (RFC 7239 section 4).
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut values = rsplit(element, b';').filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..equals].trim_ascii(), &pair[equals + 1..]);
        name.eq_ignore_ascii_case(b"for").then_some(value)
    });
    address(values.next()?.trim_ascii())
}

/// Splits outside of quotes, from the right: a quote that a stranger left open does not hide what a proxy added.
fn rsplit(text: &[u8], at: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    text.rsplit(move |byte| {
        quoted ^= *byte == b'"';
        !quoted && *byte == at
    })
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a name");
                (name, HeaderValue::from_str(value).expect("a value"))
            })
            .collect()
    }

    fn client(lines: &[(&str, &str)]) -> String {
        let trusted = TrustedProxies::parse("10.0.0.0/8,2001:db8::/32").expect("a list");
        let peer = "10.0.0.1".parse().expect("an address");
        let client = real_client(&map(lines), Some(peer), &trusted);
        client.expect("a client").to_string()
    }

    #[test]
    fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
        for (lines, expected) in [
            (&["203.0.113.9"][..], "203.0.113.9"),
            (&["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            (&["6.6.6.6", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (&["6.6.6.6, 203.0.113.9", "10.0.0.2"], "203.0.113.9"),
            (&["203.0.113.9,, 10.0.0.2 ,"], "203.0.113.9"),
            (&["10.9.9.9, 10.0.0.2"], "10.9.9.9"),
            (&["203.0.113.9, 2001:db8::5"], "203.0.113.9"),
            (&["203.0.113.9, ::ffff:10.0.0.3"], "203.0.113.9"),
            (&["::ffff:203.0.113.9"], "203.0.113.9"),
            (&["2001:DB9::1"], "2001:db9::1"),
            (&["203.0.113.9:4711"], "203.0.113.9"),
            (&["[2001:db9::1]:4711"], "2001:db9::1"),
            (&["[2001:db9::1]"], "2001:db9::1"),
            (&["\"[2001:db9::1]\""], "2001:db9::1"),
            (&[""], "10.0.0.1"),
            (&[" , ,"], "10.0.0.1"),
        ] {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| ("x-forwarded-for", *line))
                .collect();
            assert_eq!(client(&lines), expected, "{lines:?}");
        }
        assert_eq!(client(&[]), "10.0.0.1");
    }

    #[test]
    fn what_is_no_address_ends_the_walk_at_who_wrote_it() {
        for garbage in [
            "unknown",
            "_hidden",
            "-",
            "203.0.113.256",
            "203.0.113.9:port",
            "203.0.113.9:999999",
            "[203.0.113.9]",
            "[2001:db9::1",
            "[2001:db9::1]x",
            "fe80::1%eth0",
            "\"203.0.113.9",
            "203.0.113.9 5",
            "\t\"",
            "1",
        ] {
            let line = format!("203.0.113.9, {garbage}, 10.0.0.2");
            assert_eq!(client(&[("x-forwarded-for", &line)]), "10.0.0.2", "{line}");
            let line = format!("for=203.0.113.9, for={garbage}, for=10.0.0.2");
            assert_eq!(client(&[("forwarded", &line)]), "10.0.0.2", "{line}");
        }
        let mut headers = HeaderMap::new();
        let bytes = HeaderValue::from_bytes(b"203.0.113.9, \xff\xfe").expect("a value");
        headers.insert(X_FORWARDED_FOR, bytes);
        let trusted = TrustedProxies::parse("10.0.0.1").expect("a list");
        let peer = Some("10.0.0.1".parse().expect("an address"));
        assert_eq!(real_client(&headers, peer, &trusted), peer);
    }

    #[test]
    fn forwarded_is_read_where_there_is_nothing_else() {
        for (line, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            (
                "For=\"203.0.113.9:80\";proto=https;by=10.0.0.1",
                "203.0.113.9",
            ),
            ("proto=http; FOR = \"[2001:db9::1]:80\"", "2001:db9::1"),
            ("for=6.6.6.6, for=203.0.113.9, for=10.0.0.2", "203.0.113.9"),
            ("for=203.0.113.9;x=\"a,for=6.6.6.6\"", "203.0.113.9"),
            ("proto=https", "10.0.0.1"),
            ("for=203.0.113.9, proto=https", "10.0.0.1"),
            ("for", "10.0.0.1"),
            ("\"", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("forwarded", line)]), expected, "{line}");
        }
        let both = [("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "7.7.7.7")];
        assert_eq!(client(&both), "7.7.7.7");
    }

    #[test]
    fn a_long_list_is_read_from_its_end() {
        let list = "10.0.0.2,".repeat(7_000);
        assert_eq!(
            client(&[("x-forwarded-for", &format!("203.0.113.9,{list}"))]),
            "203.0.113.9"
        );
        let list = "\"".repeat(60_000);
        assert_eq!(client(&[("forwarded", &list)]), "10.0.0.1");
    }

    #[test]
    fn claims_are_known_by_their_names() {
        for name in [
            "Forwarded",
            "X-Forwarded",
            "X-Forwarded-For",
            "X_Forwarded_For",
            "X-Forwarded_Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X-Forwarded-Server",
            "X-Forwarded-User",
            "X-Real-IP",
            "X_REAL_IP",
            "X-Client-IP",
            "Client-IP",
            "X-Cluster-Client-IP",
            "True-Client-IP",
            "CF-Connecting-IP",
            "CF-Connecting-IPv6",
            "Fastly-Client-IP",
            "X-Azure-ClientIP",
            "X-Original-URL",
            "X-Original-Host",
            "X-Original-For",
            "X-Rewrite-URL",
            "CloudFront-Forwarded-Proto",
        ] {
            assert!(is_claim(&name.parse().expect("a name")), "{name}");
        }
        for name in [
            "Host",
            "Via",
            "Authorization",
            "Cookie",
            "User-Agent",
            "Referer",
            "Origin",
            "X-Requested-With",
            "X-Request-Id",
            "Idempotency-Key",
            "Last-Event-ID",
            "X_Custom",
        ] {
            assert!(!is_claim(&name.parse().expect("a name")), "{name}");
        }
    }

    #[test]
    fn a_peer_is_added_to_what_was_told() {
        let peer = "::ffff:192.0.2.7".parse().expect("an address");
        let mut headers = map(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", " ")]);
        add_peer(&mut headers, peer);
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 192.0.2.7");
        assert!(!headers.contains_key("forwarded"));

        let mut headers = map(&[("forwarded", "for=1.1.1.1")]);
        add_peer(&mut headers, "2001:db8::1".parse().expect("an address"));
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
        assert_eq!(headers["forwarded"], "for=1.1.1.1, for=\"[2001:db8::1]\"");
    }
}
