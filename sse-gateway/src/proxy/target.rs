//! What a request asks for: its target and its host, refused where they contradict each other or mean nothing.
//!
//! hyper takes any target that can be read. Here it must be one of the forms of RFC 9112 section 3.2, and its host one
//! host. Afterwards a request looks the same whatever the protocol: the target is a path and query, or `*`, and `Host` is
//! the host that was asked for.

use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, StatusCode, Uri, Version, request};

use crate::answer::Refusal;

/// Checks a request's target and host, and gives them their one form.
///
/// # Errors
///
/// When it cannot be told what the request asks for, or of whom.
pub(crate) fn settle(parts: &mut request::Parts) -> Result<(), Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            message: "CONNECT is not supported, this is a reverse proxy.\n",
        });
    }
    let host = host(parts)?;
    let target = target(parts)?;
    if let Some(host) = host {
        parts.headers.insert(HOST, host);
    }
    parts.uri = Uri::from(target);
    Ok(())
}

/// The host the client asked for: the authority of its request target if there is one, else `Host` (RFC 9112
/// section 3.2.2). Only an HTTP/1.0 client may leave it out; an empty one is none.
fn host(parts: &request::Parts) -> Result<Option<HeaderValue>, Refusal> {
    let is_http2 = parts.version == Version::HTTP_2;
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Refusal::bad("There is more than one Host.\n"));
    }
    let named = field
        .filter(|host| !host.is_empty())
        .map(|host| Authority::try_from(host.as_bytes()).ok().filter(is_host));
    if let Some(None) = named {
        return Err(Refusal::bad("The Host is not a host and port.\n"));
    }
    let Some(authority) = parts.uri.authority() else {
        if field.is_none() && parts.version != Version::HTTP_10 {
            return Err(Refusal::bad("There is no Host.\n"));
        }
        return Ok(field.cloned().filter(|host| !host.is_empty()));
    };
    if authority.as_str().contains('@') {
        return Err(Refusal::bad("The request target has a user in it.\n"));
    }
    if !is_host(authority) {
        return Err(Refusal::bad(
            "The host of the request target is not valid.\n",
        ));
    }
    // RFC 9113 section 8.3.1. In HTTP/1.1 the field is to be ignored, but it has to be there.
    match field {
        Some(_) if !is_http2 => {}
        Some(_)
            if named
                .flatten()
                .is_some_and(|host| same(&host, authority, &parts.uri)) => {}
        Some(_) => return Err(Refusal::bad("Host and :authority differ.\n")),
        None if parts.version == Version::HTTP_11 => {
            return Err(Refusal::bad("There is no Host.\n"));
        }
        None => {}
    }
    HeaderValue::from_str(authority.as_str())
        .map(Some)
        .map_err(|_| Refusal::bad("The host of the request target is not valid.\n"))
}

/// A host, and a port that is a number if there is one.
fn is_host(authority: &Authority) -> bool {
    let text = authority.as_str();
    let host = authority.host();
    let behind = text.strip_prefix(host);
    !host.is_empty()
        && behind.is_some_and(|port| match port.strip_prefix(':') {
            Some(port) => port.is_empty() || port.parse::<u16>().is_ok(),
            None => port.is_empty(),
        })
}

fn same(a: &Authority, b: &Authority, uri: &Uri) -> bool {
    let default = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        _ => 80,
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    a.host().eq_ignore_ascii_case(b.host()) && port(a) == port(b)
}

/// The path and query, byte for byte; `*` for `OPTIONS *`.
fn target(parts: &request::Parts) -> Result<PathAndQuery, Refusal> {
    let scheme = parts.uri.scheme();
    if scheme.is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(Refusal::bad(
            "The request target is neither http nor https.\n",
        ));
    }
    let is_http2 = parts.version == Version::HTTP_2;
    let text = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    match text {
        "*" if parts.method == Method::OPTIONS => Ok(PathAndQuery::from_static("*")),
        "*" => Err(Refusal::bad("Only OPTIONS takes the target *.\n")),
        _ if text.starts_with('/') => {
            let path = parts.uri.path_and_query().cloned();
            path.ok_or(Refusal::bad(NO_PATH))
        }
        // `http://host?query`: the path is empty, which means `/`.
        _ if !is_http2 && scheme.is_some() => format!("/{text}")
            .parse()
            .map_err(|_| Refusal::bad(NO_PATH)),
        _ => Err(Refusal::bad(NO_PATH)),
    }
}

