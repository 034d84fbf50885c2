//! What the upstream is told of where a client was.

use http::{HeaderMap, HeaderName, HeaderValue};
use tower_sse::wire::SequentialId;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Takes ids that are ours out of `Last-Event-ID`. What the upstream's own last id was stands behind the dot
/// of such an id, and is sent in its place; an id of the upstream stays as it is.
pub(crate) fn to_upstream(headers: &mut HeaderMap) {
    let Some(id) = headers.get(&LAST_EVENT_ID) else {
        return;
    };
    let Some(ours) = SequentialId::parse(id.as_bytes()) else {
        return;
    };
    let upstream = ours
        .upstream
        .and_then(|id| HeaderValue::from_bytes(id).ok());
    match upstream {
        Some(id) => headers.insert(LAST_EVENT_ID, id),
        None => headers.remove(LAST_EVENT_ID),
    };
}

#[cfg(test)]
mod tests {
    use tower_sse::wire::Epoch;

    use super::*;

    fn sent(id: &[u8]) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        let id = HeaderValue::from_bytes(id).expect("a header value");
        headers.insert(LAST_EVENT_ID, id);
        to_upstream(&mut headers);
        headers.remove(LAST_EVENT_ID)
    }

    fn ours(upstream: Option<&[u8]>) -> Vec<u8> {
        let id = SequentialId {
            epoch: Epoch::from_bits(7),
            sequence: 12,
            upstream,
        };
        id.to_event_id().as_bytes().to_vec()
    }

    #[test]
    fn ours_are_not_sent() {
        assert_eq!(sent(&ours(None)), None);
    }

    #[test]
    fn what_the_upstream_set_is_sent_in_their_place() {
        assert_eq!(
            sent(&ours(Some(b"42"))).as_ref().map(HeaderValue::as_bytes),
            Some(&b"42"[..])
        );
        let text = "四十二".as_bytes();
        assert_eq!(
            sent(&ours(Some(text))).as_ref().map(HeaderValue::as_bytes),
            Some(text)
        );
    }

    #[test]
    fn the_upstreams_own_stay() {
        for id in ["42", "1526919030474-0", ""] {
            assert_eq!(
                sent(id.as_bytes()).as_ref().map(HeaderValue::as_bytes),
                Some(id.as_bytes())
            );
        }
    }
}
