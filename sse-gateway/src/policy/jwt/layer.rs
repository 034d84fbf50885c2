//! Tokens that are checked by keys which have to be fetched.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};
use tower_http::auth::AsyncAuthorizeRequest;

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
pub(crate) struct FetchedJwt {
    pub(super) jwt: Jwt,
    pub(super) keys: Arc<KeyUrl>,
    /// Whether a client that comes back by itself is left without an answer where there are no keys.
    pub(super) leaves: bool,
}

impl<B: Send + 'static> AsyncAuthorizeRequest<B> for FetchedJwt {
    type RequestBody = B;
    type ResponseBody = StackBody;
    type Future = Pin<Box<dyn Future<Output = Result<Request<B>, Response<StackBody>>> + Send>>;

    fn authorize(&mut self, request: Request<B>) -> Self::Future {
        let FetchedJwt { jwt, keys, leaves } = self.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            if !keys.ready().await {
                let is_left = leaves && no_answer::is_retried(&parts);
                return Err(undecided(NO_KEYS, is_left).await);
            }
            let mut admitted = jwt.admit(&mut parts);
            // Its issuer may sign by others since.
            if admitted == Err(unauthorized(UNKNOWN_KEY)) && keys.newer().await {
                admitted = jwt.admit(&mut parts);
            }
            admitted.map_err(refused)?;
            Ok(Request::from_parts(parts, body))
        })
    }
}
