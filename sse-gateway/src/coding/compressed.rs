//! The body of an event stream as a client gets it that accepts gzip.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use tower_sse::stage;

use super::gzip::{Gzip, Once};
use crate::body::{StackBody, boxed};
use crate::fields::tokens;

/// Whether a client wants gzip (RFC 9110, section 12.5.3).
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for token in tokens(headers, &ACCEPT_ENCODING) {
        let mut parts = token.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let is_refused = parts.any(|parameter| {
            let weight = parameter.strip_prefix(b"q=");
            let weight = weight.or_else(|| parameter.strip_prefix(b"Q="));
            weight.is_some_and(|weight| weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
        });
        if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            return !is_refused;
        }
        any |= name == b"*" && !is_refused;
    }
    any
}

/// The response as gzip, if it is an event stream and that is `accepted`. What is `shared` is encoded once for all clients.
pub(crate) fn compressed(
    response: Response<StackBody>,
    accepted: bool,
    shared: Option<&Arc<Once>>,
) -> Response<StackBody> {
    let (mut head, body) = response.into_parts();
    if stage::bypass(&head, false).is_some() {
        return Response::from_parts(head, body);
    }
    let varies = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding");
    if !tokens(&head.headers, &VARY).any(varies) {
        let name = HeaderValue::from_static("accept-encoding");
        head.headers.append(VARY, name);
    }
    if !accepted {
        return Response::from_parts(head, body);
    }
    let coding = HeaderValue::from_static("gzip");
    head.headers.insert(CONTENT_ENCODING, coding);
    let gzip = match shared {
        None => Gzip::own(),
        Some(once) => Gzip::shared(Arc::clone(once)),
    };
    let compressed = Compressed {
        body,
        gzip: Some(gzip),
        last: None,
    };
    Response::from_parts(head, boxed(compressed))
}

struct Compressed {
    body: StackBody,
    /// None once it has ended.
    gzip: Option<Gzip>,
    /// What goes behind the end.
    last: Option<Frame<Bytes>>,
}

impl Body for Compressed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            let Some(gzip) = &mut this.gzip else {
                return Poll::Ready(this.last.take().map(Ok));
            };
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(gzip.encode(&data))))),
                    Err(frame) => this.last = Some(frame),
                },
                Some(Err(error)) => {
                    this.gzip = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {}
            }
            let end = this.gzip.take().map(Gzip::finish);
            return Poll::Ready(end.map(|end| Ok(Frame::data(end))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.gzip.is_none() && self.last.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_gzip_says_so() {
        for (accepts, expected) in [
            ("gzip", true),
            ("GZIP", true),
            ("br, gzip;q=0.5", true),
            ("deflate, x-gzip", true),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip ; q=0.000", false),
            ("identity", false),
            ("", false),
            ("gzipped", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepts));
            assert_eq!(accepts_gzip(&headers), expected, "{accepts}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
