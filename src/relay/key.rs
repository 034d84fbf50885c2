//! Which requests share one upstream request.

use std::fmt;
use std::hash::BuildHasher;
use std::str::FromStr;

use http::{HeaderName, header, request};

use super::last_event_id::percent_decoded;

/// What of a request makes its key: requests with the same key share one upstream request.
///
/// Method and request body are always part of it. By default also host, path, query, `Authorization` and
/// `Cookie`: nobody is given another's events unless a key says so. The host is, since one path of two hosts
/// may be two streams.
///
/// # Example
///
/// ```
/// use tower_sse::relay::Key;
///
/// // One upstream request for each room, whoever asks.
/// let key: Key = "path, query:room".parse()?;
/// # Ok::<(), tower_sse::relay::InvalidKey>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Host,
    Path,
    Query,
    QueryParameter(String),
    Header(HeaderName),
    Cookie(String),
}

/// A part of a key that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    part: String,
}

impl Key {
    /// The key of a request, in which one part cannot be taken for another.
    pub(super) fn of(&self, request: &request::Parts, body: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        add(&mut key, Some(request.method.as_str().as_bytes()));
        add(&mut key, Some(body));
        for part in &self.parts {
            part.values(request, &mut |value| add(&mut key, value));
            key.push(b'.');
        }
        key
    }

    /// The key for people to read: credentials, and what may be some, are hashed.
    pub(super) fn label(&self, request: &request::Parts, hasher: &impl BuildHasher) -> String {
        let mut label = request.method.to_string();
        for part in &self.parts {
            part.values(request, &mut |value| {
                let Some(value) = value else { return };
                let hash = hasher.hash_one(value) as u32;
                label.push_str(&match part {
                    Part::Host => format!(" {}", value.escape_ascii()),
                    Part::Path => format!(" {}", value.escape_ascii()),
                    // It may carry a token.
                    Part::Query => format!(" query={hash:08x}"),
                    Part::QueryParameter(name) => format!(" {name}={hash:08x}"),
                    Part::Header(name) => format!(" {name}={hash:08x}"),
                    Part::Cookie(name) => format!(" cookie:{name}={hash:08x}"),
                });
            });
        }
        label
    }
}

impl Default for Key {
    fn default() -> Self {
        Key {
            parts: vec![
                Part::Host,
                Part::Path,
                Part::Query,
                Part::Header(header::AUTHORIZATION),
                Part::Header(header::COOKIE),
            ],
        }
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    /// Reads a comma list of `host`, `path`, `query`, `query:NAME`, `header:NAME`, `cookie:NAME` and `auth`,
    /// which is the header `Authorization`.
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let part = |text: &str| {
            let text = text.trim();
            let invalid = || InvalidKey { part: text.into() };
            Ok(match text.split_once(':') {
                None => match text {
                    "host" => Part::Host,
                    "path" => Part::Path,
                    "query" => Part::Query,
                    "auth" => Part::Header(header::AUTHORIZATION),
                    _ => return Err(invalid()),
                },
                Some((_, "")) => return Err(invalid()),
                Some(("query", name)) => Part::QueryParameter(name.into()),
                Some(("cookie", name)) => Part::Cookie(name.into()),
                Some(("header", name)) => Part::Header(name.parse().map_err(|_| invalid())?),
                Some(_) => return Err(invalid()),
            })
        };
        let parts = text.split(',').map(part).collect::<Result<_, _>>()?;
        Ok(Key { parts })
    }
}

impl Part {
    fn values(&self, request: &request::Parts, each: &mut dyn FnMut(Option<&[u8]>)) {
        match self {
            Part::Host => {
                let authority = request.uri.authority().map(|host| host.as_str().as_bytes());
                let field = request.headers.get(header::HOST);
                each(authority.or(field.map(|host| host.as_bytes())));
            }
            Part::Path => each(Some(request.uri.path().as_bytes())),
            Part::Query => each(request.uri.query().map(str::as_bytes)),
            Part::QueryParameter(name) => {
                let query = request.uri.query().unwrap_or("");
                for pair in query.split('&') {
                    let (this, value) = pair.split_once('=').unwrap_or((pair, ""));
                    // As the upstream reads it: a name that is written otherwise is the same.
                    if percent_decoded(this.as_bytes()) == name.as_bytes() {
                        each(Some(value.as_bytes()));
                    }
                }
            }
            Part::Header(name) => {
                for value in request.headers.get_all(name) {
                    each(Some(value.as_bytes()));
                }
            }
            Part::Cookie(name) => {
                for field in request.headers.get_all(header::COOKIE) {
                    for pair in field.as_bytes().split(|byte| *byte == b';') {
                        let pair = pair.trim_ascii();
                        let rest = pair.strip_prefix(name.as_bytes());
                        if let Some(value) = rest.and_then(|rest| rest.strip_prefix(b"=")) {
                            each(Some(value));
                        }
                    }
                }
            }
        }
    }
}

fn add(key: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            key.extend_from_slice(value.len().to_string().as_bytes());
            key.push(b':');
            key.extend_from_slice(value);
        }
        None => key.push(b'-'),
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown part of a key: {:?}; known are host, path, query, query:NAME, header:NAME, cookie:NAME and auth",
            self.part
        )
    }
}

impl std::error::Error for InvalidKey {}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn of(key: &Key, uri: &str, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut request = Request::get(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        key.of(&request.body(()).unwrap().into_parts().0, b"")
    }

    #[test]
    fn credentials_make_another_key_unless_told_otherwise() {
        let all = [
            of(&Key::default(), "/a", &[]),
            of(&Key::default(), "/a", &[("authorization", "x")]),
            of(&Key::default(), "/a", &[("cookie", "x")]),
            of(&Key::default(), "/a", &[("host", "x")]),
            of(&Key::default(), "/a?x", &[]),
            of(&Key::default(), "/ax", &[]),
        ];
        for (place, key) in all.iter().enumerate() {
            assert!(!all[..place].contains(key), "{place}");
        }
        let path: Key = "path".parse().unwrap();
        assert_eq!(
            of(&path, "/a?x", &[("cookie", "x")]),
            of(&path, "/a", &[("authorization", "x")])
        );
    }

    #[test]
    fn parts_are_picked_by_name() {
        let key: Key = "query:room, cookie:session,header:x-tenant"
            .parse()
            .unwrap();
        let same = of(
            &key,
            "/a?room=1&x",
            &[("cookie", "a=b; session=7"), ("x-tenant", "t")],
        );
        let other = of(
            &key,
            "/b?y&room=1",
            &[("cookie", "session=7"), ("x-tenant", "t")],
        );
        assert_eq!(same, other);
        assert_ne!(
            same,
            of(
                &key,
                "/a?room=1",
                &[("cookie", "session=8"), ("x-tenant", "t")]
            )
        );
        for bad in ["", "paths", "query:", "header:a b", "path,,auth"] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }
}
