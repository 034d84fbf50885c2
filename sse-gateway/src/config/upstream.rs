//! What `--upstream` may be: an origin without a path, or a Unix socket.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;

/// Where requests go.
///
/// `http://host[:port]`, `https://host[:port]`, `h2c://host[:port]` (HTTP/2 with prior knowledge) or
/// `unix:/path/to.sock`. The request target is passed on as it is, so there is no path to put in front of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Upstream(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Http(Uri),
    Https(Uri),
    H2c(Uri),
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
        let (kind, wire): (fn(Uri) -> Kind, _) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Kind::Http, "http"),
            "https" => (Kind::Https, "https"),
            "h2c" => (Kind::H2c, "http"),
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
            true => Ok(Self(kind(uri))),
            false => Err(wrong()),
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self.0 {
            Kind::H2c(_) => Protocol::Http2,
            _ => Protocol::Http1,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint<'_> {
        match &self.0 {
            Kind::Http(uri) | Kind::H2c(uri) => Endpoint::Tcp(uri),
            Kind::Https(uri) => Endpoint::Tls(uri),
            Kind::Unix(path) => Endpoint::Unix(path),
        }
    }

    /// Where connections go, unless it is a Unix socket. The host of an IPv6 address has its brackets.
    pub(crate) fn host_and_port(&self) -> Option<(&str, u16)> {
        let (uri, default) = match &self.0 {
            Kind::Http(uri) | Kind::H2c(uri) => (uri, 80),
            Kind::Https(uri) => (uri, 443),
            Kind::Unix(_) => return None,
        };
        Some((uri.host()?, uri.port_u16().unwrap_or(default)))
    }

    /// Host and port as they were written; `localhost` for a Unix socket.
    pub(crate) fn authority(&self) -> String {
        match &self.0 {
            Kind::Http(uri) | Kind::Https(uri) | Kind::H2c(uri) => uri
                .authority()
                .map_or_else(String::new, ToString::to_string),
            Kind::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Http(_) => write!(f, "http://{}", self.authority()),
            Kind::Https(_) => write!(f, "https://{}", self.authority()),
            Kind::H2c(_) => write!(f, "h2c://{}", self.authority()),
            Kind::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_sockets_are_upstreams() {
        let shown = |text: &str| Upstream::parse(text).map(|upstream| upstream.to_string());
        for (text, expected) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
            ("HTTP://app", "http://app"),
            ("https://example.org", "https://example.org"),
            ("h2c://[::1]:50051", "h2c://[::1]:50051"),
            ("http://[::1]", "http://[::1]"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no known scheme"),
            ("127.0.0.1:5000", "no known scheme"),
            ("ftp://host", "no known scheme"),
            ("http://host/app", "use \"http://host\""),
            ("http://host?x=y", "use \"http://host\""),
            ("http://host/#f", "use \"http://host\""),
            ("http://user:secret@host", "a user or password"),
            ("postgres://user:secret@host", "no known scheme"),
            ("user:secret@host", "no known scheme"),
            ("http://", "no valid host"),
            ("http://:80", "no valid host"),
            ("http://host:99999", "no valid host"),
            ("http://host:port", "no valid host"),
            ("http://host:0", "no valid host"),
            ("http://host:", "no valid host"),
            ("http://a b", "no valid host"),
            ("unix:relative.sock", "no absolute path"),
            ("unix:", "no absolute path"),
            ("unix:/run/app.sock\0", "no absolute path"),
        ] {
            let error = Upstream::parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
