//! What the lists in header fields say.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Whether `Accept` names `text/event-stream`.
pub(crate) fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let is_that_alone = |value: &HeaderValue| value == "text/event-stream";
    if headers.get(ACCEPT).is_some_and(is_that_alone) {
        return true;
    }
    tokens(headers, &ACCEPT).any(|range| {
        let essence = range.split(|&byte| byte == b';').next().unwrap_or(range);
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"text/event-stream")
    })
}

/// Whether one of the comma-separated tokens of a field is this one, in any case.
pub(crate) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|one| one.eq_ignore_ascii_case(token.as_bytes()))
}

/// Takes out what a client says in fields of these names. Servers after the manner of CGI take `_` for `-`, so it counts as that.
pub(crate) fn remove_all<'a>(
    headers: &mut HeaderMap,
    names: impl Iterator<Item = &'a HeaderName> + Clone,
) {
    let form = |name: &HeaderName| name.as_str().replace('_', "-");
    let is_one = |name: &&HeaderName| names.clone().any(|one| form(one) == form(name));
    let said: Vec<_> = headers.keys().filter(is_one).cloned().collect();
    for name in said {
        headers.remove(name);
    }
}

/// The comma-separated tokens of all lines of a field.
pub(crate) fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}
