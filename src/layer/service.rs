//! The layer and its service.

use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::future::Asked;
use super::{EventBody, EventFuture};
use crate::stage::{BrokenEnds, CleanEnds, EndNote, Stage, Times};
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
pub struct EventLayer<St, X = CleanEnds> {
    stage: St,
    max_event_bytes: usize,
    ends: PhantomData<X>,
}

/// The service that an [`EventLayer`] makes.
#[derive(Debug)]
pub struct EventService<S, St, X = CleanEnds> {
    inner: S,
    /// Shared, since services are cloned for connections and requests.
    layer: Arc<EventLayer<St, X>>,
}

// ===== impl EventLayer =====

impl<St: Stage + Clone> EventLayer<St> {
    /// A layer with these stages, in this order.
    pub const fn new(stage: St) -> Self {
        EventLayer {
            stage,
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            ends: PhantomData,
        }
    }

    /// Lets the body of a stream that a stage broke off fail, so that the server cuts the connection: HTTP/1.1 without the
    /// last chunk, HTTP/2 with a reset. Its error is then a [`StreamError`](crate::stage::StreamError).
    ///
    /// Streams that were asked for by GET are ended cleanly by stages, since their clients come back. Those of other
    /// methods are broken off, and without this their clients cannot tell half an answer from a whole one.
    #[must_use]
    pub fn with_broken_ends(self) -> EventLayer<St, BrokenEnds> {
        EventLayer {
            stage: self.stage,
            max_event_bytes: self.max_event_bytes,
            ends: PhantomData,
        }
    }
}

impl<St, X> EventLayer<St, X> {
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

impl<S, St: Clone, X> Layer<S> for EventLayer<St, X> {
    type Service = EventService<S, St, X>;

    fn layer(&self, inner: S) -> Self::Service {
        let layer = EventLayer {
            stage: self.stage.clone(),
            ..*self
        };
        EventService {
            inner,
            layer: Arc::new(layer),
        }
    }
}

// ===== impl EventService =====

impl<S, St: Stage + Clone> EventService<S, St> {
    /// Wraps a service.
    pub fn new(inner: S, stage: St) -> Self {
        EventService {
            inner,
            layer: Arc::new(EventLayer::new(stage)),
        }
    }
}

impl<S: Clone, St, X> Clone for EventService<S, St, X> {
    fn clone(&self) -> Self {
        EventService {
            inner: self.inner.clone(),
            layer: Arc::clone(&self.layer),
        }
    }
}

impl<S, St, X> EventService<S, St, X> {
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

impl<S, St, X, ReqBody, ResBody> Service<Request<ReqBody>> for EventService<S, St, X>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    St: Stage + Clone,
    ResBody: Body,
{
    type Response = Response<EventBody<ResBody, St, X>>;
    type Error = S::Error;
    type Future = EventFuture<S::Future, St, X>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let mut stage = self.layer.stage.clone();
        let times = Times::at(Instant::now());
        let (request, body) = request.into_parts();
        stage.on_request(&request, &times);
        let asked = Asked {
            at: times.requested,
            is_head: request.method == Method::HEAD,
            is_finite: request.method != Method::GET,
            note: request.extensions.get::<EndNote>().cloned(),
        };
        let future = self.inner.call(Request::from_parts(request, body));
        EventFuture::new(future, stage, asked, self.layer.max_event_bytes)
    }
}
