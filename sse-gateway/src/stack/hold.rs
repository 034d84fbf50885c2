//! Gives a client its event stream before there is an answer from upstream, and asks for that until it comes.
//!
//! For routes whose streams are neither shared nor resumable; a relay does it by itself. What then comes is read as if it had
//! come at once, and what is no event stream ends the client's cleanly: it comes back, and is given that answer itself.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header, request};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep, timeout};
use tower_layer::Layer;
use tower_service::Service;
use tower_sse::relay::NoUpstream;
use tower_sse::stage;

use crate::proxy::no_answer;
use crate::proxy::request_body::RequestBody;

/// When to open a stream, and for how long to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) at_once: bool,
    /// When the head has not come by then.
    pub(crate) after: Option<Duration>,
    /// When the upstream does not answer.
    pub(crate) unanswered: bool,
    pub(crate) give_up: Duration,
}

impl Hold {
    fn is_on(&self) -> bool {
        self.at_once || self.after.is_some() || self.unanswered
    }
}

/// Holds the event streams of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoldLayer {
    hold: Hold,
}

impl HoldLayer {
    pub(crate) fn new(hold: Hold) -> Self {
        HoldLayer { hold }
    }
}

impl<S> Layer<S> for HoldLayer {
    type Service = HoldService<S>;

    fn layer(&self, inner: S) -> HoldService<S> {
        HoldService {
            inner,
            hold: self.hold,
        }
    }
}

/// A service whose event streams are held.
#[derive(Clone)]
pub(crate) struct HoldService<S> {
    inner: S,
    hold: Hold,
}

type Coming<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>>;

impl<S, B> Service<Request<RequestBody>> for HoldService<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
{
    type Response = Response<HoldBody<B>>;
    type Error = Infallible;
    type Future = Coming<HoldBody<B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        if !self.hold.is_on() {
            let coming = self.inner.call(request);
            return Box::pin(async move { Ok(coming.await?.map(HoldBody::Passing)) });
        }
        let (parts, body) = request.into_parts();
        let is_held = no_answer::is_retried(&parts)
            // A page of another origin gives up at a head that does not allow it, which only the upstream's does.
            && !parts.headers.contains_key(header::ORIGIN)
            && body.is_end_stream();
        let again = is_held.then(|| Again {
            service: self.inner.clone(),
            request: parts.clone(),
            give_up: self.hold.give_up,
        });
        let coming = Box::pin(self.inner.call(Request::from_parts(parts, body)));
        let hold = self.hold;
        Box::pin(async move {
            match again {
                None => Ok(coming.await?.map(HoldBody::Passing)),
                Some(again) => Ok(first(coming, again, hold).await),
            }
        })
    }
}

/// The answer, or a stream that waits for it.
async fn first<S, B>(mut coming: Coming<B>, again: Again<S>, hold: Hold) -> Response<HoldBody<B>>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    let answer = match (hold.at_once, hold.after) {
        (true, _) => None,
        (false, None) => Some(coming.as_mut().await),
        (false, Some(time)) => timeout(time, coming.as_mut()).await.ok(),
    };
    let waiting = match answer {
        None => again.until_there(Some(coming)),
        Some(Ok(response)) if hold.unanswered && is_none(&response) => again.until_there(None),
        Some(Ok(response)) => return response.map(HoldBody::Passing),
    };
    let mut response = Response::new(HoldBody::Waiting(Box::pin(waiting)));
    let event_stream = HeaderValue::from_static("text/event-stream");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, event_stream);
    response
}

fn is_none<B>(response: &Response<B>) -> bool {
    response.extensions().get::<NoUpstream>().is_some()
}

/// What it takes to make a request again.
struct Again<S> {
    service: S,
    request: request::Parts,
    give_up: Duration,
}

impl<S> Again<S> {
    /// The event stream that comes in the end. None when it is something else, or does not come.
    async fn until_there<B>(mut self, mut coming: Option<Coming<B>>) -> Option<B>
    where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
        S::Future: Send + 'static,
    {
        let began = Instant::now();
        loop {
            if let Some(coming) = coming.take() {
                let Ok(response) = coming.await;
                if !is_none(&response) {
                    let (head, body) = response.into_parts();
                    return stage::bypass(&head, false).is_none().then_some(body);
                }
            }
            if began.elapsed() >= self.give_up {
                return None;
            }
            sleep(pause()).await;
            let request = Request::from_parts(self.request.clone(), RequestBody::empty());
            coming = Some(Box::pin(self.service.call(request)));
        }
    }
}

/// Those that lost their streams together are not to ask together.
fn pause() -> Duration {
    let chance = getrandom::u32().unwrap_or(u32::MAX);
    LEAST + (MOST - LEAST).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

const LEAST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(1);

/// The body of a response that may have been held.
pub(crate) enum HoldBody<B> {
    Passing(B),
    Waiting(Pin<Box<dyn Future<Output = Option<B>> + Send>>),
    Ended,
}

impl<B: Body<Data = Bytes> + Unpin> Body for HoldBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let HoldBody::Waiting(waiting) = &mut *self {
            let there = ready!(waiting.as_mut().poll(cx));
            *self = there.map_or(HoldBody::Ended, HoldBody::Passing);
        }
        match &mut *self {
            HoldBody::Passing(body) => Pin::new(body).poll_frame(cx),
            HoldBody::Waiting(_) | HoldBody::Ended => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            HoldBody::Passing(body) => body.is_end_stream(),
            HoldBody::Waiting(_) => false,
            HoldBody::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            HoldBody::Passing(body) => body.size_hint(),
            HoldBody::Waiting(_) => SizeHint::default(),
            HoldBody::Ended => SizeHint::with_exact(0),
        }
    }
}
