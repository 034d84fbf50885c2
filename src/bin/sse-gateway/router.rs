//! Finds the route of a request, and counts what came of it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use metrics::{Counter, counter, describe_counter};
use tower_service::Service;
use tower_sse::EventBody;

use crate::config::Route;
use crate::demo::Demo;
use crate::failure::FailureKind;
use crate::last_event_id;
use crate::response_body::ProxyBody;
use crate::stack::{Stack, Stages};

pub(crate) type RoutedBody = Either<EventBody<ProxyBody, Stages>, Full<Bytes>>;

/// The service of all routes. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Router {
    /// In order; the first that matches wins.
    routes: Arc<[Routed]>,
    /// Asked before the routes.
    demo: Option<Demo>,
}

struct Routed {
    route: Route,
    stack: Stack,
    answered: Counter,
}

impl Router {
    pub(crate) fn new(routes: Vec<(Route, Stack)>, demo: Option<Demo>) -> Self {
        describe_counter!(
            CONNECTS,
            "Requests to the upstream, by whether a response head came, or why not."
        );
        let routes = routes.into_iter().map(|(route, stack)| Routed {
            answered: connects(&route.name, "ok"),
            route,
            stack,
        });
        Router {
            routes: routes.collect(),
            demo,
        }
    }
}

const CONNECTS: &str = "sse_upstream_connects_total";

fn connects(route: &str, result: &'static str) -> Counter {
    counter!(CONNECTS, "route" => route.to_owned(), "result" => result)
}

impl Service<Request<Incoming>> for Router {
    type Response = Response<RoutedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(response) = self.demo.as_ref().and_then(|demo| demo.control(&request)) {
            return Box::pin(async { Ok(response.map(Either::Right)) });
        }
        let path = request.uri().path();
        let found = self
            .routes
            .iter()
            .position(|routed| routed.route.matches(request.method(), path));
        let Some(place) = found else {
            return Box::pin(async { Ok(not_found()) });
        };
        last_event_id::to_upstream(request.headers_mut());
        // The proxy is ready at any time, so its clone is too.
        let response = self.routes[place].stack.clone().call(request);
        let routes = self.routes.clone();
        Box::pin(async move {
            let response = response.await?;
            let routed = &routes[place];
            match response.extensions().get::<FailureKind>() {
                None => routed.answered.increment(1),
                Some(kind) => connects(&routed.route.name, kind.label()).increment(1),
            }
            Ok(response.map(Either::Left))
        })
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
