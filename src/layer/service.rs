//! The layer and its service.

use std::task::{Context, Poll};

use http::{Method, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{EventBody, EventFuture};
use crate::stage::{Stage, Times};
use crate::wire::DEFAULT_MAX_EVENT_BYTES;

/// Drives a stage, or a tuple of them, over the event streams among a service's responses.
///
/// Each request gets a clone of the stage. See the [module docs](crate::layer).
///
/// # Example: a route of axum
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use axum::{Router, response::{Sse, sse::Event}, routing::get};
/// use futures_util::stream;
/// use tower_sse::{EventLayer, stage::{EventIds, Heartbeat, Retry}};
///
/// async fn notices() -> Sse<impl stream::Stream<Item = Result<Event, Infallible>>> {
///     Sse::new(stream::iter([Ok(Event::default().data("hello"))]))
/// }
///
/// let app: Router = Router::new().route("/notices", get(notices)).layer(EventLayer::new((
///     Retry::after(Duration::from_secs(3)),
///     EventIds::sequential(),
///     Heartbeat::every(Duration::from_secs(15)),
/// )));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EventLayer<St> {
    stage: St,
    max_event_bytes: usize,
}

/// The service that an [`EventLayer`] makes.
#[derive(Clone, Copy, Debug)]
pub struct EventService<S, St> {
    inner: S,
    layer: EventLayer<St>,
}

// ===== impl EventLayer =====

impl<St: Stage + Clone> EventLayer<St> {
    /// A layer with these stages, in this order.
    pub const fn new(stage: St) -> Self {
        EventLayer {
            stage,
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
        }
    }

    /// Sets how large an event may be to be seen by the stages, in bytes. Default: 1 MiB.
    ///
    /// So much memory one stream may take while half of an event is held back. A larger event passes
    /// through unseen, in parts, and is counted.
    #[must_use]
    pub const fn with_max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }
}

impl<S, St: Clone> Layer<S> for EventLayer<St> {
    type Service = EventService<S, St>;

    fn layer(&self, inner: S) -> Self::Service {
        EventService {
            inner,
            layer: self.clone(),
        }
    }
}

// ===== impl EventService =====

impl<S, St: Stage + Clone> EventService<S, St> {
    /// Wraps a service.
    pub const fn new(inner: S, stage: St) -> Self {
        EventService {
            inner,
            layer: EventLayer::new(stage),
        }
    }
}

impl<S, St> EventService<S, St> {
    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, St, ReqBody, ResBody> Service<Request<ReqBody>> for EventService<S, St>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    St: Stage + Clone,
    ResBody: Body,
{
    type Response = Response<EventBody<ResBody, St>>;
    type Error = S::Error;
    type Future = EventFuture<S::Future, St>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let mut stage = self.layer.stage.clone();
        let times = Times::at(Instant::now());
        let (request, body) = request.into_parts();
        stage.on_request(&request, &times);
        let head_request = request.method == Method::HEAD;
        let future = self.inner.call(Request::from_parts(request, body));
        EventFuture::new(
            future,
            stage,
            times.requested,
            head_request,
            self.layer.max_event_bytes,
        )
    }
}
