//! Who may call the admin listener: not the pages of other sites, which a browser inside of the network would carry in.
//!
//! A page sends requests to any address, and by a name that it lets point to ours (DNS rebinding) it reads the answers
//! too. Browsers say which page asks and by which name; programs have no reason to.

use http::header::{HOST, HeaderName, ORIGIN};
use http::{HeaderMap, Request, StatusCode, Version};

use crate::config::host::{Authority, Host, is_name};

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// One line.
    pub(crate) why: String,
}

/// Whether a request comes from a program, or from a page of this very address.
///
/// # Errors
///
/// When its host is a name that is not among `names`, or when a page of another site sent it.
pub(crate) fn check<B>(request: &Request<B>, names: &[String]) -> Result<(), Refusal> {
    let own = own_host(request, names)?;
    from_own_page(request.headers(), own.as_ref())
}

/// Whether a request comes from a program, or from a page of the host that it asks for.
///
/// # Errors
///
/// When a page of another site sent it.
#[cfg(feature = "demo")]
pub(crate) fn check_page<B>(request: &Request<B>) -> Result<(), Refusal> {
    let own = match request.uri().authority() {
        Some(authority) => Authority::parse(authority.as_str()),
        None => {
            let host = request.headers().get(HOST);
            host.and_then(|host| Authority::parse(host.to_str().ok()?))
        }
    };
    from_own_page(request.headers(), own.as_ref())
}

/// The host that was asked for. Only an HTTP/1.0 client, which is no browser, may leave it out.
fn own_host<B>(request: &Request<B>, names: &[String]) -> Result<Option<Authority>, Refusal> {
    let mut fields = request.headers().get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(invalid("There is more than one Host; send one.\n"));
    }
    let field = field.map(|value| value.to_str().unwrap_or_default());
    let target = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let mut own = None;
    // The target's wins (RFC 9112 section 3.2.2), but who sends another name beside it is up to something.
    for host in [field, target].into_iter().flatten() {
        own = match Authority::parse(host) {
            Some(authority) if is_trusted(&authority, names) => Some(authority),
            found => return Err(foreign(host, found)),
        };
    }
    if own.is_none() && request.version() != Version::HTTP_10 {
        return Err(invalid(
            "There is no Host; send the one that is asked for.\n",
        ));
    }
    Ok(own)
}

fn invalid(why: &str) -> Refusal {
    Refusal {
        status: StatusCode::BAD_REQUEST,
        why: why.to_owned(),
    }
}

fn forbidden(why: String) -> Refusal {
    Refusal {
        status: StatusCode::FORBIDDEN,
        why,
    }
}

fn foreign(host: &str, found: Option<Authority>) -> Refusal {
    let name = match found {
        Some(Authority {
            host: Host::Name(name),
            ..
        }) if is_name(&name) => name,
        _ => "NAME".to_owned(),
    };
    forbidden(format!(
        "The host {} is not known here: ask for an IP address or localhost, or start the gateway with --admin-hosts {name}\n",
        shown(host)
    ))
}

