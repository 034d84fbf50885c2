//! The gateway: a server of hyper with a relay for each of two paths, and a client of hyper towards the upstream.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::TokioIo;
use tower::{Layer, Service, ServiceExt};
use tower_sse::EventLayer;
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Key, RelayLayer};
use tower_sse::stage::Heartbeat;
use turmoil::net::TcpListener;

use crate::plan::Plan;
use crate::record::{Read, Recorded};
use crate::socket::Socket;
use crate::world::World;

/// For so long nothing may come from the upstream, which has heartbeats.
pub(crate) const SILENCE: Duration = Duration::from_millis(2_500);

/// Clients hear from us so often.
const HEARTBEAT: Duration = Duration::from_millis(700);

pub(crate) async fn serve(world: Arc<World>) -> turmoil::Result {
    world.note("the gateway begins".into());
    let plan = &world.plan;
    let upstream = Upstream {
        world: world.clone(),
    };
    let history = MemoryHistory::new()
        .with_events(plan.history_events)
        .with_bytes(plan.history_bytes);
    let history = Recorded::new(history, world.clone());
    let heartbeat = EventLayer::new(Heartbeat::every(HEARTBEAT));
    let with = |layer: RelayLayer| {
        let layer = with_settings(layer, plan).with_history(history.clone());
        heartbeat.layer(layer.layer(upstream.clone()))
    };
    let shared = with(RelayLayer::shared("path".parse::<Key>()?));
    let own = with(RelayLayer::resumable());

    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (shared, own) = (shared.clone(), own.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let service = match request.uri().path() {
                "/shared" => shared.clone(),
                _ => own.clone(),
            };
            async move {
                let (head, body) = request.into_parts();
                let Ok(body) = body.collect().await else {
                    return Ok(status(StatusCode::BAD_REQUEST));
                };
                let request = Request::from_parts(head, Full::from(body.to_bytes()));
                let answer = service.oneshot(request).await;
                Ok::<_, Infallible>(answer.map_or_else(
                    |_: BoxError| status(StatusCode::BAD_GATEWAY),
                    |response| response.map(Either::Left),
                ))
            }
        });
        tokio::spawn(async move {
            let io = TokioIo::new(Socket::new(stream));
            let mut server = server::conn::http1::Builder::new();
            // A slow client is to be behind soon.
            let server = server.max_buf_size(8 * 1024).serve_connection(io, answer);
            // It fails when the client is cut off.
            let _ = server.await;
        });
    }
}

fn with_settings(layer: RelayLayer, plan: &Plan) -> RelayLayer {
    let layer = match plan.on_full {
        Some(on_full) => layer.with_on_full(on_full),
        None => layer,
    };
    layer
        .with_client_stall_timeout(plan.client_stall_timeout)
        .with_slow_client(plan.slow_client)
        .with_begin(plan.begin)
        .with_on_leave(plan.on_leave)
        .with_hold(plan.hold)
        .with_give_up(plan.give_up)
        .with_upstream_ids(plan.keep_ids)
        .with_max_event_bytes(plan.max_event_bytes)
}

fn status<B>(status: StatusCode) -> Response<Either<B, Empty<Bytes>>> {
    let mut response = Response::new(Either::Right(Empty::new()));
    *response.status_mut() = status;
    response
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Asks the upstream, over a connection for each request.
#[derive(Clone)]
struct Upstream {
    world: Arc<World>,
}

impl Service<Request<Full<Bytes>>> for Upstream {
    type Response = Response<Read<Incoming>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let world = self.world.clone();
        let id = request.headers().get("last-event-id").cloned();
        world.note(format!("{} upstream, behind {id:?}", request.method()));
        Box::pin(async move {
            let answer = ask(request, &world).await;
            let said = answer.as_ref().map(Response::status);
            world.note(format!("the upstream answers {said:?}"));
            // The task that asks is the one that reads.
            let task = tokio::task::id();
            Ok(answer?.map(|body| Read::new(body, world, task)))
        })
    }
}

async fn ask(
    mut request: Request<Full<Bytes>>,
    world: &World,
) -> Result<Response<Incoming>, BoxError> {
    let socket = Socket::connect("upstream", SILENCE).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(socket)).await?;
    // It ends when the sender and the body of the answer are dropped.
    tokio::spawn(connection);
    if world.plan.ends_by_closing {
        *request.version_mut() = Version::HTTP_10;
    }
    Ok(sender.send_request(request).await?)
}
