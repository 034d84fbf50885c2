//! Waits for the head of a response.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::EventBody;
use crate::stage::{self, Bypass, CleanEnds, EndNote, Pipeline, Stage, Times};

pin_project! {
    /// The response of an [`EventService`](super::EventService), to come.
    #[derive(Debug)]
    pub struct EventFuture<F, St, X = CleanEnds> {
        #[pin]
        inner: F,
        // Taken when the head comes.
        stage: Option<St>,
        asked: Asked,
        max_event_bytes: usize,
        ends: PhantomData<X>,
    }
}

/// What is known of the request when its response comes.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) at: Instant,
    pub(super) is_head: bool,
    /// By another method than GET: its client does not come back by itself.
    pub(super) is_finite: bool,
    pub(super) note: Option<EndNote>,
}

impl<F, St, X> EventFuture<F, St, X> {
    pub(super) fn new(inner: F, stage: St, asked: Asked, max_event_bytes: usize) -> Self {
        EventFuture {
            inner,
            stage: Some(stage),
            asked,
            max_event_bytes,
            ends: PhantomData,
        }
    }
}

impl<F, E, St, B, X> Future for EventFuture<F, St, X>
where
    F: Future<Output = Result<Response<B>, E>>,
    St: Stage,
    B: Body,
{
    type Output = Result<Response<EventBody<B, St, X>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut parts, body) = ready!(this.inner.poll(cx))?.into_parts();
        let mut stage = this
            .stage
            .take()
            .expect("a future is not polled again after it is ready");
        let mut times = Times::at(Instant::now());
        times.requested = this.asked.at;

        let body = match stage::bypass(&parts, this.asked.is_head) {
            Some(why) => {
                if why == Bypass::Encoded {
                    tracing::debug!("event stream with a content coding passes untouched");
                }
                stage.on_bypass(&parts, why, &times);
                EventBody::untouched(body)
            }
            None => {
                let is_finite = this.asked.is_finite;
                let note = this.asked.note.take();
                let pipeline = Pipeline::open_with(stage, &mut parts, times, is_finite, note)
                    .with_max_event_bytes(*this.max_event_bytes);
                EventBody::driven(body, pipeline)
            }
        };
        Poll::Ready(Ok(Response::from_parts(parts, body)))
    }
}
