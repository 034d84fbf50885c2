//! What stands in front of the upstream on each route, and in which order.

mod compress;
mod expiry;
mod hold;
pub(crate) mod plan;
pub(crate) mod requests;
pub(crate) mod router;
mod stages;

use std::convert::Infallible;
use std::sync::Arc;

use axum::BoxError;
use bytes::Bytes;
use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::{HeaderName, Method, Request, Response};
use http_body::Body;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, service_fn};
use tower_http::auth::AsyncRequireAuthorization;
use tower_http::cors::CorsLayer;
use tower_service::Service;
use tower_sse::EventLayer;
use tower_sse::relay::{self, move_last_event_id_to_header};
use tower_sse::stage::Drain;

use crate::body::{StackBody, boxed};
use crate::client::address::ClientAddress;
use crate::config::{Error, NoAnswer, Relayed, Route, RouteSettings};
use crate::listener::ClientBody;
use crate::log::shown_path::ShownPath;
use crate::policy::limits::Limits;
use crate::policy::{AdmissionLayer, Policy};
use crate::proxy::request_body::RequestBody;
use crate::proxy::upstream_side::UpstreamSide;
use crate::stack::compress::Compress;
use crate::stack::hold::{Hold, HoldLayer};
use crate::state::relays;
use crate::state::streams::Streams;

/// Answers the requests of one route.
pub(crate) type Stack = BoxCloneSyncService<Request<ClientBody>, Response<StackBody>, Infallible>;

/// Puts all that a route has around its upstream.
///
/// # Errors
///
/// When a name in the settings cannot be an event type.
pub(crate) fn build(
    route: &Route,
    upstream: UpstreamSide,
    relay: Option<relays::Layer>,
    drain: Drain,
    streams: &Streams,
    limits: Limits,
    own_fields: Arc<[HeaderName]>,
) -> Result<Stack, Error> {
    let stream = &route.settings;
    let asked = move |request| asked(request, own_fields.clone());
    let stages = EventLayer::new(stages::of(route, relay.is_some(), drain, streams)?)
        .with_max_event_bytes(stream.max_event_bytes)
        .with_broken_ends();
    // From the client to the upstream.
    let behind_policy = match relay {
        None => Stack::new(
            ServiceBuilder::new()
                // One type for all routes.
                .map_response(answered)
                // The stages look for the last event ID in its field, whoever names it in the query.
                .map_request(asked)
                // What is done for each client.
                .layer(stages)
                // Opens the stream before there is an answer, where it is told to.
                .layer(HoldLayer::new(hold(stream)))
                .service(upstream),
        ),
        Some(relay) => Stack::new(
            ServiceBuilder::new()
                .map_response(answered)
                .map_request(asked)
                .map_request(told)
                .layer(stages)
                // The silence of the upstream is told in front of the relay from that of a relay which waits for it.
                .layer(match stages::idle_timeout(stream) {
                    Some(timeout) => relay.with_upstream_stages(timeout),
                    None => relay,
                })
                .service(upstream),
        ),
    };
    let behind_policy = match stream.compress {
        false => behind_policy,
        true => {
            let is_shared = matches!(route.relayed, Relayed::Shared(_));
            Stack::new(Compress::around(behind_policy, is_shared))
        }
    };
    let policy = Policy::of(stream, limits)?;
    if !policy.is_set() {
        return Ok(behind_policy);
    }
    // What is refused is for the page that asked to read, too: so CORS is around it.
    let cors = policy.cors();
    let behind_policy = policy
        .by_field(behind_policy)
        .map_or_else(|stack| stack, Stack::new);
    let behind_policy = match policy.forward_auth() {
        None => behind_policy,
        Some(forward_auth) => {
            Stack::new(AsyncRequireAuthorization::new(behind_policy, forward_auth))
        }
    };
    let behind_policy = match policy.jwt() {
        None => behind_policy,
        Some(jwt) => Stack::new(AsyncRequireAuthorization::new(behind_policy, jwt)),
    };
    let admission = ServiceBuilder::new()
        .layer(AdmissionLayer::new(policy))
        .service(behind_policy);
    Ok(match cors {
        None => Stack::new(admission),
        Some(cors) => around(Stack::new(admission), cors),
    })
}

/// CORS around a stack. It takes each OPTIONS for the question of a browser; what is none is the application's to answer.
fn around(inner: Stack, cors: CorsLayer) -> Stack {
    let outer = Stack::new(ServiceBuilder::new().layer(cors).service(inner.clone()));
    Stack::new(service_fn(move |request: Request<ClientBody>| {
        let is_question = request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        // All of a stack is ready at any time.
        match request.method() == Method::OPTIONS && !is_question {
            true => inner.clone().call(request),
            false => outer.clone().call(request),
        }
    }))
}

fn answered<B>(response: Response<B>) -> Response<StackBody>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    response.map(boxed)
}

fn asked(request: Request<ClientBody>, own_fields: Arc<[HeaderName]>) -> Request<RequestBody> {
    let (mut head, body) = request.into_parts();
    move_last_event_id_to_header(&mut head);
    let whole = head.extensions.remove();
    Request::from_parts(head, RequestBody::coming(body, whole, own_fields))
}

/// Tells a relay what it may know of a request.
fn told(mut request: Request<RequestBody>) -> Request<RequestBody> {
    let extensions = request.extensions_mut();
    if let Some(ShownPath(path)) = extensions.get().cloned() {
        extensions.insert(relay::ShownPath(path));
    }
    if let Some(address) = extensions.get().map(|from: &ClientAddress| from.client) {
        extensions.insert(relay::ClientAddress(address));
    }
    request
}

fn hold(stream: &RouteSettings) -> Hold {
    Hold {
        at_once: stream.hold,
        after: stream.open_after,
        unanswered: stream.no_answer == NoAnswer::Hold,
        give_up: stream.give_up,
    }
}
