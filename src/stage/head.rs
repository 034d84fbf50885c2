//! What the head of a response says: is it an event stream?

use http::{HeaderMap, StatusCode, header, response};

use super::Bypass;

/// Why the stages have no business with the response to a request, if they have none. `head_request` is whether that was a HEAD.
///
/// For who drives a [`Pipeline`](super::Pipeline), or has to tell event streams from other responses.
pub fn bypass(response: &response::Parts, head_request: bool) -> Option<Bypass> {
    if head_request || response.status != StatusCode::OK || !is_event_stream(&response.headers) {
        return Some(Bypass::NotAnEventStream);
    }
    is_encoded(&response.headers).then_some(Bypass::Encoded)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next();
        essence.is_some_and(|essence| {
            essence
                .trim_ascii()
                .eq_ignore_ascii_case(b"text/event-stream")
        })
    })
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn of(status: u16, fields: &[(&str, &str)], head_request: bool) -> Option<Bypass> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        bypass(&response.body(()).unwrap().into_parts().0, head_request)
    }

    const TYPE: (&str, &str) = ("content-type", "text/event-stream");

    #[test]
    fn the_media_type_is_parsed() {
        for value in [
            "text/event-stream",
            "Text/Event-Stream",
            "text/event-stream;charset=utf-8",
            " text/event-stream ; charset=\"x\"",
        ] {
            assert_eq!(of(200, &[("content-type", value)], false), None, "{value}");
        }
        for value in [
            "text/event-streams",
            "text/plain",
            "application/json; text/event-stream",
            "",
        ] {
            let got = of(200, &[("content-type", value)], false);
            assert_eq!(got, Some(Bypass::NotAnEventStream), "{value}");
        }
        assert_eq!(of(200, &[], false), Some(Bypass::NotAnEventStream));
    }

    #[test]
    fn only_a_200_with_a_body_is_one() {
        assert_eq!(of(204, &[TYPE], false), Some(Bypass::NotAnEventStream));
        assert_eq!(of(206, &[TYPE], false), Some(Bypass::NotAnEventStream));
        assert_eq!(of(500, &[TYPE], false), Some(Bypass::NotAnEventStream));
        assert_eq!(of(200, &[TYPE], true), Some(Bypass::NotAnEventStream));
    }

    #[test]
    fn a_content_coding_hides_the_events() {
        for (coding, expected) in [
            ("gzip", Some(Bypass::Encoded)),
            ("identity, BR", Some(Bypass::Encoded)),
            ("Identity", None),
            ("", None),
        ] {
            assert_eq!(
                of(200, &[TYPE, ("content-encoding", coding)], false),
                expected
            );
        }
    }
}
