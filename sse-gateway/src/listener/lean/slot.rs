//! What is taken over, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, Method, Request, Response, Version, response};
use http_body::Body;
use tower_sse::stage::{self, Bypass};

use super::Plain;
use crate::fields::has_token;

/// Between a connection of hyper's and its service: what is not for hyper to write, and what is for hyper alone to write.
pub(in crate::listener) struct Slot<B> {
    taken: Mutex<Option<Taken<B>>>,
    /// The response to a request that was read before hyper was there.
    at_hand: Mutex<Option<Response<B>>>,
    /// Whether hyper has bytes that the client does not take. They would be lost.
    is_blocked: Arc<AtomicBool>,
}

/// A response to be written.
pub(in crate::listener) struct Taken<B> {
    pub(super) response: Response<B>,
    pub(super) closes: bool,
}

/// What of a request decides whether its response can be taken.
pub(in crate::listener) struct Ask {
    closes: bool,
    /// None when there is no body.
    body: Option<WholeBody>,
}

/// Whether hyper has read all of a request's body. Requests that have one carry it as an extension, for who reads it.
///
/// Behind a stream that was taken over, what is left of it would be read as the next request.
#[derive(Clone, Debug, Default)]
pub(crate) struct WholeBody(Arc<AtomicBool>);

impl WholeBody {
    /// All is read.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Ask {
    /// None when it cannot be.
    pub(in crate::listener) fn of<B: Body>(request: &mut Request<B>) -> Option<Self> {
        let is_plain = crate::lean::is_on()
            && request.version() == Version::HTTP_11
            && ![Method::HEAD, Method::CONNECT].contains(request.method())
            && !request.headers().contains_key(UPGRADE);
        if !is_plain {
            return None;
        }
        let closes = has_token(request.headers(), &CONNECTION, "close");
        let body = (!request.body().is_end_stream()).then(WholeBody::default);
        if let Some(body) = &body {
            request.extensions_mut().insert(body.clone());
        }
        Some(Ask { closes, body })
    }

    /// Of a request that was read without hyper, and its body with it.
    pub(super) fn of_plain(plain: &Plain) -> Self {
        Ask {
            closes: has_token(plain.request.headers(), &CONNECTION, "close"),
            body: None,
        }
    }

    fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(WholeBody::is_set)
    }
}

impl<B: Body> Slot<B> {
    pub(in crate::listener) fn new(
        is_blocked: Arc<AtomicBool>,
        at_hand: Option<Response<B>>,
    ) -> Arc<Self> {
        Arc::new(Slot {
            taken: Mutex::new(None),
            at_hand: Mutex::new(at_hand),
            is_blocked,
        })
    }

    /// Takes an event stream.
    ///
    /// # Errors
    ///
    /// Gives back what is for hyper to write.
    pub(in crate::listener) fn take(
        &self,
        ask: &Ask,
        response: Response<B>,
    ) -> Result<(), Response<B>> {
        if self.is_blocked.load(Ordering::Relaxed) {
            return Err(response);
        }
        let taken = Taken::of(response, ask)?;
        *lock(&self.taken) = Some(taken);
        Ok(())
    }

    /// What was taken, once.
    pub(in crate::listener) fn taken(&self) -> Option<Taken<B>> {
        lock(&self.taken).take()
    }

    /// What the first request is answered with, once.
    pub(in crate::listener) fn at_hand(&self) -> Option<Response<B>> {
        lock(&self.at_hand).take()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B: Body> Taken<B> {
    /// An event stream.
    ///
    /// # Errors
    ///
    /// Gives back what is for hyper to write.
    pub(super) fn of(response: Response<B>, ask: &Ask) -> Result<Self, Response<B>> {
        let (mut head, body) = response.into_parts();
        if !ask.is_whole() || !is_stream(&head, &body) {
            return Err(Response::from_parts(head, body));
        }
        if ask.closes {
            let close = HeaderValue::from_static("close");
            head.headers.insert(CONNECTION, close);
        }
        Ok(Taken {
            response: Response::from_parts(head, body),
            closes: ask.closes,
        })
    }
}

/// Whether it is a stream of events that has no length, and no trailers that were announced.
fn is_stream(head: &response::Parts, body: &impl Body) -> bool {
    let of_hyper = [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER, CONNECTION];
    matches!(stage::bypass(head, false), None | Some(Bypass::Encoded))
        && !of_hyper.iter().any(|name| head.headers.contains_key(name))
        && !body.is_end_stream()
        && body.size_hint().exact().is_none()
}
