//! What the upstream says of who else its answer is for: `Vary` and `Cache-Control` (RFC 9110 section 12.5.5, RFC 9111
//! section 5.2.2.7).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::keyed::joined;
use super::neutral::is_of_the_way;
use super::secret::Hash;

/// For whom else the answer to a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vary {
    /// For who has the same in these fields as the request had.
    Fields(Vec<(HeaderName, Option<Hash>)>),
    /// For nobody.
    Private,
}

impl Vary {
    /// What this answer to a request with these fields says. With `insist` it is not asked.
    pub(super) fn of(answer: &HeaderMap, sent: &HeaderMap, insist: bool) -> Self {
        if insist {
            return Vary::Fields(Vec::new());
        }
        if has_directive(answer, "private") {
            return Vary::Private;
        }
        let mut fields = Vec::new();
        for name in words(answer, &header::VARY) {
            if name == b"*" {
                return Vary::Private;
            }
            let Ok(name) = HeaderName::from_bytes(name) else {
                return Vary::Private;
            };
            if is_ours(&name) || fields.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if is_of_the_way(&name) {
                return Vary::Private;
            }
            let value = hash(sent, &name);
            fields.push((name, value));
        }
        fields.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        Vary::Fields(fields)
    }

    /// An answer that differs by these fields.
    pub(super) fn by(names: &[HeaderName], sent: &HeaderMap) -> Self {
        let field = |name: &HeaderName| (name.clone(), hash(sent, name));
        Vary::Fields(names.iter().map(field).collect())
    }

    /// Whether the answer is for a request with these fields too.
    pub(super) fn suits(&self, request: &HeaderMap) -> bool {
        match self {
            Vary::Fields(fields) => fields
                .iter()
                .all(|(name, value)| hash(request, name) == *value),
            Vary::Private => false,
        }
    }

    /// The fields that it names.
    pub(super) fn names(&self) -> Vec<HeaderName> {
        match self {
            Vary::Fields(fields) => fields.iter().map(|(name, _)| name.clone()).collect(),
            Vary::Private => Vec::new(),
        }
    }
}

/// Whether the directive is in `Cache-Control`, with or without an argument.
pub(super) fn has_directive(answer: &HeaderMap, directive: &str) -> bool {
    words(answer, &header::CACHE_CONTROL).any(|word| {
        let name = word.split(|byte| *byte == b'=').next().unwrap_or(word);
        name.trim_ascii().eq_ignore_ascii_case(directive.as_bytes())
    })
}

/// Fields that a request for all has of its own: all who share it take an event stream, and take it without a coding.
fn is_ours(name: &HeaderName) -> bool {
    [
        header::ACCEPT.as_str(),
        header::ACCEPT_ENCODING.as_str(),
        header::CACHE_CONTROL.as_str(),
        header::PRAGMA.as_str(),
        "last-event-id",
    ]
    .contains(&name.as_str())
}

fn hash(headers: &HeaderMap, name: &HeaderName) -> Option<Hash> {
    joined(headers, name).map(|value| *blake3::hash(&value).as_bytes())
}

fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let one = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        fields.iter().map(one).collect()
    }

    #[test]
    fn a_field_that_is_named_has_to_be_the_same() {
        let answer = map(&[("vary", "Accept-Encoding, ORIGIN"), ("vary", "x-lang")]);
        let vary = Vary::of(&answer, &map(&[("origin", "a")]), false);
        assert!(vary.suits(&map(&[("origin", "a"), ("accept-encoding", "br")])));
        assert!(!vary.suits(&map(&[("origin", "b")])));
        assert!(!vary.suits(&map(&[])));
        assert!(!vary.suits(&map(&[("origin", "a"), ("x-lang", "de")])));
        assert_eq!(vary.names(), ["origin", "x-lang"]);
        assert!(Vary::of(&answer, &map(&[]), true).suits(&map(&[("origin", "b")])));
    }

    #[test]
    fn a_private_answer_is_for_nobody_else() {
        for fields in [
            ("vary", "*"),
            ("vary", "origin, *"),
            ("vary", "X-Forwarded-For"),
            ("vary", "not a name"),
            ("cache-control", "no-cache, Private"),
            ("cache-control", "private=\"set-cookie\""),
        ] {
            let vary = Vary::of(&map(&[fields]), &map(&[]), false);
            assert_eq!(vary, Vary::Private, "{fields:?}");
            assert!(Vary::of(&map(&[fields]), &map(&[]), true).suits(&map(&[])));
        }
        let no_store = map(&[("cache-control", "no-store, privately")]);
        assert!(Vary::of(&no_store, &map(&[]), false).suits(&map(&[])));
    }
}
