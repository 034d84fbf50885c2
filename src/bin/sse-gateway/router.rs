//! Finds the route of a request.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tower_service::Service;

use crate::config::Route;
use crate::stack::{Stack, StackBody};

pub(crate) type RoutedBody = Either<StackBody, Full<Bytes>>;

/// The service of all routes. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Router {
    /// In order; the first that matches wins.
    routes: Arc<[(Route, Stack)]>,
}

impl Router {
    pub(crate) fn new(routes: Vec<(Route, Stack)>) -> Self {
        Router {
            routes: routes.into(),
        }
    }
}

impl Service<Request<Incoming>> for Router {
    type Response = Response<RoutedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let path = request.uri().path();
        let mut routes = self.routes.iter();
        let Some((_, stack)) = routes.find(|(route, _)| route.matches(request.method(), path))
        else {
            return Box::pin(async { Ok(not_found()) });
        };
        let response = stack.answer(request);
        Box::pin(async { Ok(response.await?.map(Either::Left)) })
    }
}

fn not_found() -> Response<RoutedBody> {
    let text = "No route takes this method and path.\n";
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
