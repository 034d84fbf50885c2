//! What `--upstream` may be: an origin without a path, or a Unix socket.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;
use http::uri::Authority;

/// Where requests go.
///
/// `http://host[:port]`, `https://host[:port]`, `h2c://host[:port]` (HTTP/2 with prior knowledge) or
/// `unix:/path/to.sock`. The request target is passed on as it is, so there is no path to put in front of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Upstream(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// With the scheme as it is written; that of the URI is what HTTP calls it.
    Network(&'static str, Uri),
    Unix(PathBuf),
}

/// What is spoken on the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// How a connection is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoint<'a> {
    Tcp(&'a Uri),
    Tls(&'a Uri),
    Unix(&'a Path),
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
            return match path.starts_with('/') && !path.contains('\0') {
                true => Ok(Self(Kind::Unix(PathBuf::from(path)))),
                false => Err(format!(
                    "{text:?} has no absolute path; use one such as unix:/run/app.sock"
                )),
            };
        }
        let no_scheme = || match text.contains('@') {
            true => format!("the URL has no known scheme; {RIGHT}"),
            false => format!("{text:?} has no known scheme; {RIGHT}"),
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(no_scheme)?;
        let (scheme, wire) = match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", "http"),
            "https" => ("https", "https"),
            "h2c" => ("h2c", "http"),
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
        let uri: Uri = format!("{wire}://{authority}/")
            .parse()
            .map_err(|_| wrong())?;
        let host = uri.host().unwrap_or_default();
        let port = authority.strip_prefix(host).unwrap_or_default();
        let port_is_right = port.is_empty() || uri.port_u16().is_some_and(|port| port != 0);
        match !host.is_empty() && port_is_right {
            true => Ok(Self(Kind::Network(scheme, uri))),
            false => Err(wrong()),
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self.0 {
            Kind::Network("h2c", _) => Protocol::Http2,
            _ => Protocol::Http1,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint<'_> {
        match &self.0 {
            Kind::Network("https", uri) => Endpoint::Tls(uri),
            Kind::Network(_, uri) => Endpoint::Tcp(uri),
            Kind::Unix(path) => Endpoint::Unix(path),
        }
    }

    /// Where connections go, unless it is a Unix socket. The host of an IPv6 address has its brackets.
    pub(crate) fn host_and_port(&self) -> Option<(&str, u16)> {
        let Kind::Network(scheme, uri) = &self.0 else {
            return None;
        };
        let default = if *scheme == "https" { 443 } else { 80 };
        Some((uri.host()?, uri.port_u16().unwrap_or(default)))
    }

    /// Host and port as they were written; `localhost` for a Unix socket.
    pub(crate) fn authority(&self) -> &str {
        match &self.0 {
            Kind::Network(_, uri) => uri.authority().map_or("", Authority::as_str),
            Kind::Unix(_) => "localhost",
        }
    }
}

/// In one way of writing: the scheme in lower case, and no slash at the end.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Network(scheme, _) => write!(f, "{scheme}://{}", self.authority()),
            Kind::Unix(path) => write!(f, "unix:{}", path.display()),
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
