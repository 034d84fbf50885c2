//! What the upstream is told of where a client was.

use http::{HeaderMap, HeaderName, HeaderValue};
use tower_sse::wire::{IdTag, SequentialId};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Takes ids that are ours, by their tag, out of `Last-Event-ID`. What the upstream's own last id was stands behind the dot
/// of such an id, and is sent in its place; an id of the upstream stays as it is, also where that is a gateway too.
pub(crate) fn to_upstream(headers: &mut HeaderMap, tag: IdTag) {
    let Some(id) = headers.get(&LAST_EVENT_ID) else {
        return;
    };
    let ours = SequentialId::parse(id.as_bytes());
    let Some(ours) = ours.filter(|id| id.epoch.has_tag(tag)) else {
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

    const UPSTREAM: &str = "http://app:5000";

    fn sent(id: &[u8]) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        let id = HeaderValue::from_bytes(id).expect("a header value");
        headers.insert(LAST_EVENT_ID, id);
        to_upstream(&mut headers, IdTag::new(UPSTREAM));
        headers.remove(LAST_EVENT_ID)
    }

    fn ours(upstream: Option<&[u8]>) -> Vec<u8> {
        written_before(UPSTREAM, upstream)
    }

    fn written_before(name: &str, upstream: Option<&[u8]>) -> Vec<u8> {
        let id = SequentialId {
            epoch: Epoch::from_bits(7).with_tag(IdTag::new(name)),
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
    fn those_of_a_gateway_behind_us_stay_and_come_out_of_ours() {
        for upstream in [None, Some(&b"row-7"[..])] {
            let behind = written_before("http://another", upstream);
            for id in [behind.clone(), ours(Some(&behind))] {
                let sent = sent(&id);
                assert_eq!(sent.as_ref().map(HeaderValue::as_bytes), Some(&behind[..]));
            }
        }
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
