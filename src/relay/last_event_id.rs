//! What a client saw last, as its request says it.

use std::cmp::Ordering;

use http::{HeaderName, Uri, request, uri};

use super::LastEventIdTaken;
use super::asks::Asks;
use super::keyed::value;
use crate::history::{Seal, order};
use crate::wire::{Epoch, EventId, IdTag, SequentialId};

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A longer one is not looked up, and not sent upstream: it is nobody's.
const MAX_LEN: usize = 4096;

/// The last event ID of a client; empty when it was too long to be any.
#[derive(Clone, Debug)]
pub(super) struct LastEventId {
    pub(super) id: Vec<u8>,
    /// What of it is the upstream's, if it is true.
    pub(super) upstream: Option<Vec<u8>>,
}

impl LastEventId {
    /// Takes it out of the request, the header before the query. In the header stays what is the upstream's.
    ///
    /// An id with another tag is one: it was written by who stands behind us.
    pub(super) fn take(request: &mut request::Parts, tag: Option<IdTag>) -> Option<Self> {
        request.extensions.insert(LastEventIdTaken(()));
        let in_query = take_from_query(request);
        let in_header = request.headers.remove(&LAST_EVENT_ID);
        let id = in_header.map(|id| id.as_bytes().to_vec()).or(in_query)?;
        if id.is_empty() {
            return None;
        }
        if id.len() > MAX_LEN {
            let id = Vec::new();
            return Some(LastEventId { id, upstream: None });
        }
        let upstream = match SequentialId::parse(&id) {
            Some(ours) if IdTag::is_of(tag, &ours) => ours.upstream.map(<[u8]>::to_vec),
            _ => Some(id.clone()),
        };
        if let Some(value) = upstream.as_deref().and_then(value) {
            request.headers.insert(LAST_EVENT_ID, value);
        }
        Some(LastEventId { id, upstream })
    }

    /// An id that this seal proves is one of ours, whatever its tag: of somebody with our secret, in front of an upstream
    /// that has another name.
    pub(super) fn prove(&mut self, seal: &Seal, request: &mut request::Parts) {
        let Some(upstream) = seal.proven(&self.id).map(<[u8]>::to_vec) else {
            return;
        };
        if let Some(value) = value(&upstream) {
            request.headers.insert(LAST_EVENT_ID, value);
        }
        self.upstream = Some(upstream);
    }

    /// The id of the upstream behind which the client has had some events or none, if it is not known more exactly.
    pub(super) fn nearest(&self) -> Option<Vec<u8>> {
        self.upstream.clone().filter(|id| *id != self.id)
    }

    /// Whether this id of ours is behind the same id of the upstream as the client, which is not known more exactly.
    pub(super) fn is_nearest_of(&self, id: &EventId) -> bool {
        let id = id.as_bytes();
        let upstream = SequentialId::parse(id).map_or(Some(id), |ours| ours.upstream);
        let nearest = self.nearest();
        nearest.is_some_and(|nearest| upstream.is_none_or(|id| is_same(id, &nearest)))
    }

    /// Where the count of the id began, if it is one of ours.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        SequentialId::parse(&self.id).map(|ours| ours.epoch)
    }
}

/// Whether two ids of an upstream say the same position: a gateway that counts anew gives another id to the same of its own.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one == other || order(one, other) == Some(Ordering::Equal)
}

/// Moves a last event ID from the query of a request to its header field `Last-Event-ID`. One that is there already stays,
/// and that of the query is dropped: a client that sets both has the newer one in the header.
///
/// Polyfills cannot set the field, and hubs let their clients name the id in the query: as `lastEventId`, `lastEventID`,
/// `last_event_id` or `Last-Event-ID`, in upper or lower case. A parameter that has such a name is taken for one where the
/// client names `text/event-stream` in `Accept`, or its value is an id of ours. It may be anything else otherwise, and stays.
///
/// A [`RelayLayer`](super::RelayLayer) does so by itself. It is of use in front of anything else that looks at the field.
///
/// # Example
///
/// ```
/// use http::Request;
/// use tower_sse::relay::move_last_event_id_to_header;
///
/// let request = Request::get("/events?room=7&lastEventId=row-42").header("accept", "text/event-stream");
/// let (mut parts, ()) = request.body(()).unwrap().into_parts();
/// move_last_event_id_to_header(&mut parts);
/// assert_eq!(parts.uri, "/events?room=7");
/// assert_eq!(parts.headers["last-event-id"], "row-42");
/// ```
pub fn move_last_event_id_to_header(request: &mut request::Parts) {
    let id = take_from_query(request).filter(|id| !id.is_empty());
    if let Some(id) = id.as_deref().and_then(value) {
        request.headers.entry(LAST_EVENT_ID).or_insert(id);
    }
}

fn take_from_query(request: &mut request::Parts) -> Option<Vec<u8>> {
    let query = request.uri.query()?;
    let is_one = |pair: &&str| is_name(pair.split('=').next().unwrap_or(""));
    let found = query.split('&').find(is_one)?;
    let value = found.split_once('=').map_or("", |(_, value)| value);
    let id = percent_decoded(value.as_bytes());
    if !Asks::names_event_streams(&request.headers) && SequentialId::parse(&id).is_none() {
        return None;
    }

    let path = request.uri.path();
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_one(pair)).collect();
    let path = match rest.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", rest.join("&")),
    };
    let mut parts = std::mem::take(&mut request.uri).into_parts();
    if let Ok(path) = uri::PathAndQuery::try_from(path) {
        parts.path_and_query = Some(path);
    }
    request.uri = Uri::from_parts(parts).unwrap_or_default();
    Some(id)
}

