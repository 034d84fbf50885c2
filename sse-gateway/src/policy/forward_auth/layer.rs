//! Requests on which another service decides.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::Full;
use tower_http::auth::AsyncAuthorizeRequest;

use super::{Decider, Verdict};
use crate::body::{StackBody, boxed};
use crate::policy::undecided::undecided;
use crate::proxy::no_answer;

const NO_ANSWER: &str = "The service that decides who may read does not answer.\n";

/// Has another service decide on each request.
#[derive(Clone)]
pub(crate) struct ForwardAuth {
    pub(in crate::policy) decider: Arc<Decider>,
    /// Whether a client that comes back by itself is left without an answer where nobody decides.
    pub(in crate::policy) leaves: bool,
}

impl<B: Send + 'static> AsyncAuthorizeRequest<B> for ForwardAuth {
    type RequestBody = B;
    type ResponseBody = StackBody;
    type Future = Pin<Box<dyn Future<Output = Result<Request<B>, Response<StackBody>>> + Send>>;

    fn authorize(&mut self, request: Request<B>) -> Self::Future {
        let ForwardAuth { decider, leaves } = self.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match &*decider.decide(&mut parts).await {
                Verdict::In(fields) => {
                    for (name, value) in fields {
                        parts.headers.append(name, value.clone());
                    }
                    Ok(Request::from_parts(parts, body))
                }
                Verdict::Out(status, fields, text) => {
                    let mut refusal = Response::new(Full::new(text.clone()));
                    *refusal.status_mut() = *status;
                    *refusal.headers_mut() = fields.clone();
                    Err(refusal.map(boxed))
                }
                Verdict::None => {
                    let is_left = leaves && no_answer::is_retried(&parts);
                    Err(undecided(NO_ANSWER, is_left).await)
                }
            }
        })
    }
}
