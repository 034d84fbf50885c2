//! What an upstream may be: an origin without a path, or a Unix socket.

use std::fmt;
use std::path::PathBuf;

use http::Uri;
use http::uri::Authority;

use super::value::or_wrong;

/// Where requests go.
///
/// `http://host[:port]`, `https://host[:port]`, `h2c://host[:port]` (HTTP/2 with prior knowledge) or
/// `unix:/path/to.sock`. The request target is passed on as it is, so there is no path to put in front of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Upstream {
    pub(crate) protocol: Protocol,
    pub(crate) endpoint: Endpoint,
}

/// What is spoken on the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// How a connection is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Tcp(Uri),
    Tls(Uri),
    Unix(PathBuf),
}

const RIGHT: &str =
    "use one such as http://127.0.0.1:5000, https://host, h2c://host:8000 or unix:/run/app.sock";

impl Upstream {
    /// Reads an upstream as written on the command line or in the configuration.
    ///
    /// # Errors
    ///
    /// An unknown scheme, no host, or a user, path, query or fragment in the URL. The text says what is wrong and what
    /// would be right; a password is never repeated.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///path` is how some programs write it.
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_path = path.starts_with('/') && !path.contains('\0');
            let why = "has no absolute path; use one such as unix:/run/app.sock";
            return or_wrong(is_path.then(|| path.into()), text, why).map(|path| Self {
                protocol: Protocol::Http1,
                endpoint: Endpoint::Unix(path),
            });
        }
        let no_scheme = || match text.contains('@') {
            true => format!("the URL has no known scheme; {RIGHT}"),
            false => format!("{text:?} has no known scheme; {RIGHT}"),
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(no_scheme)?;
        let (protocol, endpoint, wire): (_, fn(Uri) -> _, _) =
            match scheme.to_ascii_lowercase().as_str() {
                "http" => (Protocol::Http1, Endpoint::Tcp, "http"),
                "https" => (Protocol::Http1, Endpoint::Tls, "https"),
                "h2c" => (Protocol::Http2, Endpoint::Tcp, "http"),
                _ => return Err(no_scheme()),
            };
        if rest.contains('@') {
            return Err(format!("the URL holds a user or password; {RIGHT}"));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        if !matches!(after, "" | "/") {
            let base = format!("{scheme}://{authority}");
            return Err(format!(
                "{text:?} has more than a host and port; use {base:?}, paths come from the requests"
            ));
        }
        let wrong = || format!("{text:?} has no valid host and port; {RIGHT}");
        let uri = format!("{wire}://{authority}/").parse::<Uri>();
        let uri = uri.map_err(|_| wrong())?;
        let host = uri.host().unwrap_or_default();
        let port = authority.strip_prefix(host).unwrap_or_default();
        let port_is_right = port.is_empty() || uri.port_u16().is_some_and(|port| port != 0);
        if host.is_empty() || !port_is_right {
            return Err(wrong());
        }
        let endpoint = endpoint(uri);
        Ok(Self { protocol, endpoint })
    }

    pub(crate) fn scheme(&self) -> &'static str {
        match (&self.endpoint, self.protocol) {
            (Endpoint::Unix(_), _) => "unix",
            (Endpoint::Tls(_), _) => "https",
            (Endpoint::Tcp(_), Protocol::Http2) => "h2c",
            (Endpoint::Tcp(_), Protocol::Http1) => "http",
        }
    }

    /// Whether both are one, however they are written.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let is_same_place = match (self.host_and_port(), other.host_and_port()) {
            (Some((one, port)), Some((other, others_port))) => {
                one.eq_ignore_ascii_case(other) && port == others_port
            }
            _ => self.endpoint == other.endpoint,
        };
        is_same_place && self.scheme() == other.scheme()
    }

    /// Where connections go, unless it is a Unix socket. The host of an IPv6 address has its brackets.
    pub(crate) fn host_and_port(&self) -> Option<(&str, u16)> {
        let (uri, default) = match &self.endpoint {
            Endpoint::Tcp(uri) => (uri, 80),
            Endpoint::Tls(uri) => (uri, 443),
            Endpoint::Unix(_) => return None,
        };
        Some((uri.host()?, uri.port_u16().unwrap_or(default)))
    }

    /// Host and port as they were written; `localhost` for a Unix socket.
    pub(crate) fn authority(&self) -> &str {
        match &self.endpoint {
            Endpoint::Tcp(uri) | Endpoint::Tls(uri) => {
                uri.authority().map_or("", Authority::as_str)
            }
            Endpoint::Unix(_) => "localhost",
        }
    }
}

/// In one way of writing: the scheme in lower case, and no slash at the end.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            _ => write!(f, "{}://{}", self.scheme(), self.authority()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::cases::rows;

    /// As it is given, and as it is shown.
    const RIGHT: &str = "
        http://127.0.0.1:5000 -> http://127.0.0.1:5000
        http://127.0.0.1:5000/ -> http://127.0.0.1:5000
        HTTP://app -> http://app
        https://example.org -> https://example.org
        h2c://[::1]:50051 -> h2c://[::1]:50051
        http://[::1] -> http://[::1]
        unix:/run/app.sock -> unix:/run/app.sock
        unix:///run/app.sock -> unix:/run/app.sock";

    #[test]
    fn origins_and_sockets_are_upstreams() {
        for [text, expected] in rows(RIGHT, " -> ") {
            let upstream = Upstream::parse(text).expect(text);
            assert_eq!(upstream.to_string(), expected);
        }
    }

    /// What is refused, and a part of why.
    const WRONG: &str = "
        127.0.0.1:5000 -> no known scheme
        ftp://host -> no known scheme
        http://host/app -> use \"http://host\"
        http://host?x=y -> use \"http://host\"
        http://host/#f -> use \"http://host\"
        http://user:secret@host -> a user or password
        postgres://user:secret@host -> no known scheme
        user:secret@host -> no known scheme
        http:// -> no valid host
        http://:80 -> no valid host
        http://host:99999 -> no valid host
        http://host:port -> no valid host
        http://host:0 -> no valid host
        http://host: -> no valid host
        http://a b -> no valid host
        unix:relative.sock -> no absolute path
        unix: -> no absolute path
        unix:/run/app.sock\0 -> no absolute path";

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for [text, reason] in rows(WRONG, " -> ") {
            let error = Upstream::parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(Upstream::parse("").is_err());
    }
}
