//! The demo's upstream: a small HTTP/1.1 server on the loopback address that can lose its connections, and itself.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    time::sleep,
};

use crate::descriptors::Descriptor;

use super::{
    query::parameter,
    seen::{self, Seen},
    streams::{self, Born, Pace, Timed},
};

/// The running upstream. It ends when this is dropped.
pub(super) struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    orders: watch::Sender<Orders>,
}

/// What the upstream is doing.
pub(super) struct State {
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

    pub(super) fn state(&self) -> State {
        State {
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
    let mut restarts = 0;
    loop {
        let Some(()) = listen(&listener, &shared, &mut orders, restarts).await else {
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
    shared: &Arc<Shared>,
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
                let (shared, orders) = (shared.clone(), orders.clone());
                tokio::spawn(async move {
                    serve(socket, shared, orders, restarts).await;
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
    shared: Arc<Shared>,
    mut orders: watch::Receiver<Orders>,
    restarts: u64,
) {
    let _descriptor = Descriptor::new();
    let _ = socket.set_nodelay(true);
    let open = Arc::new(AtomicUsize::new(0));
    let service = service_fn({
        let (shared, open) = (shared.clone(), open.clone());
        move |request| respond(request, shared.clone(), open.clone())
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(socket), service);
    loop {
        tokio::select! {
            _ = &mut connection => return,
            changed = orders.changed() => {
                // A cut is for streams: a connection that waits for its next request is left alone.
                if changed.is_err() || orders.borrow().restarts != restarts || open.load(Relaxed) > 0 {
                    break;
                }
            }
        }
    }
    // Without lingering, closing is a reset: the gateway sees what a crash or a lost network looks like.
    let _ = connection.into_parts().io.into_inner().set_zero_linger();
}

/// A stream that is open on a connection, until this is dropped.
struct Open {
    _seen: seen::Open,
    connection: Arc<AtomicUsize>,
}

impl Open {
    fn new(seen: seen::Open, connection: Arc<AtomicUsize>) -> Self {
        connection.fetch_add(1, Relaxed);
        Self {
            _seen: seen,
            connection,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connection.fetch_sub(1, Relaxed);
    }
}

type Answer = Response<Either<Full<Bytes>, Timed<Open>>>;

async fn respond(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    connection: Arc<AtomicUsize>,
) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let head = Request::from_parts(head, ());
    let open = || Open::new(shared.seen.open(&head), connection);
    let (born, pace) = (shared.born, shared.pace);
    let query = head.uri().query();
    let last = || last_event_id(head.headers(), query);
    let reads = matches!(*head.method(), Method::GET | Method::HEAD);
    Ok(match head.uri().path() {
        "/clock" if reads => stream(Timed::new(streams::clock(born, pace), open())),
        "/news" if reads => stream(Timed::new(streams::news(born, pace, last()), open())),
        "/notices" if reads => match parameter(query, "user_id") {
            Some(user_id) if (1..=64).contains(&user_id.chars().count()) => stream(Timed::new(
                streams::notices(born, pace, user_id, last()),
                open(),
            )),
            _ => refuse(
                StatusCode::BAD_REQUEST,
                "user_id is missing: try /notices?user_id=7\n",
            ),
        },
        "/tokens" if head.method() == Method::POST => match prompt(body).await {
            Some(prompt) => stream(Timed::new(streams::tokens(born, pace, &prompt), open())),
            None => refuse(
                StatusCode::BAD_REQUEST,
                "the body is not {\"prompt\": \"…\"}, or too long\n",
            ),
        },
        "/clock" | "/news" | "/notices" | "/tokens" => refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "GET /clock, /news and /notices, POST /tokens\n",
        ),
        _ => refuse(
            StatusCode::NOT_FOUND,
            "the demo has /clock, /news, /notices?user_id=7 and /tokens\n",
        ),
    })
}

fn stream(body: Timed<Open>) -> Answer {
    let mut response = Response::new(Either::Right(body));
    let media_type = header::HeaderValue::from_static("text/event-stream");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}

fn refuse(status: StatusCode, why: &'static str) -> Answer {
    let mut response = Response::new(Either::Left(Full::from(why)));
    *response.status_mut() = status;
    let media_type = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}

/// An empty body asks for nothing in particular.
async fn prompt(body: Incoming) -> Option<String> {
    let body = Limited::new(body, MAX_PROMPT)
        .collect()
        .await
        .ok()?
        .to_bytes();
    if body.is_empty() {
        return Some(String::new());
    }
    let asked: serde_json::Value = serde_json::from_slice(&body).ok()?;
    match asked.as_object()?.get("prompt") {
        Some(prompt) => prompt.as_str().map(str::to_owned),
        None => Some(String::new()),
    }
}

/// From the header, which a reconnecting `EventSource` sends, or else from the query, where a page that makes a new one
/// can put it (as the polyfills do).
fn last_event_id(headers: &HeaderMap, query: Option<&str>) -> Option<u64> {
    let text = match headers.get("last-event-id") {
        Some(value) => value.to_str().ok()?.to_owned(),
        None => parameter(query, "lastEventId")?,
    };
    text.parse().ok()
}

const BACKLOG: u32 = 128;
const MAX_CONNECTIONS: usize = 4096;
const MAX_PROMPT: usize = 16 * 1024;

#[cfg(test)]
#[path = "upstream_tests.rs"]
mod tests;
