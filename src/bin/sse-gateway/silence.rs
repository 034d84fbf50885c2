//! Makes an upstream that fell silent one that failed, for a relay: a clean end would be that all was said, and
//! clients that come back would be told so.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_service::Service;
use tower_sse::stage::{End, Outbox, Stage, Times};

use crate::response_body::BoxError;

/// A stage that sees whether another one has ended the stream.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    was_closed: Option<WasClosed>,
}

/// Of one stream, on its way through the extensions of the response.
#[derive(Clone, Debug, Default)]
struct WasClosed(Arc<AtomicBool>);

impl Clone for Silence {
    /// For another stream.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Stage for Silence {
    fn on_response(&mut self, head: &mut response::Parts, _: &Times, _: &mut Outbox) {
        let was_closed = WasClosed::default();
        head.extensions.insert(was_closed.clone());
        self.was_closed = Some(was_closed);
    }

    fn on_end(&mut self, end: End, _: &Times) {
        if let (End::Closed(_), Some(was_closed)) = (end, &self.was_closed) {
            was_closed.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A service whose streams fail where a stage inside ended them.
#[derive(Clone)]
pub(crate) struct FailSilent<S>(pub(crate) S);

impl<S, Q, B> Service<Request<Q>> for FailSilent<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    type Response = Response<FailSilentBody<B>>;
    type Error = S::Error;
    type Future = FailSilentFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        FailSilentFuture {
            inner: self.0.call(request),
        }
    }
}

pin_project! {
    /// The response of a [`FailSilent`], to come.
    pub(crate) struct FailSilentFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for FailSilentFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<FailSilentBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(self.project().inner.poll(cx))?;
        let was_closed = response.extensions_mut().remove();
        Poll::Ready(Ok(
            response.map(|inner| FailSilentBody { inner, was_closed })
        ))
    }
}

pin_project! {
    /// The body of such a response.
    pub(crate) struct FailSilentBody<B> {
        #[pin]
        inner: B,
        was_closed: Option<WasClosed>,
    }
}

impl<B: Body<Data = Bytes, Error = BoxError>> Body for FailSilentBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if frame.is_none() {
            let was_closed = this.was_closed.take();
            if was_closed.is_some_and(|flag| flag.0.load(Ordering::Relaxed)) {
                return Poll::Ready(Some(Err("the upstream was silent for too long".into())));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.was_closed.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
