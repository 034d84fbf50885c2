//! A service of requests as a connection calls it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use tower_sse::relay::Hangup;

use super::lean::{Ask, Slot};
use super::silent::Silent;
use super::{Answers, BoxError, ClientBody, Connection};
use crate::descriptors::Expected;

/// A `tower` service with what is known of its connection.
pub(super) struct Connected<S: Answers> {
    service: S,
    pub(super) info: Connection,
    /// How long the other end may give no sign of life.
    pub(super) gone_after: Duration,
    /// Where streams are put that are not for hyper to write, as long as hyper serves HTTP/1.1.
    pub(super) slot: Option<Arc<Slot<S::Body>>>,
    /// The same for who does not read. HTTP/2 has none, as it has other streams on the connection.
    pub(super) hangup: Option<Hangup>,
    /// Of HTTP/2: whether anything was asked yet.
    pub(super) is_used: Option<Arc<AtomicBool>>,
    /// Until the first request. None for the admin listener, which needs no upstream, and has descriptors of its own.
    unasked: Mutex<Option<(Arc<Expected>, Silent)>>,
}

/// A response that is awaited.
// Boxed: hyper keeps room for the future as long as the connection lives, and it is needed until the head alone.
pub(super) type Coming<B> = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

impl<S: Answers> Connected<S> {
    pub(super) fn new(
        service: S,
        info: Connection,
        gone_after: Duration,
        silent: Option<Silent>,
    ) -> Self {
        Connected {
            service,
            info,
            gone_after,
            slot: None,
            hangup: None,
            is_used: None,
            unasked: Mutex::new(silent.map(|silent| (Arc::new(Expected::new()), silent))),
        }
    }

    /// Answers a request that was read without hyper.
    pub(super) fn answer(&self, request: Request<Bytes>, hangup: &Hangup) -> Coming<S::Body> {
        let request = self.marked(request, Some(hangup));
        self.coming(request.map(|body| Either::Right(Full::new(body))))
    }

    fn marked<B>(&self, mut request: Request<B>, hangup: Option<&Hangup>) -> Request<B> {
        let extensions = request.extensions_mut();
        extensions.insert(self.info.clone());
        if let Some(hangup) = hangup {
            extensions.insert(hangup.clone());
        }
        // It goes with the first request, until that has its socket or needs none.
        let unasked = self
            .unasked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((expected, _silent)) = unasked {
            extensions.insert(expected);
        }
        request
    }

    fn coming(&self, request: Request<ClientBody>) -> Coming<S::Body> {
        let mut service = self.service.clone();
        Box::pin(async move {
            let ready = poll_fn(|cx| service.poll_ready(cx));
            ready.await.map_err(Into::into)?;
            service.call(request).await.map_err(Into::into)
        })
    }
}

async fn read_all(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

impl<S: Answers> hyper::service::Service<Request<Incoming>> for Connected<S> {
    type Response = Response<S::Body>;
    type Error = BoxError;
    type Future = Coming<S::Body>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if let Some(response) = self.slot.as_ref().and_then(|slot| slot.at_hand()) {
            // Its body has been sent upstream, and is not the next request.
            return Box::pin(async {
                read_all(request.into_body()).await;
                Ok(response)
            });
        }
        if let Some(is_used) = &self.is_used {
            is_used.store(true, Ordering::Relaxed);
        }
        let mut request = self.marked(request, self.hangup.as_ref());
        let slot = self.slot.clone();
        let slot = slot.and_then(|slot| Some((slot, Ask::of(&mut request)?)));
        let coming = self.coming(request.map(Either::Left));
        match slot {
            None => coming,
            Some((slot, ask)) => Box::pin(async move {
                match slot.take(&ask, coming.await?) {
                    Ok(()) => Err("it is written elsewhere".into()),
                    Err(response) => Ok(response),
                }
            }),
        }
    }
}
