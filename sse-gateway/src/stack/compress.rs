//! Compresses event streams for clients that accept it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request, Response};
use tower_service::Service;

use crate::body::StackBody;
use crate::coding::{Once, accepts_gzip, compressed};
use crate::listener::ClientBody;
use crate::stack::Stack;

/// All that a route has behind its policy, with event streams compressed.
#[derive(Clone)]
pub(super) struct Compress {
    inner: Stack,
    /// For streams that are shared.
    once: Option<Arc<Once>>,
}

impl Compress {
    pub(super) fn around(inner: Stack, is_shared: bool) -> Self {
        let once = is_shared.then(|| Arc::new(Once::new()));
        Compress { inner, once }
    }
}

impl Service<Request<ClientBody>> for Compress {
    type Response = Response<StackBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<StackBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ClientBody>) -> Self::Future {
        let is_accepted = accepts_gzip(request.headers()) && request.method() != Method::HEAD;
        let once = self.once.clone();
        let coming = self.inner.call(request);
        Box::pin(async move { Ok(compressed(coming.await?, is_accepted, once.as_ref())) })
    }
}
