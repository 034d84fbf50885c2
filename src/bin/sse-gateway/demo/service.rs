//! Stands in front of the gateway: the demo's own paths, and clients that can be cut.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use tower_service::Service;

use super::{Demo, cut::CutBody, query::parameter};

/// The gateway's service with the demo around it.
#[derive(Clone)]
pub(crate) struct DemoService<S> {
    demo: Demo,
    inner: S,
}

impl Demo {
    /// Puts the demo around a service.
    pub(crate) fn around<S>(self, inner: S) -> DemoService<S> {
        DemoService { demo: self, inner }
    }
}

impl<S, A, B> Service<Request<A>> for DemoService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<CutBody<Either<B, Full<Bytes>>>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if let Some(response) = self.demo.control(&request) {
            let response = response.map(|body| CutBody::new(Either::Right(body), None));
            return Box::pin(async { Ok(response) });
        }
        let client = parameter(request.uri().query(), "client");
        let is_cut = client.map(|client| self.demo.inner.cuts.enter(client));
        let response = self.inner.call(request);
        Box::pin(async {
            let response = response.await?;
            Ok(response.map(|body| CutBody::new(Either::Left(body), is_cut)))
        })
    }
}