const NO_PATH: &str = "The request target is not a path.\n";

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn settled(
        version: Version,
        line: &str,
        hosts: &[&str],
    ) -> Result<(String, Option<String>), &'static str> {
        let (method, target) = line.split_once(' ').expect("a method and a target");
        let mut request = Request::builder()
            .version(version)
            .method(method)
            .uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (mut parts, ()) = request.body(()).expect("hyper takes it").into_parts();
        settle(&mut parts).map_err(|refusal| refusal.message)?;
        let host = parts.headers.get(HOST);
        let host = host.map(|host| host.to_str().expect("text").to_owned());
        assert!(parts.uri.authority().is_none());
        Ok((parts.uri.to_string(), host))
    }

    fn ok(target: &str, host: &str) -> Result<(String, Option<String>), &'static str> {
        Ok((target.to_owned(), Some(host.to_owned())))
    }

    #[test]
    fn every_form_becomes_one() {
        for (line, hosts, target, host) in [
            ("GET /", &["h"][..], "/", "h"),
            ("GET /?", &["h:80"], "/?", "h:80"),
            ("GET //a//b", &["h"], "//a//b", "h"),
            ("GET http://a:81/x?y", &["h"], "/x?y", "a:81"),
            ("GET http://a", &["h"], "/", "a"),
            ("GET http://a?y", &["h"], "/?y", "a"),
            ("GET https://a/", &[""], "/", "a"),
            ("OPTIONS *", &["h"], "*", "h"),
            ("GET /", &["[::1]:8080"], "/", "[::1]:8080"),
            ("GET /", &["my_host:"], "/", "my_host:"),
        ] {
            let got = settled(Version::HTTP_11, line, hosts);
            assert_eq!(got, ok(target, host), "{line}");
        }
        let h2 = |line, hosts: &[&str]| settled(Version::HTTP_2, line, hosts);
        assert_eq!(h2("GET https://a/x", &[]), ok("/x", "a"));
        assert_eq!(h2("GET http://a/x", &["A:80"]), ok("/x", "a"));
        assert_eq!(h2("GET /x", &["a"]), ok("/x", "a"));
        for hosts in [&[][..], &[""]] {
            let got = settled(Version::HTTP_10, "GET /", hosts).map(|(target, _)| target);
            assert_eq!(got, Ok("/".to_owned()));
        }
    }

    #[test]
    fn what_asks_for_nothing_is_refused() {
        for (line, hosts) in [
            ("GET *", &["h"][..]),
            ("POST *", &["h"]),
            ("GET h:80", &["h"]),
            ("GET h", &["h"]),
            ("OPTIONS h:80", &["h"]),
            ("GET ftp://h/", &["h"]),
            ("GET http://u:p@h/", &["h"]),
            ("GET http://h:99999/", &["h"]),
            ("GET http://h/", &[]),
            ("GET http://h/", &["a", "b"]),
            ("GET /", &[]),
            ("GET /", &["a", "a"]),
            ("GET /", &["a b"]),
            ("GET /", &["a/b"]),
            ("GET /", &["u@a"]),
            ("GET /", &["a:b"]),
            ("GET /", &["a:70000"]),
            ("GET /", &["http://a"]),
            ("GET /", &[":80"]),
        ] {
            let got = settled(Version::HTTP_11, line, hosts);
            assert!(got.is_err(), "{line} {hosts:?}: {got:?}");
        }
        for (line, hosts) in [
            ("GET http://a/", &["b"][..]),
            ("GET http://a/", &["a:81"]),
            ("GET http://a/", &["a:443"]),
            ("GET http://a/", &["a", "a"]),
            ("GET http://a/", &[""]),
            ("GET http://u@a/", &[]),
            ("GET http://a?x", &[]),
            ("GET /", &[]),
        ] {
            let got = settled(Version::HTTP_2, line, hosts);
            assert!(got.is_err(), "{line} {hosts:?}: {got:?}");
        }
    }
}
