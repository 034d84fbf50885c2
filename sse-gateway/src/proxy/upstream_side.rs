//! What stands right in front of a route's proxy: each request that goes upstream is counted, and told where its
//! client was.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response, header};
use metrics::{Counter, counter, describe_counter};
use tower_service::Service;
use tower_sse::relay::{ForAll, LastEventIdTaken};
use tower_sse::wire::IdTag;

use crate::client::address::ClientAddress;
use crate::otel::{RelaySpan, RouteName, Tracer};
use crate::proxy::failure::FailureKind;
use crate::proxy::forward::{Proxy, ProxyBody};
use crate::proxy::last_event_id;
use crate::proxy::request_body::RequestBody;

/// Who asks where a request is made for many clients.
const OURS: &str = concat!("sse-gateway/", env!("CARGO_PKG_VERSION"));

const CONNECTS: &str = "sse_upstream_connects_total";

/// A proxy whose requests are counted under a route. Clones are cheap.
#[derive(Clone)]
pub(crate) struct UpstreamSide {
    proxy: Proxy,
    tag: IdTag,
    counts: Arc<Counts>,
    /// None where requests have no spans.
    tracer: Option<Tracer>,
}

struct Counts {
    route: RouteName,
    answered: Counter,
}

impl UpstreamSide {
    /// `tag` is that of the ids that are given on the route.
    pub(crate) fn new(proxy: Proxy, route: RouteName, tag: IdTag, tracer: Option<Tracer>) -> Self {
        describe_counter!(
            CONNECTS,
            "Requests to the upstream, by whether a response head came, or why not."
        );
        UpstreamSide {
            proxy,
            tag,
            counts: Arc::new(Counts {
                answered: connects(&route.name, "ok"),
                route,
            }),
            tracer,
        }
    }
}

fn connects(route: &str, result: &'static str) -> Counter {
    counter!(CONNECTS, "route" => route.to_owned(), "result" => result)
}

impl Service<Request<RequestBody>> for UpstreamSide {
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Answer {
        let extensions = request.extensions();
        let for_all = extensions.get::<ForAll>().is_some();
        // A relay that has looked at the id has put the upstream's own in already.
        if extensions.get::<LastEventIdTaken>().is_none() {
            last_event_id::to_upstream(request.headers_mut(), self.tag);
        }
        let mut span = None;
        if for_all {
            let tracer = self.tracer.as_ref();
            span = tracer.map(|tracer| tracer.relay(&self.counts.route, &mut request));
            // What is one client's own is not for the others.
            request.extensions_mut().remove::<ClientAddress>();
            // It is a client's where the key or the upstream says that it counts.
            let agent = request.headers_mut().entry(header::USER_AGENT);
            agent.or_insert(HeaderValue::from_static(OURS));
        }
        Answer {
            proxied: self.proxy.call(request),
            counts: self.counts.clone(),
            span,
        }
    }
}

/// The proxy's response, to come.
pub(crate) struct Answer {
    proxied: Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, Infallible>> + Send>>,
    counts: Arc<Counts>,
    /// Of a request that a relay makes for all.
    span: Option<RelaySpan>,
}

impl Future for Answer {
    type Output = Result<Response<ProxyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.proxied.as_mut().poll(cx);
        if let Poll::Ready(Ok(response)) = &polled {
            let failure = response.extensions().get::<FailureKind>();
            if let Some(span) = self.span.take() {
                span.answered(response.status(), failure.copied());
            }
            match failure {
                None => self.counts.answered.increment(1),
                Some(kind) => connects(&self.counts.route.name, kind.label()).increment(1),
            }
        }
        polled
    }
}
