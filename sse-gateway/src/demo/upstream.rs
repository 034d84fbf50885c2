//! The demo's upstream: a small HTTP/1.1 server on the loopback address that can lose its connections, and itself.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{self, Body},
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header, request::Parts};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    time::sleep,
};
use tower_service::Service as _;

use crate::answer::{TEXT, answer};
use crate::descriptors::Descriptor;

use super::{
    query::parameter,
    seen::{self, Seen},
    streams::{self, Born, Pace, Said, Timed},
};

/// The running upstream. It ends when this is dropped.
pub(super) struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    orders: watch::Sender<Orders>,
}

/// What the upstream is doing.
pub(super) struct Told {
    pub(super) up: bool,
    pub(super) restarts: u64,
    /// The latest requests for event streams.
    pub(super) requests: Vec<serde_json::Value>,
}

/// How often each order was given; whoever sees a number change obeys.
#[derive(Clone, Copy, Default)]
struct Orders {
    cuts: u64,
    restarts: u64,
}

struct Shared {
    pace: Pace,
    born: Born,
    up: AtomicBool,
    seen: Seen,
    restarts: AtomicU64,
}

impl Upstream {
    pub(super) async fn start(pace: Pace) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            pace,
            born: Born::now(),
            up: AtomicBool::new(true),
            seen: Seen::default(),
            restarts: AtomicU64::new(0),
        });
        let (orders, obeyed) = watch::channel(Orders::default());
        tokio::spawn(run(listener, addr, shared.clone(), obeyed));
        Ok(Self {
            addr,
            shared,
            orders,
        })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    pub(super) fn restart(&self) {
        // Pressed twice, the button asks for one outage and not for two.
        if self.shared.up.swap(false, Relaxed) {
            self.orders.send_modify(|orders| orders.restarts += 1);
        }
    }

    pub(super) fn state(&self) -> Told {
        Told {
            up: self.shared.up.load(Relaxed),
            restarts: self.shared.restarts.load(Relaxed),
            requests: self.shared.seen.to_json(),
        }
    }
}

/// Listens, and after each restart again, until the [`Upstream`] is dropped.
async fn run(
    mut listener: TcpListener,
    addr: SocketAddr,
    shared: Arc<Shared>,
    mut orders: watch::Receiver<Orders>,
) {
    let router = router(shared.clone());
    let mut restarts = 0;
    loop {
        let Some(()) = listen(&listener, &router, &mut orders, restarts).await else {
            return;
        };
        drop(listener);
        listener = loop {
            // Bound at once, so that nobody else is given the port; until it listens, connections are refused.
            let reserved = reserve(addr);
            sleep(shared.pace.outage).await;
            match reserved.and_then(|socket| socket.listen(BACKLOG)) {
                Ok(listener) => break listener,
                Err(error) => tracing::warn!(%error, "the demo's upstream cannot listen again yet"),
            }
            if orders.has_changed().is_err() {
                return;
            }
        };
        // Read before the button works again, so that a press just after is an order not yet obeyed.
        restarts = orders.borrow_and_update().restarts;
        shared.restarts.fetch_add(1, Relaxed);
        shared.up.store(true, Relaxed);
    }
}

