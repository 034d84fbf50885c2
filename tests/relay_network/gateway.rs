//! A gateway: a server of hyper with a relay, or stages that give ids, for each of two paths, and a client of hyper towards
//! what is behind it.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{client, server};
use hyper_util::rt::TokioIo;
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt};
use tower_sse::EventLayer;
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Key, LastEventIdTaken, RelayLayer, Secret};
use tower_sse::stage::{EventIds, Heartbeat};
use tower_sse::wire::IdTag;
use turmoil::net::TcpListener;

use crate::plan::{GatewayPlan, Host, Role, behind_ours, tag};
use crate::record::{Read, Recorded};
use crate::socket::Socket;
use crate::world::World;

/// For so long nothing may come from the upstream, which has heartbeats.
pub(crate) const SILENCE: Duration = Duration::from_millis(2_500);

/// Clients hear from us so often.
const HEARTBEAT: Duration = Duration::from_millis(700);

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// All that stands in front of the next hop for one path.
type App = BoxCloneService<Request<Full<Bytes>>, Response<Body>, BoxError>;

/// Runs the gateway at this place of the plan.
pub(crate) async fn serve(world: Arc<World>, place: usize) -> turmoil::Result {
    world.note(format!("{:?} begins", Host::Gateway(place)));
    let plan = &world.plan.gateways[place];
    let history = MemoryHistory::new()
        .with_events(plan.history_events)
        .with_bytes(plan.history_bytes);
    let history = Recorded::new(history, world.clone(), place);
    let shared = app(&world, place, plan.shared, &history);
    let own = app(&world, place, plan.own, &history);

    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (shared, own) = (shared.clone(), own.clone());
        let answer = service_fn(move |request: Request<Incoming>| {
            let app = match request.uri().path() {
                "/shared" => shared.clone(),
                _ => own.clone(),
            };
            async move {
                let (head, body) = request.into_parts();
                let Ok(body) = body.collect().await else {
                    return Ok(status(StatusCode::BAD_REQUEST));
                };
                let request = Request::from_parts(head, Full::from(body.to_bytes()));
                let answer = app.oneshot(request).await;
                Ok::<_, Infallible>(answer.map_or_else(
                    |_| status(StatusCode::BAD_GATEWAY),
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

fn app(world: &Arc<World>, place: usize, role: Role, history: &Recorded) -> App {
    let plan = &world.plan.gateways[place];
    let next = Next {
        world: world.clone(),
        place,
    };
    let relay = |layer: RelayLayer<Recorded>| {
        let layer = with_settings(layer, plan, place);
        let heartbeat = EventLayer::new(Heartbeat::every(HEARTBEAT));
        boxed(heartbeat.layer(layer.layer(next.clone())))
    };
    let ids = |ids: Option<EventIds>| {
        let ids = ids.map(|ids| ids.with_tag(tag(place)));
        let stages = EventLayer::new((ids, Heartbeat::every(HEARTBEAT)))
            .with_max_event_bytes(plan.max_event_bytes);
        boxed(stages.layer(next.clone()))
    };
    match role {
        Role::Share => relay(RelayLayer::shared_in(Key::default(), history.clone())),
        Role::Resume => relay(RelayLayer::resumable_in(history.clone())),
        Role::Fill => ids(Some(EventIds::sequential())),
        Role::Replace => ids(Some(EventIds::sequential().replacing())),
        Role::Off => ids(None),
    }
}

fn boxed<S, B>(service: S) -> App
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error = hyper::Error> + Send + 'static,
{
    BoxCloneService::new(service.map_response(|response| response.map(B::boxed_unsync)))
}

/// That of this gateway and all that come in its place.
fn secret(place: usize) -> Secret {
    Secret::new([place as u8; 32]).expect("long enough")
}

fn with_settings(
    layer: RelayLayer<Recorded>,
    plan: &GatewayPlan,
    place: usize,
) -> RelayLayer<Recorded> {
    let layer = match plan.on_full {
        Some(on_full) => layer.with_on_full(on_full),
        None => layer,
    };
    let layer = match plan.keeps_secret {
        true => layer.with_secret(secret(place)),
        false => layer,
    };
    layer
        .with_tag(tag(place))
        .with_client_stall_timeout(plan.client_stall_timeout)
        .with_slow_client(plan.slow_client)
        .with_start(plan.begin)
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

/// Asks the upstream or the gateway in front of it, over a connection for each request.
#[derive(Clone)]
struct Next {
    world: Arc<World>,
    /// Of the gateway that asks.
    place: usize,
}

impl Service<Request<Full<Bytes>>> for Next {
    type Response = Response<Read<Incoming>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Full<Bytes>>) -> Self::Future {
        let world = self.world.clone();
        let next = world.plan.behind(self.place);
        if request.extensions().get::<LastEventIdTaken>().is_none() {
            take_ours(request.headers_mut(), tag(self.place));
        }
        let id = request.headers().get("last-event-id").cloned();
        world.note(format!("{} {next:?}, behind {id:?}", request.method()));
        Box::pin(async move {
            let answer = ask(request, next, &world).await;
            let said = answer.as_ref().map(Response::status);
            world.note(format!("{next:?} answers {said:?}"));
            // The task that asks is the one that reads.
            let task = tokio::task::id();
            Ok(answer?.map(|body| Read::new(body, world, task)))
        })
    }
}

/// Takes an id with this tag out of `Last-Event-ID`, as the gateway's binary does where no relay has.
fn take_ours(headers: &mut HeaderMap, tag: IdTag) {
    let Some(id) = headers.remove("last-event-id") else {
        return;
    };
    let id = behind_ours(id.as_bytes(), tag);
    if !id.is_empty() {
        headers.insert("last-event-id", HeaderValue::from_bytes(id).unwrap());
    }
}

async fn ask(
    mut request: Request<Full<Bytes>>,
    next: Host,
    world: &World,
) -> Result<Response<Incoming>, BoxError> {
    let socket = Socket::connect(&next.name(), SILENCE).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(socket)).await?;
    // It ends when the sender and the body of the answer are dropped.
    tokio::spawn(connection);
    if world.plan.ends_by_closing && next == Host::Upstream {
        *request.version_mut() = Version::HTTP_10;
    }
    Ok(sender.send_request(request).await?)
}
