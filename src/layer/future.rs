//! Waits for the head of a response.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::EventBody;
use crate::stage::{self, Bypass, Pipeline, Stage, Times};

pin_project! {
    /// The response of an [`EventService`](super::EventService), to come.
    #[derive(Debug)]
    pub struct EventFuture<F, St> {
        #[pin]
        inner: F,
        // Taken when the head comes.
        stage: Option<St>,
        requested: Instant,
        head_request: bool,
        max_event_bytes: usize,
    }
}

impl<F, St> EventFuture<F, St> {
    pub(super) fn new(
        inner: F,
        stage: St,
        requested: Instant,
        head_request: bool,
        max_event_bytes: usize,
    ) -> Self {
        EventFuture {
            inner,
            stage: Some(stage),
            requested,
            head_request,
            max_event_bytes,
        }
    }
}

impl<F, E, St, B> Future for EventFuture<F, St>
where
    F: Future<Output = Result<Response<B>, E>>,
    St: Stage,
    B: Body,
{
    type Output = Result<Response<EventBody<B, St>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut parts, body) = ready!(this.inner.poll(cx))?.into_parts();
        let mut stage = this
            .stage
            .take()
            .expect("a future is not polled again after it is ready");
        let mut times = Times::at(Instant::now());
        times.requested = *this.requested;

        let body = match stage::bypass(&parts, *this.head_request) {
            Some(why) => {
                if why == Bypass::Encoded {
                    tracing::debug!("event stream with a content coding passes untouched");
                }
                stage.on_bypass(&parts, why, &times);
                EventBody::untouched(body)
            }
            None => {
                let pipeline = Pipeline::open(stage, &mut parts, times)
                    .with_max_event_bytes(*this.max_event_bytes);
                EventBody::driven(body, pipeline)
            }
        };
        Poll::Ready(Ok(Response::from_parts(parts, body)))
    }
}
