//! The key of a request, and what of the request goes upstream when it is made for all who have that key.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header, request};

use super::last_event_id::percent_decoded;
use super::neutral::{is_neutral, of_the_connection};
use super::secret::{Hash, Secret};
use super::{Key, ShownPath};

/// A request by its key. It is made before any lock is taken.
pub(super) struct Keyed {
    pub(super) hash: Hash,
    /// The hash by all of the request that is not neutral.
    pub(super) full: Hash,
    /// The same without its fields.
    pub(super) target: Hash,
    /// The fields of the key, to say by which of them two requests differ.
    pub(super) fields: Vec<(HeaderName, Hash)>,
    /// Whether the request has nothing but its key, and what is neutral.
    pub(super) is_whole: bool,
}

/// So many fields are compared to say why two requests do not share.
const COMPARED: usize = 64;

impl Keyed {
    /// `room` is what keeps apart requests that look the same in here.
    pub(super) fn new(
        key: &Key,
        secret: &Secret,
        request: &request::Parts,
        room: &[u8],
        body: &[u8],
    ) -> Self {
        let hop = of_the_connection(&request.headers);
        let target = Target::of(key, request);
        let mut hash = secret.fields("key");
        let mut full = secret.fields("full");
        for fields in [&mut hash, &mut full] {
            fields.add(request.method.as_str().as_bytes());
            fields.add(room);
            fields.add(body);
            fields.add(request.uri.path().as_bytes());
            fields.add_if_any(special_accept(&request.headers).as_deref());
        }
        hash.add_if_any(target.host.as_deref());
        hash.add_if_any(target.query.as_deref());
        full.add_if_any(host(request).as_deref());
        full.add_if_any(request.uri.query().map(str::as_bytes));
        let target_hash = hash.hash();

        let mut compared = Vec::new();
        let mut is_whole = target.is_whole;
        for name in names(&request.headers) {
            if !key.looks_at(name) || hop.contains(name) {
                continue;
            }
            let Some(value) = joined(&request.headers, name) else {
                continue;
            };
            full.add(name.as_str().as_bytes());
            full.add(&value);
            let Some(kept) = key.kept(name, &value) else {
                is_whole &= key.ignored.contains(name);
                continue;
            };
            is_whole &= kept == value;
            if kept.is_empty() && *name == header::COOKIE {
                continue;
            }
            hash.add(name.as_str().as_bytes());
            hash.add(&kept);
            if key.fields && compared.len() < COMPARED {
                compared.push((name.clone(), *blake3::hash(&kept).as_bytes()));
            }
        }
        Keyed {
            hash: hash.hash(),
            full: full.hash(),
            target: target_hash,
            fields: compared,
            is_whole,
        }
    }
}

impl Key {
    /// Whether this field may count: it is not neutral, or the key names it all the same.
    fn looks_at(&self, name: &HeaderName) -> bool {
        (!is_neutral(name) || self.headers.contains(name)) && *name != header::HOST
    }

    /// What of the value of this field is in the key; none when the field is not.
    fn kept<'a>(&self, name: &HeaderName, value: &'a Cow<'a, [u8]>) -> Option<Cow<'a, [u8]>> {
        if *name == header::COOKIE && !self.cookies.is_empty() && !self.headers.contains(name) {
            return Some(Cow::Owned(cookies(&self.cookies, value)));
        }
        let in_key = self.headers.contains(name) || self.fields && !self.ignored.contains(name);
        in_key.then(|| Cow::Borrowed(&**value))
    }

