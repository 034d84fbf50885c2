//! The body of an upstream's response, and the connection it came on.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Either;
use hyper::body::Incoming;

use super::connect::Io;
use super::idle::Idle;
use super::raw_body::RawBody;
use super::{http1, http2};
use crate::log::limiter;
use crate::proxy::expect::Gate;
use crate::proxy::upstreams::Asked;

/// What a response holds on to until its body ends.
pub(super) enum Lease {
    /// The connection, given back to the pool after the last frame.
    Http1(http1::Lease),
    /// A place among the streams of a shared connection.
    Http2(#[expect(dead_code, reason = "counts down when it is dropped")] http2::Stream),
    /// The body has the connection, and this is where it goes.
    Raw(Weak<Idle<Io>>),
}

/// The body of an upstream's response.
///
/// Dropping it before its end cancels the request: the HTTP/1.1 connection is closed, the HTTP/2 stream is reset. An upstream
/// that fails in the middle fails this body, so that the client never takes a part for the whole.
pub(crate) struct UpstreamBody {
    body: Either<Incoming, RawBody>,
    lease: Option<Lease>,
    /// Whose it is, once it goes on to a client.
    asked: Option<Asked>,
    /// Keeps back the request's body, if it may still be shut.
    gate: Option<Arc<Gate>>,
}

impl UpstreamBody {
    pub(super) fn new(incoming: Incoming, lease: Lease) -> Self {
        Self::of(Either::Left(incoming), lease)
    }

    pub(super) fn raw(body: RawBody, idle: Weak<Idle<Io>>) -> Self {
        Self::of(Either::Right(body), Lease::Raw(idle))
    }

    fn of(body: Either<Incoming, RawBody>, lease: Lease) -> Self {
        let mut body = Self {
            body,
            lease: Some(lease),
            asked: None,
            gate: None,
        };
        // A server that sees the end at once drops the body without polling it.
        body.release_if_ended();
        body
    }

    /// The same on its way to a client, from where failures are logged.
    pub(crate) fn for_client(mut self, asked: Asked, gate: Option<Arc<Gate>>) -> Self {
        self.asked = Some(asked);
        self.gate = gate;
        self
    }

    fn failed(&mut self, error: &BoxError) {
        self.lease = None;
        let Some(client) = self.asked.as_ref().map(Asked::client) else {
            return;
        };
        if let Some(suppressed) = client.warnings().pass("failed in the middle") {
            let (upstream, suppressed) = (client.upstream(), limiter::told(suppressed));
            tracing::warn!(%upstream, %error, suppressed, "the upstream failed in the middle of a response");
        }
    }

    /// What came cannot be read.
    pub(crate) fn is_broken(&mut self, error: &str) {
        self.failed(&error.into());
    }

    fn release_if_ended(&mut self) {
        if self.body.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        match (self.lease.take(), &mut self.body) {
            (Some(Lease::Http1(lease)), _) => lease.release(),
            (Some(Lease::Raw(idle)), Either::Right(body)) => {
                if let Some(kept) = body.take_kept() {
                    http1::keep(&idle, kept);
                }
            }
            _ => {}
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.close();
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => this.release_if_ended(),
            Poll::Ready(Some(Err(error))) => this.failed(error),
            Poll::Ready(None) => this.release(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
