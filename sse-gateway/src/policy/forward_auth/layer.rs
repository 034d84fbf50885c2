//! A service of which another decides who may ask it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::Full;
use tower_layer::Layer;
use tower_service::Service;

use super::{Decider, Verdict};
use crate::body::{StackBody, boxed};
use crate::policy::undecided::undecided;
use crate::proxy::no_answer;

const NO_ANSWER: &str = "The service that decides who may read does not answer.\n";

/// Has another service decide on each request.
#[derive(Clone)]
pub(crate) struct ForwardAuthLayer {
    pub(in crate::policy) decider: Arc<Decider>,
    /// Whether a client that comes back by itself is left without an answer where nobody decides.
    pub(in crate::policy) leaves: bool,
}

impl<S> Layer<S> for ForwardAuthLayer {
    type Service = ForwardAuth<S>;

    fn layer(&self, service: S) -> ForwardAuth<S> {
        ForwardAuth {
            layer: self.clone(),
            service,
        }
    }
}

/// A service of which another decides who may ask it.
#[derive(Clone)]
pub(crate) struct ForwardAuth<S> {
    layer: ForwardAuthLayer,
    service: S,
}

impl<S, B> Service<Request<B>> for ForwardAuth<S>
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
        let ForwardAuthLayer { decider, leaves } = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let verdict = decider.decide(&mut parts).await;
            match &*verdict {
                Verdict::In(fields) => {
                    for (name, value) in fields {
                        parts.headers.append(name, value.clone());
                    }
                    service.call(Request::from_parts(parts, body)).await
                }
                Verdict::Out(status, fields, text) => {
                    let mut refusal = Response::new(Full::new(text.clone()));
                    *refusal.status_mut() = *status;
                    *refusal.headers_mut() = fields.clone();
                    Ok(refusal.map(boxed))
                }
                Verdict::None => {
                    let is_left = leaves && no_answer::is_retried(&parts);
                    Ok(undecided(NO_ANSWER, is_left).await)
                }
            }
        })
    }
}
