//! Brings requests to their relays.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Extensions, Request, Response, Uri, request};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::asks::Asks;
use super::config::{Config, TargetOf};
use super::registry::Registry;
use super::{RelayBody, own, share};
use crate::history::{History, MemoryHistory};
use crate::stage::CleanEnds;

/// The service that a [`RelayLayer`](super::RelayLayer) makes.
pub struct RelayService<S, H = MemoryHistory, X = CleanEnds> {
    inner: S,
    config: Arc<Config>,
    registry: Arc<Registry<H>>,
    ends: PhantomData<X>,
}

/// What a request is relayed with, beside the service inside.
pub(super) struct Relaying<H> {
    pub(super) config: Arc<Config>,
    pub(super) registry: Arc<Registry<H>>,
}

/// The service that is ready goes to who asks; whoever waits for another must not keep it from others.
pub(super) struct Services<S> {
    pub(super) ready: Option<S>,
    pub(super) other: S,
}

impl<S: Clone> Services<S> {
    /// The one to ask with.
    pub(super) fn take(&mut self) -> S {
        self.ready.take().unwrap_or_else(|| self.other.clone())
    }
}

impl<H> Relaying<H> {
    /// What keeps apart requests that look the same: the path of their target before a router changed it. Its query, with
    /// what a polyfill puts there, and its host are left to the key.
    pub(super) fn room(&self, request: &request::Parts) -> Vec<u8> {
        let target = match &self.config.target {
            Some(TargetOf(of)) => of(&request.extensions),
            None => original(&request.extensions),
        };
        target.map_or_else(Vec::new, |target| target.path().as_bytes().to_vec())
    }
}

/// What axum says that the target was.
#[cfg(feature = "axum")]
fn original(extensions: &Extensions) -> Option<Uri> {
    let axum::extract::OriginalUri(target) = extensions.get()?;
    Some(target.clone())
}

#[cfg(not(feature = "axum"))]
fn original(_: &Extensions) -> Option<Uri> {
    None
}

pin_project! {
    /// The response of a [`RelayService`], to come.
    pub struct RelayFuture<F, R, E, X = CleanEnds> {
        #[pin]
        passing: Option<F>,
        relaying: Option<Boxed<R, E>>,
        ends: PhantomData<X>,
    }
}

type Boxed<R, E> = Pin<Box<dyn Future<Output = Result<Response<RelayBody<R>>, E>> + Send>>;

impl<S, H, X> RelayService<S, H, X> {
    pub(super) fn new(inner: S, config: Arc<Config>, registry: Arc<Registry<H>>) -> Self {
        RelayService {
            inner,
            config,
            registry,
            ends: PhantomData,
        }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R, H, X> Service<Request<B>> for RelayService<S, H, X>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    R: Body + Send + 'static,
    H: History,
{
    type Response = Response<RelayBody<R, X>>;
    type Error = S::Error;
    type Future = RelayFuture<S::Future, R, S::Error, X>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let asks = Asks::of(&request, &self.config);
        if asks == Asks::Nothing {
            return RelayFuture {
                passing: Some(self.inner.call(request)),
                relaying: None,
                ends: PhantomData,
            };
        }
        // The one that is ready is taken, another stays.
        let other = self.inner.clone();
        let services = Services {
            ready: Some(std::mem::replace(&mut self.inner, other.clone())),
            other,
        };
        let with = Relaying {
            config: self.config.clone(),
            registry: self.registry.clone(),
        };
        let relaying: Boxed<R, S::Error> = match asks {
            Asks::Own => Box::pin(own::answer(with, services, request)),
            asks => Box::pin(share::answer(with, services, request, asks)),
        };
        RelayFuture {
            passing: None,
            relaying: Some(relaying),
            ends: PhantomData,
        }
    }
}

impl<F, R, E, X> Future for RelayFuture<F, R, E, X>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<RelayBody<R, X>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match (this.passing.as_pin_mut(), this.relaying) {
            (Some(passing), _) => ready!(passing.poll(cx))?.map(RelayBody::untouched),
            (None, Some(relaying)) => ready!(relaying.as_mut().poll(cx))?,
            (None, None) => return Poll::Pending,
        };
        Poll::Ready(Ok(response.map(RelayBody::with_ends)))
    }
}

impl<S: Clone, H, X> Clone for RelayService<S, H, X> {
    fn clone(&self) -> Self {
        RelayService {
            inner: self.inner.clone(),
            config: self.config.clone(),
            registry: self.registry.clone(),
            ends: PhantomData,
        }
    }
}

impl<S, H, X> fmt::Debug for RelayService<S, H, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayService").finish_non_exhaustive()
    }
}

impl<F, R, E, X> fmt::Debug for RelayFuture<F, R, E, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayFuture").finish_non_exhaustive()
    }
}
