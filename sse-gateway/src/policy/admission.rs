//! A policy in front of a service.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use metrics::counter;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;
use tower_sse::stage::{self, Bypass};

use super::Policy;
use super::limits::{Held, Limit, Permit};
use crate::answer::{Refusal, TEXT, answer};
use crate::body::{StackBody, boxed};
use crate::client::address::ClientAddress;
use crate::fields::accepts_event_stream;
use crate::proxy::no_answer::{self, Leave};

pub(crate) const REFUSED: &str = "sse_streams_refused_total";

/// What a 401 has to name (RFC 6750 section 3).
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
/// Who is left without an answer would come back at once.
const LEFT_AFTER: Duration = Duration::from_secs(1);
/// Who is answered is told to come back then, in seconds.
const COME_BACK: HeaderValue = HeaderValue::from_static("5");

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
        let limits = &self.policy.limits;
        let client = parts
            .extensions
            .get()
            .map(|address: &ClientAddress| address.client);
        // First, since what follows takes time.
        if !limits.is_in_time(client) {
            let is_left = self.policy.leaves && no_answer::is_retried(&parts);
            return refuse(Limit::Rate, is_left);
        }
        if let Err(refusal) = self.policy.admit(&mut parts) {
            return Admitted::Out {
                answer: Some(refused(refusal)),
                late: None,
            };
        }
        let mut counted = Ok(None);
        if limits.counts_streams() {
            counted = limits.admit(client).map(|held| Some(Permit::new(held)));
        }
        let is_left = self.policy.leaves && no_answer::is_retried(&parts);
        let request = Request::from_parts(parts, body);
        ask(&mut self.service, request, counted, is_left)
    }
}

/// Asks the service what was counted for, or refuses what is known to be for a stream.
pub(super) fn ask<S, B>(
    service: &mut S,
    mut request: Request<B>,
    counted: Result<Option<Permit>, Limit>,
    is_left: bool,
) -> Admitted<S::Future>
where
    S: Service<Request<B>, Response = Response<StackBody>, Error = Infallible>,
{
    match &counted {
        // One of a limit in front of this is given back with the body.
        Ok(Some(permit)) => drop(request.extensions_mut().insert(permit.clone())),
        // Whether it is for a stream at all shows its answer alone.
        Err(limit) if accepts_event_stream(request.headers()) => return refuse(*limit, is_left),
        _ => {}
    }
    Admitted::In {
        answer: service.call(request),
        counted,
        is_left,
    }
}

/// The answer to who may not read.
pub(super) fn refused(refusal: Refusal) -> Response<StackBody> {
    let Refusal { status, message } = refusal;
    let mut answer = answer(status, TEXT, message).map(boxed);
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, BEARER);
    }
    answer
}

fn refuse<F>(limit: Limit, is_left: bool) -> Admitted<F> {
    counter!(REFUSED, "limit" => limit.name()).increment(1);
    let Refusal { status, message } = limit.refusal();
    let mut answer = answer(status, TEXT, message).map(boxed);
    answer.headers_mut().insert(RETRY_AFTER, COME_BACK);
    if is_left {
        answer.extensions_mut().insert(Leave);
    }
    Admitted::Out {
        answer: Some(answer),
        late: is_left.then(|| Box::pin(sleep(LEFT_AFTER))),
    }
}

pin_project! {
    /// The answer of the service, or the refusal.
    #[project = Projected]
    pub(crate) enum Admitted<F> {
        In {
            #[pin] answer: F,
            counted: Result<Option<Permit>, Limit>,
            is_left: bool,
        },
        Out {
            answer: Option<Response<StackBody>>,
            late: Option<Pin<Box<Sleep>>>,
        },
    }
}

impl<F> Future for Admitted<F>
where
    F: Future<Output = Result<Response<StackBody>, Infallible>>,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let refused = match self.as_mut().project() {
                Projected::In {
                    answer,
                    counted,
                    is_left,
                } => {
                    let Ok(response) = ready!(answer.poll(cx));
                    let (head, body) = response.into_parts();
                    // One with a content coding is one too.
                    let is_stream = stage::bypass(&head, false) != Some(Bypass::NotAnEventStream);
                    let response = Response::from_parts(head, body);
                    match counted {
                        Err(limit) if is_stream => refuse(*limit, *is_left),
                        // Where no stage has it, the body does.
                        Ok(Some(permit)) if is_stream => {
                            return Poll::Ready(Ok(match permit.take() {
                                Some(held) => {
                                    response.map(|body| boxed(Counted { body, _held: held }))
                                }
                                None => response,
                            }));
                        }
                        _ => return Poll::Ready(Ok(response)),
                    }
                }
                Projected::Out { answer, late } => {
                    if let Some(late) = late {
                        ready!(late.as_mut().poll(cx));
                    }
                    return match answer.take() {
                        Some(answer) => Poll::Ready(Ok(answer)),
                        None => Poll::Pending,
                    };
                }
            };
            self.set(refused);
        }
    }
}

pin_project! {
    /// A stream that is counted until it ends.
    struct Counted {
        #[pin] body: StackBody,
        _held: Held,
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = <StackBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
