//! What changes in a message's header on its way through (RFC 9110 section 7.6.1).
//!
//! Fields that belong to one connection are taken out in both directions, and the upstream is told of the client's address
//! and of us. Nothing else is touched: names, values, order and duplicates stay as they are. What the client itself says of
//! the way it came was judged before (`claims`).

use std::net::IpAddr;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, HOST, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::client::claims::{self, X_FORWARDED_PROTO};
use crate::fields::{accepts_event_stream, tokens};
use crate::proxy::via;

/// What the header of a request needs to know of its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    /// The address of the client's connection; none when the request is made for several.
    pub(crate) peer: Option<IpAddr>,
    /// What the client speaks.
    pub(crate) from: Version,
    /// Whether the upstream does.
    pub(crate) to_http2: bool,
}

/// Makes a client's header one for the upstream. `Host` is set already.
pub(crate) fn to_upstream(headers: &mut HeaderMap, client_host: Option<&HeaderValue>, hop: Hop) {
    let trailers = wants_trailers(headers);
    remove_hop_by_hop(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        if !hop.to_http2 {
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
    }
    if hop.from == Version::HTTP_2 && !hop.to_http2 {
        join_cookies(headers);
    }
    if accepts_event_stream(headers) {
        // The stages read the stream, so it must not come compressed.
        headers.remove(ACCEPT_ENCODING);
    }
    add_forwarded(headers, client_host, hop.peer);
    via::add(headers, hop.from);
}

/// Makes an upstream's header one for the client.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    settle_length(headers);
    remove_named(headers);
    remove_hop_by_hop(headers);
}