    /// Makes of a client's request that which is made for all with its key, and for who has the same in fields of these
    /// other names. The fields are copies: those of the client pin the buffer they were read into.
    pub(super) fn for_all(&self, request: &request::Parts, also: &[HeaderName]) -> request::Parts {
        let hop = of_the_connection(&request.headers);
        let target = Target::of(self, request);
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = request.method.clone();
        parts.uri = target.uri(request.uri.path());
        parts.version = Version::HTTP_11;
        parts.extensions = request.extensions.clone();
        parts.extensions.insert(super::ForAll(()));
        let mut headers = HeaderMap::new();
        if let Some(host) = target.host.as_deref().and_then(value) {
            headers.insert(header::HOST, host);
        }
        for name in names(&request.headers) {
            let also = also.contains(name) && *name != header::HOST;
            if hop.contains(name) || !self.looks_at(name) && !also {
                continue;
            }
            let Some(whole) = joined(&request.headers, name) else {
                continue;
            };
            let kept = match self.kept(name, &whole) {
                _ if also => whole,
                Some(kept) if !kept.is_empty() || whole.is_empty() => kept,
                _ => continue,
            };
            if let Some(kept) = value(&kept) {
                headers.insert(name.clone(), kept);
            }
        }
        let accept = match special_accept(&request.headers) {
            Some(accept) => value(&accept),
            None => None,
        };
        let accept = accept.unwrap_or(HeaderValue::from_static("text/event-stream"));
        headers.insert(header::ACCEPT, accept);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        parts.headers = headers;
        parts
    }

    /// The key for people to read: all values but host and path are hashed, since they may be credentials.
    pub(super) fn label(&self, secret: &Secret, request: &request::Parts) -> String {
        let mut label = request.method.to_string();
        if let Some(host) = host(request).filter(|_| self.host) {
            add(&mut label, &host.escape_ascii().to_string());
        }
        match request.extensions.get::<ShownPath>() {
            Some(path) => add(&mut label, &path.0),
            None => add(&mut label, request.uri.path()),
        }
        let mut hashed = |name: &str, value: &[u8]| {
            let mut fields = secret.fields("label");
            fields.add(value);
            let hash = u32::from_le_bytes([0, 1, 2, 3].map(|index: usize| fields.hash()[index]));
            add(&mut label, &format!("{name}={hash:08x}"));
        };
        if let Some(query) = &Target::of(self, request).query {
            hashed("query", query);
        }
        let hop = of_the_connection(&request.headers);
        for name in names(&request.headers) {
            let counts = self.looks_at(name) && !hop.contains(name);
            let Some(whole) = joined(&request.headers, name).filter(|_| counts) else {
                continue;
            };
            if let Some(kept) = self.kept(name, &whole).filter(|kept| !kept.is_empty()) {
                hashed(name.as_str(), &kept);
            }
        }
        label
    }
}

/// A label is kept up to this length.
const LABEL: usize = 300;

fn add(label: &mut String, text: &str) {
    if label.len() < LABEL {
        label.push(' ');
        label.extend(text.chars().take(LABEL - label.len().min(LABEL)));
    }
}

/// Where a request goes, as far as its key says.
struct Target {
    host: Option<Vec<u8>>,
    query: Option<Vec<u8>>,
    is_whole: bool,
}

impl Target {
    fn of(key: &Key, request: &request::Parts) -> Self {
        let whole = request.uri.query();
        let query = if key.query {
            whole.map(|query| query.as_bytes().to_vec())
        } else if key.parameters.is_empty() {
            None
        } else {
            let picked = parameters(&key.parameters, whole.unwrap_or(""));
            (!picked.is_empty()).then(|| picked.into_bytes())
        };
        let host = host(request);
        Target {
            is_whole: query.as_deref() == whole.map(str::as_bytes) && (key.host || host.is_none()),
            query,
            host: host.filter(|_| key.host),
        }
    }

    fn uri(&self, path: &str) -> Uri {
        let path = if path.is_empty() { "/" } else { path };
        let mut all = path.as_bytes().to_vec();
        if let Some(query) = &self.query {
            all.push(b'?');
            all.extend_from_slice(query);
        }
        // It is made of what was one.
        PathAndQuery::try_from(all).map_or_else(|_| Uri::default(), Uri::from)
    }
}

/// The host that a request is for, in lower case: of the target or, where that has none, of the field.
pub(super) fn host(request: &request::Parts) -> Option<Vec<u8>> {
    let of_target = request.uri.authority().map(|host| host.as_str().as_bytes());
    let field = request.headers.get(header::HOST).map(HeaderValue::as_bytes);
    of_target.or(field).map(<[u8]>::to_ascii_lowercase)
}

