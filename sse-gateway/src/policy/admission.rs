//! A policy in front of a service.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Policy, Refusal};
use crate::answer::{TEXT, answer};
use crate::stack::{StackBody, boxed};

/// Has a policy decide on each request.
#[derive(Clone, Debug)]
pub(crate) struct AdmissionLayer(Arc<Policy>);

impl AdmissionLayer {
    pub(crate) fn new(policy: Policy) -> Self {
        AdmissionLayer(policy.into())
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admission<S>;

    fn layer(&self, service: S) -> Admission<S> {
        Admission {
            policy: self.0.clone(),
            service,
        }
    }
}

/// A service behind a policy.
#[derive(Clone, Debug)]
pub(crate) struct Admission<S> {
    policy: Arc<Policy>,
    service: S,
}

impl<S, B> Service<Request<B>> for Admission<S>
where
    S: Service<Request<B>, Response = Response<StackBody>, Error = Infallible>,
{
    type Response = Response<StackBody>;
    type Error = Infallible;
    type Future = Admitted<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match self.policy.admit(&mut parts) {
            Ok(()) => Admitted::In {
                answer: self.service.call(Request::from_parts(parts, body)),
            },
            Err(Refusal { status, message }) => Admitted::Out {
                answer: Some(answer(status, TEXT, message).map(boxed)),
            },
        }
    }
}

pin_project! {
    /// The answer of the service, or the refusal.
    #[project = Projected]
    pub(crate) enum Admitted<F> {
        In { #[pin] answer: F },
        Out { answer: Option<Response<StackBody>> },
    }
}

impl<F> Future for Admitted<F>
where
    F: Future<Output = Result<Response<StackBody>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::In { answer } => answer.poll(cx),
            Projected::Out { answer } => match answer.take() {
                Some(answer) => Poll::Ready(Ok(answer)),
                None => Poll::Pending,
            },
        }
    }
}
