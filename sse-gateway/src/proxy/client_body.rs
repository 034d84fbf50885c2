//! The body of a request in front of a relay, which may make the request again.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// What a client sends, or what a relay has of it.
pub(crate) enum ClientBody {
    /// As it comes.
    Coming(Incoming),
    /// All of it; empty when it was read.
    Whole(Bytes),
}

impl From<Bytes> for ClientBody {
    fn from(all: Bytes) -> Self {
        Self::Whole(all)
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Coming(body) => Pin::new(body).poll_frame(cx),
            Self::Whole(all) if all.is_empty() => Poll::Ready(None),
            Self::Whole(all) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(all))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Coming(body) => body.is_end_stream(),
            Self::Whole(all) => all.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Coming(body) => body.size_hint(),
            Self::Whole(all) => SizeHint::with_exact(all.len() as u64),
        }
    }
}
