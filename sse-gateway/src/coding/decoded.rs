//! The body of an event stream that its upstream has encoded.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{Response, response};
use http_body::{Body, Frame, SizeHint};
use metrics::counter;
use tower_sse::stage::{self, Bypass};

use super::Coding;
use super::decode::Decode;
use crate::proxy::upstream::UpstreamBody;

pub(crate) const DECODED: &str = "sse_decoded_streams_total";

/// A body without its coding.
pub(crate) struct Decoded {
    body: UpstreamBody,
    /// None once it has failed.
    decode: Option<Decode>,
}

impl Decoded {
    /// The coding of a response whose body is to be decoded: one of an event stream.
    pub(crate) fn coding(head: &response::Parts) -> Option<Coding> {
        let is_encoded = stage::bypass(head, false) == Some(Bypass::Encoded);
        Coding::of(&head.headers).filter(|_| is_encoded)
    }

    /// The response without its coding, and what else says how its bytes were.
    pub(crate) fn response(response: Response<UpstreamBody>, coding: Coding) -> Response<Self> {
        counter!(DECODED, "coding" => coding.name()).increment(1);
        let mut response = response.map(|body| Decoded {
            body,
            decode: Some(Decode::new(coding)),
        });
        for name in [CONTENT_ENCODING, CONTENT_LENGTH, ACCEPT_RANGES] {
            response.headers_mut().remove(name);
        }
        response
    }

    fn broken(&mut self, error: &io::Error) -> BoxError {
        let coding = self.decode.take().map(|decode| decode.coding().name());
        let coding = coding.unwrap_or_default();
        let error = format!("the upstream's {coding} is broken: {error}");
        self.body.is_broken(&error);
        error.into()
    }
}

impl Body for Decoded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            let Some(decode) = &mut this.decode else {
                return Poll::Ready(None);
            };
            match decode.next() {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(this.broken(&error)))),
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => {
                    let finished = decode.finish();
                    if let Err(error) = finished {
                        return Poll::Ready(Some(Err(this.broken(&error))));
                    }
                    this.decode = None;
                }
                Some(Err(error)) => {
                    this.decode = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => decode.push(data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decode.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
