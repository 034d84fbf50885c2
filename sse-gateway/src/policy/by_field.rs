//! Counts the streams of those who have the same in a field, once it is known who they are.

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::admission::{Admitted, ask};
use super::limits::{Limits, Permit};
use crate::body::StackBody;
use crate::proxy::no_answer;

/// A service that has a limit for those who have the same in a field.
#[derive(Clone, Debug)]
pub(crate) struct ByField<S> {
    pub(super) limits: Limits,
    /// Whether a client that comes back by itself is left without an answer.
    pub(super) leaves: bool,
    pub(super) service: S,
}

impl<S, B> Service<Request<B>> for ByField<S>
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
        let (parts, body) = request.into_parts();
        let is_left = self.leaves && no_answer::is_retried(&parts);
        let counted = self.limits.admit_by_field(&parts.headers);
        let counted = counted.map(|held| held.map(Permit::new));
        let request = Request::from_parts(parts, body);
        ask(&mut self.service, request, counted, is_left)
    }
}
