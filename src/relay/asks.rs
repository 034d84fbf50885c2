//! What a request asks for, as far as its head says it.

use http::{HeaderMap, HeaderValue, Method, Request, Version, header};
use http_body::Body;

use super::config::Config;

/// What becomes of a request before its key is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// It passes by.
    Nothing,
    /// For an event stream that may be shared, by a GET that names its type.
    Named,
    /// For anything, by a GET: it waits for nobody, and may join a stream that is open.
    Anything,
    /// For an event stream that may be shared, by a POST that names its type. Its body is a part of its key.
    Body,
    /// For what is its own.
    Own,
}

/// What a client says of the types that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepts {
    EventStreams,
    Anything,
    Other,
}

impl Asks {
    pub(super) fn of<B: Body>(request: &Request<B>, config: &Config) -> Self {
        let method = request.method();
        let has_body = !request.body().is_end_stream();
        if (method != Method::GET && method != Method::POST) || wants_upgrade(request) {
            return Asks::Nothing;
        }
        let Some(key) = &config.key else {
            return Asks::Own;
        };
        let accepts = Accepts::of(request.headers());
        if method == Method::GET {
            return match accepts {
                // What it means is for the upstream to say, and nobody else has the same.
                _ if has_body => Asks::Nothing,
                Accepts::EventStreams => Asks::Named,
                Accepts::Anything => Asks::Anything,
                Accepts::Other => Asks::Nothing,
            };
        }
        let upper = request.body().size_hint().upper();
        let is_short = upper.is_some_and(|upper| upper <= config.max_request_bytes);
        match accepts {
            Accepts::EventStreams if key.body && (is_short || !has_body) => Asks::Body,
            _ => Asks::Nothing,
        }
    }

    /// Whether the client names `text/event-stream`.
    pub(super) fn names_event_streams(headers: &HeaderMap) -> bool {
        Accepts::of(headers) == Accepts::EventStreams
    }
}

impl Accepts {
    fn of(headers: &HeaderMap) -> Self {
        let mut accepts = match headers.contains_key(header::ACCEPT) {
            true => Accepts::Other,
            // RFC 9110 section 12.5.1.
            false => Accepts::Anything,
        };
        let values = headers.get_all(header::ACCEPT).iter();
        let ranges = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        for range in ranges {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let essence = parts.next().unwrap_or(b"");
            if parts.any(is_refusal) {
                continue;
            }
            if essence.eq_ignore_ascii_case(b"text/event-stream") {
                return Accepts::EventStreams;
            }
            if essence == b"*/*" || essence.eq_ignore_ascii_case(b"text/*") {
                accepts = Accepts::Anything;
            }
        }
        accepts
    }
}

/// `q=0`: what is named is not taken.
fn is_refusal(parameter: &[u8]) -> bool {
    let Some((name, weight)) = parameter.split_at_checked(2) else {
        return false;
    };
    name.eq_ignore_ascii_case(b"q=")
        && !weight.is_empty()
        && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Whether it asks for another protocol. `Upgrade` alone, which a proxy takes off, says nothing (RFC 9110 section 7.8).
fn wants_upgrade<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.version() == Version::HTTP_11
        && headers.contains_key(header::UPGRADE)
        && headers
            .get_all(header::CONNECTION)
            .iter()
            .map(HeaderValue::as_bytes)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_or_included_or_not() {
        for (accept, expected) in [
            (&[][..], Accepts::Anything),
            (&["*/*"], Accepts::Anything),
            (&["text/html, */*;q=0.8"], Accepts::Anything),
            (&["text/*"], Accepts::Anything),
            (&["text/event-stream"], Accepts::EventStreams),
            (
                &["application/json", "Text/Event-Stream;q=0.5"],
                Accepts::EventStreams,
            ),
            (&["text/event-stream;q=0"], Accepts::Other),
            (&["text/event-stream; Q=0.000, */*"], Accepts::Anything),
            (&["*/*;q=0"], Accepts::Other),
            (&["application/json"], Accepts::Other),
            (&[""], Accepts::Other),
            (&["text/event-streams"], Accepts::Other),
        ] {
            let mut all = HeaderMap::new();
            for value in accept {
                all.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Accepts::of(&all), expected, "{accept:?}");
        }
    }

    #[test]
    fn only_who_says_it_on_the_connection_too_wants_another_protocol() {
        let of = |fields: &[(&str, &str)]| {
            let mut request = Request::get("/");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            wants_upgrade(&request.body(()).unwrap())
        };
        assert!(of(&[
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade")
        ]));
        assert!(!of(&[("upgrade", "h2c")]));
        assert!(!of(&[("connection", "upgrade")]));
    }
}
