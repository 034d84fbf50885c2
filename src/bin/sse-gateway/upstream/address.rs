//! What `--upstream` may be: an origin without a path, or a Unix socket.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;

/// Where requests go.
///
/// `http://host[:port]`, `https://host[:port]`, `h2c://host[:port]` (HTTP/2 with prior knowledge) or
/// `unix:/path/to.sock`. The request target is passed on as it is, so there is no path to put in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstream(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Http(Uri),
    Https(Uri),
    H2c(Uri),
    Unix(PathBuf),
}

/// What is spoken on the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// How a connection is made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Endpoint<'a> {
    Tcp(&'a Uri),
    Tls(&'a Uri),
    Unix(&'a Path),
}

const FORMS: &str =
    "expected http://HOST[:PORT], https://HOST[:PORT], h2c://HOST[:PORT] or unix:/PATH";

impl Upstream {
    /// Reads an upstream as written on the command line or in the configuration.
    ///
    /// # Errors
    ///
    /// An unknown scheme, no host, or a user, path, query or fragment in the URL; the text says which.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///path` is how some programs write it.
            let path = path.strip_prefix("//").unwrap_or(path);
            if !path.starts_with('/') || path.contains('\0') {
                return Err(format!(
                    "`{text}`: the path of a Unix socket must be absolute, as in unix:/run/app.sock"
                ));
            }
            return Ok(Self(Kind::Unix(PathBuf::from(path))));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("`{text}`: {FORMS}"))?;
        let kind: fn(Uri) -> Kind = match scheme.to_ascii_lowercase().as_str() {
            "http" => Kind::Http,
            "https" => Kind::Https,
            "h2c" => Kind::H2c,
            other => return Err(format!("`{text}`: unknown scheme `{other}`, {FORMS}")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, after) = rest.split_at(end);
        if authority.contains('@') {
            return Err(format!(
                "`{scheme}://…{after}`: an upstream has no user or password; \
                 clients send their own `Authorization`"
            ));
        }
        if !matches!(after, "" | "/") {
            return Err(format!(
                "`{text}`: an upstream has no path or query, the request target is passed on as it is; \
                 use `{scheme}://{authority}`"
            ));
        }
        let wire = match scheme.eq_ignore_ascii_case("https") {
            true => "https",
            false => "http",
        };
        let uri: Uri = format!("{wire}://{authority}/")
            .parse()
            .map_err(|error| format!("`{text}`: {error}, {FORMS}"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(format!("`{text}`: there is no host, {FORMS}"));
        }
        let port = authority
            .rsplit_once(':')
            .filter(|_| !authority.ends_with(']'));
        if port.is_some_and(|(_, port)| port.parse::<u16>().is_err() || port == "0") {
            return Err(format!(
                "`{text}`: the port is not a number from 1 to 65535"
            ));
        }
        Ok(Self(kind(uri)))
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self.0 {
            Kind::H2c(_) => Protocol::Http2,
            _ => Protocol::Http1,
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint<'_> {
        match &self.0 {
            Kind::Http(uri) | Kind::H2c(uri) => Endpoint::Tcp(uri),
            Kind::Https(uri) => Endpoint::Tls(uri),
            Kind::Unix(path) => Endpoint::Unix(path),
        }
    }

    /// Host and port as they were written; `localhost` for a Unix socket.
    pub(super) fn authority(&self) -> String {
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

impl std::str::FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
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
            ("127.0.0.1:5000", "expected http://"),
            ("ftp://host", "unknown scheme `ftp`"),
            ("http://host/app", "no path or query"),
            ("http://host?x=y", "no path or query"),
            ("http://host/#f", "no path or query"),
            ("http://user:secret@host", "no user or password"),
            ("http://", "http://"),
            ("http://:80", "http://:80"),
            ("http://host:99999", "65535"),
            ("http://host:0", "65535"),
            ("http://host:", "65535"),
            ("http://a b", "a b"),
            ("unix:relative.sock", "absolute"),
            ("unix:", "absolute"),
        ] {
            let error = Upstream::parse(text).expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