fn from_own_page(headers: &HeaderMap, own: Option<&Authority>) -> Result<(), Refusal> {
    const RIGHT: &str = "only a program such as curl, or a page of this address, may do that\n";
    for origin in headers.get_all(ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        if !own.is_some_and(|own| has_page(own, origin)) {
            return Err(forbidden(format!(
                "The request was sent by a page of another site, {}: {RIGHT}",
                shown(origin)
            )));
        }
    }
    for site in headers.get_all(SEC_FETCH_SITE) {
        if site != "same-origin" && site != "none" {
            return Err(forbidden(format!(
                "The request was sent by a page of another site: {RIGHT}"
            )));
        }
    }
    Ok(())
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

fn shown(text: &str) -> String {
    let short: String = text.chars().take(100).collect();
    format!("{short:?}")
}

/// Nobody else can let an address, or `localhost`, point to us.
fn is_trusted(authority: &Authority, names: &[String]) -> bool {
    match &authority.host {
        Host::Address(_) => true,
        Host::Name(name) => name == "localhost" || names.contains(name),
    }
}

/// Whether a page with this origin came from here. A port that goes without saying is left out by some.
fn has_page(own: &Authority, origin: &str) -> bool {
    let (rest, usual) = match (
        origin.strip_prefix("http://"),
        origin.strip_prefix("https://"),
    ) {
        (Some(rest), _) => (rest, 80),
        (_, Some(rest)) => (rest, 443),
        _ => return false,
    };
    Authority::parse(rest).is_some_and(|page| {
        page.host == own.host && page.port.unwrap_or(usual) == own.port.unwrap_or(usual)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_with(version: Version, uri: &str, fields: &[(&str, &str)]) -> Result<(), StatusCode> {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        let names = ["gateway.svc".to_owned()];
        check(&request, &names).map_err(|refusal| refusal.status)
    }

    #[test]
    fn a_host_is_an_address_localhost_or_a_name_that_was_listed() {
        for (host, is_right) in [
            ("127.0.0.1", true),
            ("127.0.0.1:9078", true),
            ("10.1.2.3:", true),
            ("127.0.0.1.:9078", true),
            ("[::1]:9078", true),
            ("[FE80::1%25eth0]", true),
            ("localhost:9078", true),
            ("LocalHost.", true),
            ("gateway.svc:9078", true),
            ("GATEWAY.SVC.:9078", true),
            ("", false),
            (":9078", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("gateway.svc..", false),
            ("x.gateway.svc", false),
            ("127.0.0.1.evil.example", false),
            ("127.1", false),
            ("2130706433", false),
            ("evil@127.0.0.1", false),
            ("127.0.0.1@evil.example", false),
            ("[::1]evil.example", false),
            ("[::1", false),
            ("::1", false),
            ("127.0.0.1:evil", false),
            ("127.0.0.1:99999", false),
            ("localhost, evil.example", false),
        ] {
            let found = check_with(Version::HTTP_11, "/metrics", &[("host", host)]);
            let expected = match is_right {
                true => Ok(()),
                false => Err(StatusCode::FORBIDDEN),
            };
            assert_eq!(found, expected, "{host:?}");
        }
    }

    #[test]
    fn the_target_and_the_field_both_count() {
        let own = "http://127.0.0.1:9078/metrics";
        let other = "http://evil.example/metrics";
        let version = Version::HTTP_11;
        assert_eq!(check_with(Version::HTTP_2, own, &[]), Ok(()));
        let forbidden = Err(StatusCode::FORBIDDEN);
        assert_eq!(check_with(Version::HTTP_2, other, &[]), forbidden);
        let host = |host| [("host", host)];
        assert_eq!(check_with(version, own, &host("127.0.0.1:9078")), Ok(()));
        assert_eq!(check_with(version, own, &host("evil.example")), forbidden);
        assert_eq!(check_with(version, other, &host("127.0.0.1")), forbidden);
    }

    #[test]
    fn one_host_is_needed_since_http_1_1() {
        let bad = Err(StatusCode::BAD_REQUEST);
        let two = [("host", "127.0.0.1"), ("host", "127.0.0.1")];
        assert_eq!(check_with(Version::HTTP_11, "/drain", &two), bad);
        assert_eq!(check_with(Version::HTTP_11, "/drain", &[]), bad);
        assert_eq!(check_with(Version::HTTP_10, "/drain", &[]), Ok(()));
        // A browser would not.
        let page = [("origin", "http://evil.example")];
        let forbidden = Err(StatusCode::FORBIDDEN);
        assert_eq!(check_with(Version::HTTP_10, "/drain", &page), forbidden);
    }

    #[test]
    fn a_page_is_of_the_same_host_and_port() {
        for (host, origin, is_right) in [
            ("127.0.0.1:9078", "http://127.0.0.1:9078", true),
            ("localhost", "http://localhost:80", true),
            ("localhost:80", "http://localhost", true),
            ("localhost", "https://localhost", true),
            ("gateway.svc:9078", "http://Gateway.svc:9078", true),
            ("[::1]:9078", "http://[::1]:9078", true),
            ("127.0.0.1:9078", "http://127.0.0.1:8080", false),
            ("127.0.0.1:9078", "http://127.0.0.1", false),
            ("127.0.0.1:9078", "http://localhost:9078", false),
            ("127.0.0.1:9078", "http://evil.example", false),
            ("127.0.0.1:9078", "null", false),
            ("127.0.0.1:9078", "", false),
            ("127.0.0.1:9078", "127.0.0.1:9078", false),
            ("127.0.0.1:9078", "file://127.0.0.1:9078", false),
            ("127.0.0.1:9078", "http://127.0.0.1:9078/x", false),
        ] {
            let fields = [("host", host), ("origin", origin)];
            let found = check_with(Version::HTTP_11, "/drain", &fields);
            assert_eq!(found.is_ok(), is_right, "{host} {origin}");
        }
        let two = [
            ("host", "127.0.0.1"),
            ("origin", "http://127.0.0.1"),
            ("origin", "http://evil.example"),
        ];
        assert!(check_with(Version::HTTP_11, "/drain", &two).is_err());
    }

    #[test]
    fn what_a_browser_says_of_the_page_counts_without_an_origin() {
        for (site, is_right) in [
            ("none", true),
            ("same-origin", true),
            ("same-site", false),
            ("cross-site", false),
            ("", false),
            ("same-origin, cross-site", false),
        ] {
            let fields = [("host", "127.0.0.1"), ("sec-fetch-site", site)];
            let found = check_with(Version::HTTP_11, "/streams", &fields);
            assert_eq!(found.is_ok(), is_right, "{site:?}");
        }
    }
}