/// The names of all fields, in one order whatever theirs is.
fn names(headers: &HeaderMap) -> Vec<&HeaderName> {
    let mut names: Vec<_> = headers.keys().collect();
    names.sort_unstable_by_key(|name| name.as_str());
    names
}

/// The value of a field, one however many lines it is spread over (RFC 9110 section 5.2, RFC 9113 section 8.2.3).
pub(super) fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let first = values.next()?.trim_ascii();
    let Some(second) = values.next() else {
        return Some(Cow::Borrowed(first));
    };
    let separator: &[u8] = if *name == header::COOKIE {
        b"; "
    } else {
        b", "
    };
    let mut all = first.to_vec();
    for value in std::iter::once(second).chain(values) {
        all.extend_from_slice(separator);
        all.extend_from_slice(value.trim_ascii());
    }
    Some(Cow::Owned(all))
}

/// The cookies of these names, in the order of the names.
pub(super) fn cookies(names: &[String], field: &[u8]) -> Vec<u8> {
    let mut picked = Vec::new();
    for name in names {
        for pair in field.split(|byte| *byte == b';') {
            let pair = pair.trim_ascii();
            let rest = pair.strip_prefix(name.as_bytes());
            if rest.is_some_and(|rest| rest.starts_with(b"=")) {
                if !picked.is_empty() {
                    picked.extend_from_slice(b"; ");
                }
                picked.extend_from_slice(pair);
            }
        }
    }
    picked
}

/// The parameters of these names, in the order of the names, each name written in one way.
fn parameters(names: &[String], query: &str) -> String {
    let mut picked = String::new();
    for name in names {
        for pair in query.split('&') {
            let (this, value) = match pair.split_once('=') {
                Some((this, value)) => (this, Some(value)),
                None => (pair, None),
            };
            // As the upstream reads it: a name that is written otherwise is the same.
            if percent_decoded(this.replace('+', " ").as_bytes()) != name.as_bytes() {
                continue;
            }
            if !picked.is_empty() {
                picked.push('&');
            }
            for byte in name.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                        picked.push(byte.into());
                    }
                    other => picked.push_str(&format!("%{other:02X}")),
                }
            }
            if let Some(value) = value {
                picked.push('=');
                picked.push_str(value);
            }
        }
    }
    picked
}

/// What a client asks of an event stream beyond that it is one, such as a version among the parameters of the type.
fn special_accept(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut special = Vec::new();
    for value in headers.get_all(header::ACCEPT) {
        for range in value.as_bytes().split(|byte| *byte == b',') {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let essence = parts.next().unwrap_or(b"");
            if !essence.eq_ignore_ascii_case(b"text/event-stream") {
                continue;
            }
            let mut one = b"text/event-stream".to_vec();
            for parameter in parts {
                let name = parameter.split(|byte| *byte == b'=').next().unwrap_or(b"");
                let plain =
                    name.eq_ignore_ascii_case(b"q") || name.eq_ignore_ascii_case(b"charset");
                if !plain && !parameter.is_empty() {
                    one.extend_from_slice(b";");
                    one.extend_from_slice(&parameter.to_ascii_lowercase());
                }
            }
            if one.contains(&b';') {
                special.push(one);
            }
        }
    }
    special.sort();
    (!special.is_empty()).then(|| special.join(&b", "[..]))
}

/// A copy: a value of a request is a slice of the buffer that it was read into, and pins it.
pub(super) fn value(bytes: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(bytes).ok()
}

/// A copy of a request's head that pins nothing.
pub(super) fn copied(request: &request::Parts) -> request::Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = request.method.clone();
    parts.version = request.version;
    parts.uri = request.uri.to_string().parse().unwrap_or_default();
    parts.extensions = request.extensions.clone();
    parts.headers = copied_fields(&request.headers);
    parts
}

pub(super) fn copied_fields(headers: &HeaderMap) -> HeaderMap {
    let mut copies = HeaderMap::new();
    for (name, field) in headers {
        let copy = value(field.as_bytes()).unwrap_or_else(|| field.clone());
        copies.append(name.clone(), copy);
    }
    copies
}
