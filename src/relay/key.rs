//! Which requests share one upstream request.

use std::fmt;
use std::str::FromStr;

use http::{HeaderName, header};

use super::neutral::is_neutral;

/// What of a request makes its key: requests with the same key share one upstream request.
///
/// *What reaches the upstream is in the key, or is the same for all.* By default the key is the host, the path, the query
/// and every request field but those that say nothing of what a client is to be given (see
/// [the relay's docs](super#what-is-neutral)). With a key of your own, what is outside of it is not sent upstream: not the
/// other parameters of the query, not the other fields, not the other cookies. The method and the path are always in it.
///
/// # Example
///
/// ```
/// use tower_sse::relay::Key;
///
/// // One upstream request for each room, whoever asks.
/// let key: Key = "host, path, query:room".parse()?;
/// # Ok::<(), tower_sse::relay::InvalidKey>(())
/// ```
///
/// # Common set-ups
///
/// | key | for |
/// |---|---|
/// | `default` | an application whose answers may depend on anything |
/// | `host, path` | news that are the same for all |
/// | `host, path, query:room` | a stream for each room |
/// | `host, path, auth` | one for each bearer token |
/// | `default, cookie:session` | one for each session, whatever other cookies come and go |
/// | `host, path, header:x-tenant, header:origin` | one for each tenant, with CORS |
/// | `default, body` | also POST requests, of which those with the same body are one |
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) host: bool,
    pub(super) query: bool,
    pub(super) fields: bool,
    pub(super) body: bool,
    pub(super) parameters: Vec<String>,
    pub(super) headers: Vec<HeaderName>,
    pub(super) cookies: Vec<String>,
    pub(super) ignored: Vec<HeaderName>,
}

/// A part of a key that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    part: String,
}

impl Key {
    const NOTHING: Key = Key {
        host: false,
        query: false,
        fields: false,
        body: false,
        parameters: Vec::new(),
        headers: Vec::new(),
        cookies: Vec::new(),
        ignored: Vec::new(),
    };

    /// Takes these fields for neutral too: they are not part of the key, and not sent upstream.
    #[must_use]
    pub fn ignoring(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.ignored.extend(names);
        self
    }

    /// Whether all with the same key have the same in this field.
    pub(super) fn tells_apart(&self, name: &HeaderName) -> bool {
        if *name == header::HOST {
            return self.host;
        }
        let in_part = *name == header::COOKIE && !self.cookies.is_empty();
        self.headers.contains(name)
            || self.fields && !in_part && !is_neutral(name) && !self.ignored.contains(name)
    }
}

impl Default for Key {
    fn default() -> Self {
        Key {
            host: true,
            query: true,
            fields: true,
            ..Key::NOTHING
        }
    }
}

impl FromStr for Key {
    type Err = InvalidKey;

    /// Reads a comma list of `default`, `host`, `path`, `query`, `query:NAME`, `header:NAME`, `cookie:NAME`, `auth`, which
    /// is the field `Authorization`, and `body`.
    ///
    /// # Errors
    ///
    /// When a part is none of these, or has no name where it takes one, or a name that no field can have.
    ///
    /// ```
    /// use tower_sse::relay::Key;
    ///
    /// assert!("host, path, query:room".parse::<Key>().is_ok());
    /// for invalid in ["", "host, port", "query:", "header:two words"] {
    ///     assert!(invalid.parse::<Key>().is_err(), "{invalid}");
    /// }
    /// ```
    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let mut key = Key::NOTHING;
        for part in text.split(',') {
            let part = part.trim();
            let invalid = || InvalidKey { part: part.into() };
            match part.split_once(':') {
                None => match part {
                    "default" => {
                        key.host = true;
                        key.query = true;
                        key.fields = true;
                    }
                    "host" => key.host = true,
                    "path" => {}
                    "query" => key.query = true,
                    "body" => key.body = true,
                    "auth" => key.headers.push(header::AUTHORIZATION),
                    _ => return Err(invalid()),
                },
                Some((_, "")) => return Err(invalid()),
                Some(("query", name)) => key.parameters.push(name.into()),
                Some(("cookie", name)) => key.cookies.push(name.into()),
                Some(("header", name)) => {
                    key.headers.push(name.parse().map_err(|_| invalid())?);
                }
                Some(_) => return Err(invalid()),
            }
        }
        Ok(key)
    }
}

impl TryFrom<&str> for Key {
    type Error = InvalidKey;

    /// As [`from_str`](FromStr::from_str).
    fn try_from(text: &str) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown part of a key: {:?}; known are default, host, path, query, query:NAME, header:NAME, cookie:NAME, auth \
             and body",
            self.part
        )
    }
}

impl std::error::Error for InvalidKey {}