/// Takes out what the other end says belongs to its connection. Of a request this is done before anything else is: what is put in
/// later, such as who a client is by its token, is not for that client to take away.
pub(crate) fn remove_named(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        // Without these a message means something else; no honest sender names them.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        // What was judged is not for the client to take away, nor to make us forget where it came from.
        .filter(|name| *name != VIA && !claims::is_claim(name))
        // These are looked at until the message goes on.
        .filter(|name| ![TE, TRANSFER_ENCODING, UPGRADE, EXPECT].contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Leaves one length, said once, or none where the body did not go by it (RFC 9112, section 6.3).
fn settle_length(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
        return;
    }
    let lengths: Vec<_> = tokens(headers, &CONTENT_LENGTH).collect();
    if let [first, _, ..] = lengths[..] {
        // All are the same: others were refused.
        if let Ok(first) = HeaderValue::from_bytes(first) {
            headers.insert(CONTENT_LENGTH, first);
        }
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [
        &CONNECTION,
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
        &TE,
        &TRANSFER_ENCODING,
        &UPGRADE,
    ] {
        headers.remove(name);
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

fn wants_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &TE).any(|token| {
        let coding = token.split(|&byte| byte == b';').next().unwrap_or(token);
        coding.trim_ascii().eq_ignore_ascii_case(b"trailers")
    })
}

/// HTTP/2 may split a cookie, HTTP/1.1 may not (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    join(headers, &COOKIE, b"; ");
}

fn add_forwarded(headers: &mut HeaderMap, client_host: Option<&HeaderValue>, peer: Option<IpAddr>) {
    if let Some(peer) = peer {
        claims::add_peer(headers, peer);
    }
    if let Entry::Vacant(vacant) = headers.entry(X_FORWARDED_PROTO) {
        vacant.insert(HeaderValue::from_static("http"));
    }
    if let Some(host) = client_host {
        if let Entry::Vacant(vacant) = headers.entry(X_FORWARDED_HOST) {
            vacant.insert(host.clone());
        }
    }
}

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Makes several lines of a field one.
fn join(headers: &mut HeaderMap, name: &HeaderName, separator: &[u8]) {
    let mut values = headers.get_all(name).iter();
    let (Some(first), Some(second)) = (values.next(), values.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for value in std::iter::once(second).chain(values) {
        joined.extend_from_slice(separator);
        joined.extend_from_slice(value.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

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

    fn lines(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect()
    }

    const HOP: Hop = Hop {
        peer: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))),
        from: Version::HTTP_11,
        to_http2: false,
    };

    fn ours() -> &'static str {
        via::ours(Version::HTTP_11)
    }

    #[test]
    fn what_belongs_to_the_connection_stays_there() {
        let mut headers = map(&[
            ("x-a", "1"),
            ("connection", "close, X-Private ,, keep-alive"),
            ("connection", "x-other"),
            ("x-private", "p"),
            ("x-other", "o"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("trailer", "x-sum"),
            ("x-a", "2"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ]);
        to_client(&mut headers);
        assert_eq!(
            lines(&headers),
            [
                ("x-a", "1"),
                ("x-a", "2"),
                ("trailer", "x-sum"),
                ("set-cookie", "a"),
                ("set-cookie", "b"),
            ]
        );
    }

    #[test]
    fn a_client_cannot_take_host_or_length_away() {
        let mut headers = map(&[
            ("host", "a"),
            ("content-length", "5"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "203.0.113.1"),
            ("via", "1.1 edge"),
            (
                "connection",
                "host, content-length, x-forwarded-for, x-forwarded-proto, x-real-ip, via",
            ),
        ]);
        remove_named(&mut headers);
        to_upstream(&mut headers, None, HOP);
        assert_eq!(headers["host"], "a");
        assert_eq!(headers["content-length"], "5");
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-real-ip"], "203.0.113.1");
        assert_eq!(headers["via"], format!("1.1 edge, {}", ours()));
    }

    #[test]
    fn the_client_is_told_to_the_upstream() {
        let host = HeaderValue::from_static("shop.example:81");
        let mut headers = map(&[
            ("x-forwarded-for", "203.0.113.1"),
            ("x-forwarded-for", "203.0.113.2"),
        ]);
        to_upstream(&mut headers, Some(&host), HOP);
        assert_eq!(
            lines(&headers),
            [
                ("x-forwarded-for", "203.0.113.1, 203.0.113.2, 192.0.2.7"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "shop.example:81"),
                ("via", ours()),
            ]
        );
        let mut headers = map(&[("x-forwarded-proto", "https"), ("x-forwarded-host", "edge")]);
        to_upstream(&mut headers, Some(&host), HOP);
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "edge");
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_listener_is_told_as_ipv4() {
        let mut headers = HeaderMap::new();
        let peer = Some(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().into());
        to_upstream(&mut headers, None, Hop { peer, ..HOP });
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
    }

    #[test]
    fn a_request_for_several_clients_names_none() {
        let mut headers = HeaderMap::new();
        to_upstream(&mut headers, None, Hop { peer: None, ..HOP });
        assert_eq!(
            lines(&headers),
            [("x-forwarded-proto", "http"), ("via", ours())]
        );
    }

    #[test]
    fn the_protocol_that_the_client_spoke_is_told() {
        for from in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let mut headers = HeaderMap::new();
            to_upstream(&mut headers, None, Hop { from, ..HOP });
            assert_eq!(headers["via"], via::ours(from));
        }
        let mut headers = map(&[("via", "1.0 fred"), ("via", "2.0 edge (x, y)")]);
        to_upstream(&mut headers, None, HOP);
        assert_eq!(
            headers["via"],
            format!("1.0 fred, 2.0 edge (x, y), {}", ours())
        );
    }

    #[test]
    fn trailers_are_asked_for_hop_by_hop() {
        let mut headers = map(&[("te", "gzip, Trailers;q=0.5"), ("connection", "te")]);
        to_upstream(&mut headers, None, HOP);
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["connection"], "te");
        let mut headers = map(&[("te", "trailers")]);
        let hop = Hop {
            to_http2: true,
            ..HOP
        };
        to_upstream(&mut headers, None, hop);
        assert_eq!(headers["te"], "trailers");
        assert!(!headers.contains_key(CONNECTION));
    }

    #[test]
    fn event_streams_are_not_asked_for_compressed() {
        for (accept, kept) in [
            ("text/event-stream", false),
            ("text/html, Text/Event-Stream ;q=0.5", false),
            ("text/event-stream-like", true),
            ("*/*", true),
        ] {
            let mut headers = map(&[("accept", accept), ("accept-encoding", "gzip, br")]);
            to_upstream(&mut headers, None, HOP);
            assert_eq!(headers.contains_key(ACCEPT_ENCODING), kept, "{accept}");
        }
    }

    #[test]
    fn cookies_split_by_http2_are_one_line_again() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2")]);
        let hop = Hop {
            from: Version::HTTP_2,
            ..HOP
        };
        to_upstream(&mut headers, None, hop);
        assert_eq!(headers["cookie"], "a=1; b=2");
        assert_eq!(headers.get_all(COOKIE).iter().count(), 1);
    }
}
