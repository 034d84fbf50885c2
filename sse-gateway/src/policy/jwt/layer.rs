//! A service whose clients show tokens that are checked by keys which have to be fetched.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::fetched::KeyUrl;
use super::{Jwt, UNKNOWN_KEY};
use crate::body::StackBody;
use crate::policy::admission::refused;
use crate::policy::unauthorized;
use crate::policy::undecided::undecided;
use crate::proxy::no_answer;

const NO_KEYS: &str = "The keys of tokens cannot be fetched.\n";

/// Has tokens checked by keys that are fetched.
#[derive(Clone)]
pub(crate) struct JwtLayer {
    pub(super) jwt: Jwt,
    pub(super) keys: Arc<KeyUrl>,
    /// Whether a client that comes back by itself is left without an answer where there are no keys.
    pub(super) leaves: bool,
}

impl<S> Layer<S> for JwtLayer {
    type Service = Checked<S>;

    fn layer(&self, service: S) -> Checked<S> {
        Checked {
            layer: self.clone(),
            service,
        }
    }
}

/// A service whose clients show tokens.
#[derive(Clone)]
pub(crate) struct Checked<S> {
    layer: JwtLayer,
    service: S,
}

impl<S, B> Service<Request<B>> for Checked<S>
where
    S: Service<Request<B>, Response = Response<StackBody>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<StackBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.service.clone();
        // The clone may not be ready; this one is.
        let mut service = std::mem::replace(&mut self.service, clone);
        let JwtLayer { jwt, keys, leaves } = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            if !keys.ready().await {
                let is_left = leaves && no_answer::is_retried(&parts);
                return Ok(undecided(NO_KEYS, is_left).await);
            }
            let mut admitted = jwt.admit(&mut parts);
            // Its issuer may sign by others since.
            if admitted == Err(unauthorized(UNKNOWN_KEY)) && keys.newer().await {
                admitted = jwt.admit(&mut parts);
            }
            match admitted {
                Ok(()) => service.call(Request::from_parts(parts, body)).await,
                Err(refusal) => Ok(refused(refusal)),
            }
        })
    }
}