/// Whether a parameter of the query with this name has the last event ID.
fn is_name(name: &str) -> bool {
    let name = percent_decoded(name.as_bytes());
    let letters = name.iter().filter(|byte| !matches!(byte, b'-' | b'_'));
    letters
        .map(u8::to_ascii_lowercase)
        .eq(b"lasteventid".iter().copied())
}

pub(super) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let byte = match rest {
            [b'%', hex @ ..] => hex
                .get(..2)
                .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
                .and_then(|hex| std::str::from_utf8(hex).ok())
                .and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[3..] } else { behind };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn taken(uri: &str, header: Option<&str>) -> (Option<String>, String, Option<String>) {
        let mut request = Request::get(uri).header("accept", "text/event-stream");
        if let Some(id) = header {
            request = request.header(LAST_EVENT_ID, id);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let id = LastEventId::take(&mut parts, None);
        let sent = parts.headers.get(&LAST_EVENT_ID);
        (
            id.map(|id| String::from_utf8(id.id).unwrap()),
            parts.uri.to_string(),
            sent.map(|id| id.to_str().unwrap().into()),
        )
    }

    const NAMES: [&str; 8] = [
        "lastEventId",
        "lastEventID",
        "LASTEVENTID",
        "last_event_id",
        "Last_Event_Id",
        "Last-Event-ID",
        "last-event-id",
        "last%2Devent%2did",
    ];

    #[test]
    fn the_header_comes_before_the_query_and_the_query_loses_it() {
        let some = |text: &str| Some(text.to_owned());
        for name in NAMES {
            let uri = format!("/a?x=1&{name}=row%2d7%2&y");
            assert_eq!(
                taken(&uri, None),
                (some("row-7%2"), "/a?x=1&y".into(), some("row-7%2"))
            );
            assert_eq!(
                taken(&uri, Some("h")),
                (some("h"), "/a?x=1&y".into(), some("h"))
            );
        }
        let uri = "http://host/a?lastEventId=5";
        assert_eq!(
            taken(uri, None),
            (some("5"), "http://host/a".into(), some("5"))
        );
        assert_eq!(taken("/a?b", None), (None, "/a?b".into(), None));
    }

    #[test]
    fn who_does_not_name_an_event_stream_may_mean_something_else_in_the_query() {
        let ours = SequentialId {
            epoch: Epoch::from_secret(7),
            sequence: 3,
            upstream: None,
        };
        let ours = ours.to_event_id();
        let ours = ours.as_bytes().escape_ascii().to_string();
        for (query, left, found) in [
            ("last_event_id=5&x=1".into(), "last_event_id=5&x=1", false),
            (format!("last_event_id={ours}&x=1"), "x=1", true),
        ] {
            let request = Request::get(format!("/json?{query}")).body(()).unwrap();
            let (mut parts, ()) = request.into_parts();
            assert_eq!(LastEventId::take(&mut parts, None).is_some(), found);
            assert_eq!(parts.uri.query(), Some(left));
        }
    }

    #[test]
    fn an_id_of_who_stands_behind_us_is_the_upstreams_unless_our_secret_proves_it() {
        let [own, other] = ["own", "other"].map(IdTag::new);
        let seal = Seal::new([7; 32]);
        let id = |tag, upstream| SequentialId {
            epoch: Epoch::from_bits(7).with_tag(tag),
            sequence: 3,
            upstream,
        };
        let inner = id(other, None).to_event_id();
        let inner = inner.as_bytes();
        let row = Some(&b"row-7"[..]);
        let unproven = id(other, row).to_event_id();
        for (came_with, sent) in [
            (id(own, None).to_event_id(), None),
            (id(own, row).to_event_id(), row),
            (id(own, Some(inner)).to_event_id(), Some(inner)),
            (id(other, None).to_event_id(), Some(inner)),
            (unproven.clone(), Some(unproven.as_bytes())),
            (seal.write(&id(other, row)), row),
        ] {
            let request = Request::get("/").header(LAST_EVENT_ID, came_with.as_bytes());
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let mut last = LastEventId::take(&mut parts, Some(own)).unwrap();
            last.prove(&seal, &mut parts);
            assert_eq!(last.upstream.as_deref(), sent);
            let header = parts.headers.get(&LAST_EVENT_ID);
            assert_eq!(header.map(|id| id.as_bytes()), sent);
        }
    }

    #[test]
    fn ours_are_not_sent_upstream_and_huge_ones_are_nobodys() {
        let ours = |upstream| {
            let epoch = Epoch::from_secret(7);
            let id = SequentialId {
                epoch,
                sequence: 3,
                upstream,
            };
            String::from_utf8(id.to_event_id().as_bytes().to_vec()).unwrap()
        };
        assert_eq!(taken("/", Some(&ours(None))).2, None);
        assert_eq!(taken("/", Some(&ours(Some(b"a.b")))).2, Some("a.b".into()));
        let huge = "x".repeat(MAX_LEN + 1);
        assert_eq!(
            taken("/", Some(&huge)),
            (Some(String::new()), "/".into(), None)
        );
    }
}