fn reserve(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Accepts until a restart is ordered; `None` when nobody is left to order one.
async fn listen(
    listener: &TcpListener,
    router: &Router,
    orders: &mut watch::Receiver<Orders>,
    restarts: u64,
) -> Option<()> {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            changed = orders.changed() => {
                changed.ok()?;
                if orders.borrow_and_update().restarts != restarts {
                    return Some(());
                }
                continue;
            }
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let (router, orders) = (router.clone(), orders.clone());
                tokio::spawn(async move {
                    serve(socket, router, orders, restarts).await;
                    drop(place);
                });
            }
            // Most likely no descriptor is left: another try at once would fail too.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Serves one connection until it ends, or an order ends it.
async fn serve(
    socket: TcpStream,
    router: Router,
    mut orders: watch::Receiver<Orders>,
    restarts: u64,
) {
    let _descriptor = Descriptor::new();
    let _ = socket.set_nodelay(true);
    let open = Streams::default();
    let service = service_fn(|mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(open.clone());
        router.clone().call(request)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(socket), service);
    loop {
        tokio::select! {
            _ = &mut connection => return,
            changed = orders.changed() => {
                // A cut is for streams: a connection that waits for its next request is left alone.
                if changed.is_err() || orders.borrow().restarts != restarts || open.0.load(Relaxed) > 0 {
                    break;
                }
            }
        }
    }
    // Without lingering, closing is a reset: the gateway sees what a crash or a lost network looks like.
    let _ = connection.into_parts().io.into_inner().set_zero_linger();
}

/// How many streams are open on a connection.
#[derive(Clone, Default)]
struct Streams(Arc<AtomicUsize>);

/// A stream that is open on a connection, until this is dropped.
struct Open {
    _seen: seen::Open,
    on: Streams,
}

impl Open {
    fn new(seen: seen::Open, on: Streams) -> Self {
        on.0.fetch_add(1, Relaxed);
        Open { _seen: seen, on }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.on.0.fetch_sub(1, Relaxed);
    }
}

fn router(shared: Arc<Shared>) -> Router {
    let methods = "GET /clock, /news and /notices, POST /tokens\n";
    let paths = "the demo has /clock, /news, /notices?user_id=7 and /tokens\n";
    Router::new()
        .route("/clock", get(clock))
        .route("/news", get(news))
        .route("/news/all", get(news))
        .route("/notices", get(notices))
        .route("/tokens", post(tokens))
        .fallback(async || refuse(StatusCode::NOT_FOUND, paths))
        .method_not_allowed_fallback(async || refuse(StatusCode::METHOD_NOT_ALLOWED, methods))
        .with_state(shared)
}

async fn clock(State(shared): State<Arc<Shared>>, head: Parts) -> Response {
    shared.stream(&head, streams::clock(shared.born, shared.pace))
}

async fn news(State(shared): State<Arc<Shared>>, head: Parts) -> Response {
    let last = last_event_id(&head);
    shared.stream(&head, streams::news(shared.born, shared.pace, last))
}

async fn notices(State(shared): State<Arc<Shared>>, head: Parts) -> Response {
    match parameter(head.uri.query(), "user_id") {
        Some(user_id) if (1..=64).contains(&user_id.chars().count()) => {
            let last = last_event_id(&head);
            shared.stream(
                &head,
                streams::notices(shared.born, shared.pace, user_id, last),
            )
        }
        _ => {
            let why = "user_id is missing: try /notices?user_id=7\n";
            refuse(StatusCode::BAD_REQUEST, why)
        }
    }
}

async fn tokens(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body::to_bytes(body, MAX_PROMPT).await;
    match body.ok().and_then(|body| prompt(&body)) {
        Some(prompt) => shared.stream(&head, streams::tokens(shared.born, shared.pace, &prompt)),
        None => {
            let why = "the body is not {\"prompt\": \"…\"}, or too long\n";
            refuse(StatusCode::BAD_REQUEST, why)
        }
    }
}

impl Shared {
    fn stream(&self, head: &Parts, said: impl Iterator<Item = Said> + Send + 'static) -> Response {
        let on = head.extensions.get::<Streams>().cloned();
        let open = Open::new(self.seen.open(head), on.unwrap_or_default());
        let event_stream = [(header::CONTENT_TYPE, "text/event-stream")];
        (event_stream, Body::new(Timed::new(said, open))).into_response()
    }
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    answer(status, TEXT, why).into_response()
}

/// An empty body asks for nothing in particular.
fn prompt(body: &[u8]) -> Option<String> {
    if body.is_empty() {
        return Some(String::new());
    }
    let asked: serde_json::Value = serde_json::from_slice(body).ok()?;
    match asked.as_object()?.get("prompt") {
        Some(prompt) => prompt.as_str().map(str::to_owned),
        None => Some(String::new()),
    }
}

/// From the header, which a reconnecting `EventSource` sends, or else from the query, where a page that makes a new one
/// can put it (as the polyfills do).
fn last_event_id(head: &Parts) -> Option<u64> {
    let text = match head.headers.get("last-event-id") {
        Some(value) => value.to_str().ok()?.to_owned(),
        None => parameter(head.uri.query(), "lastEventId")?,
    };
    text.parse().ok()
}

const BACKLOG: u32 = 128;
const MAX_CONNECTIONS: usize = 4096;
const MAX_PROMPT: usize = 16 * 1024;

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
