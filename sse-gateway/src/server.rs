//! The listener: accepts connections and has hyper serve them, without anything that grows with idle ones.
//!
//! Not hyper-util's builder that detects the protocol: it costs 8 KiB more a connection and waits for ever for the first
//! byte.

use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use metrics::counter;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;
use tower_sse::relay::Hangup;

use crate::client_io::ClientIo;
use crate::descriptors::{Descriptor, Expected, For};
use crate::first_bytes::FirstBytes;
use crate::limiter::{self, Limiter};
use crate::shutdown::{Phase, Shutdown};
use crate::unless::unless;

type BoxError = Box<dyn Error + Send + Sync>;

/// Serves connections until `shutdown` begins, and resolves when the last of them is gone.
///
/// Where no descriptors are left for those that it is for, connections wait in its queue. `make` gives the service of a new connection. Requests carry the client's `SocketAddr` as an extension.
pub(crate) async fn run<F, S, B>(whose: For, listener: TcpListener, make: F, shutdown: Shutdown)
where
    F: Fn() -> S,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    accept(whose, listener, make, &shutdown).await;
    shutdown.idle().await;
}

async fn accept<F, S, B>(whose: For, listener: TcpListener, make: F, shutdown: &Shutdown)
where
    F: Fn() -> S,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut stop = pin!(shutdown.reached(Phase::Graceful));
    let pauses = Pauses::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let descriptor = Descriptor::new();
                // This one waits for room, and so nothing is accepted behind it.
                if !whose.has_room() {
                    pauses.begin(whose, &"all are in use");
                    tokio::select! {
                        () = &mut stop => return,
                        () = whose.room() => {}
                    }
                }
                let open = shutdown.connection();
                let service = Connected {
                    service: make(),
                    peer,
                    hangup: None,
                    is_used: None,
                    expected: (whose == For::Clients).then(Expected::new),
                };
                let shutdown = shutdown.clone();
                tokio::spawn(async move {
                    connection(stream, descriptor, service, shutdown).await;
                    drop(open);
                });
            }
            // The client left before it was accepted.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                pauses.begin(whose, &error);
                tokio::select! {
                    () = &mut stop => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

/// What is told of times in which nothing is accepted.
struct Pauses {
    warnings: Limiter,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses {
            warnings: Limiter::every(Duration::from_secs(10)),
        }
    }
}

impl Pauses {
    fn begin(&self, whose: For, why: &dyn Display) {
        counter!(ACCEPT_PAUSES).increment(1);
        if let Some(suppressed) = self.warnings.pass("pause") {
            let suppressed = limiter::told(suppressed);
            tracing::warn!(
                listener = ?whose,
                %why,
                suppressed,
                "no descriptors for more connections; they wait until others close"
            );
        }
    }
}

pub(crate) const ACCEPT_PAUSES: &str = "sse_accept_pauses_total";

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn connection<S, B>(
    mut stream: TcpStream,
    descriptor: Descriptor,
    mut service: Connected<S>,
    shutdown: Shutdown,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    if let Err(error) = configure(&stream) {
        tracing::debug!(%error, "socket options not set");
    }
    let first = tokio::select! {
        first = tokio::time::timeout(FIRST_BYTES, FirstBytes::read(&mut stream)) => first,
        () = shutdown.reached(Phase::Graceful) => return,
    };
    let Ok(Ok(first)) = first else { return };
    let is_http2 = first.is_http2();
    let io = TokioIo::new(ClientIo::new(stream, first, descriptor));
    let served = if is_http2 {
        // Boxed, so that connections of HTTP/1.1 have no room for it.
        Box::pin(serve_http2(io, service, &shutdown)).await
    } else {
        let hangup = Hangup::new();
        service.hangup = Some(hangup.clone());
        let served = pin!(serve_http1(io, service, &shutdown));
        // hyper does not end what waits for a client to read.
        unless(served, pin!(hangup.asked()))
            .await
            .unwrap_or_else(|()| {
                tracing::debug!("closed the connection of a client that does not read");
                Ok(())
            })
    };
    if let Err(error) = served {
        tracing::debug!(%error, "client connection closed");
    }
}

/// Serves one connection, told of the shutdown as `$connection.graceful_shutdown()`.
macro_rules! until_shutdown {
    ($connection:ident, $shutdown:ident) => {{
        let mut connection = pin!($connection);
        let begins = pin!($shutdown.reached(Phase::Graceful));
        if let Ok(result) = unless(connection.as_mut(), begins).await {
            return result;
        }
        connection.as_mut().graceful_shutdown();
        let is_over = pin!($shutdown.reached(Phase::Now));
        unless(connection, is_over).await.unwrap_or(Ok(()))
    }};
}

async fn serve_http1<S, B>(
    io: TokioIo<ClientIo>,
    service: Connected<S>,
    shutdown: &Shutdown,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(FIRST_BYTES)
        .half_close(false)
        .max_buf_size(MAX_BUFFER)
        .max_headers(MAX_LINES)
        .serve_connection(io, service)
        .with_upgrades();
    until_shutdown!(connection, shutdown)
}

/// A connection on which nothing is asked is closed, as one of HTTP/1.1 is: hyper waits for ever for its beginning.
async fn serve_http2<S, B>(
    io: TokioIo<ClientIo>,
    mut service: Connected<S>,
    shutdown: &Shutdown,
) -> hyper::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let is_used = Arc::new(AtomicBool::new(false));
    service.is_used = Some(is_used.clone());
    let is_unused = async move {
        tokio::time::sleep(FIRST_BYTES).await;
        if is_used.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_BUFFER)
        .max_header_list_size(MAX_HEADERS)
        .max_concurrent_streams(MAX_STREAMS)
        .serve_connection(io, service);
    let served = pin!(async { until_shutdown!(connection, shutdown) });
    unless(served, pin!(is_unused)).await.unwrap_or(Ok(()))
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    // Also ends a connection whose client is there but does not read.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// For the first bytes, for each request head, and for the first request of HTTP/2.
const FIRST_BYTES: Duration = Duration::from_secs(30);
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(60);
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Bounds a request head, and what is written ahead for a slow client.
const MAX_BUFFER: usize = 64 * 1024;
/// Of a request head; above them hyper answers 431.
/// Not 256: hyper reads the lines into memory that it gives back, and a block of it as large as a read buffer would become one,
/// with all of its pages in use: 4 KiB a connection.
const MAX_LINES: usize = 320;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const MAX_HEADERS: u32 = 64 * 1024;
const MAX_STREAMS: u32 = 256;

/// A `tower` service as hyper calls it, with the client's address.
struct Connected<S> {
    service: S,
    peer: SocketAddr,
    /// None for HTTP/2, which has other streams on the connection.
    hangup: Option<Hangup>,
    /// Of HTTP/2: whether anything was asked yet.
    is_used: Option<Arc<AtomicBool>>,
    /// None for the admin listener, which needs no upstream.
    expected: Option<Expected>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Connected<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    // Boxed: hyper keeps room for the future as long as the connection lives, and it is needed until the head alone.
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        if let Some(hangup) = &self.hangup {
            request.extensions_mut().insert(hangup.clone());
        }
        if let Some(expected) = &self.expected {
            expected.came();
        }
        if let Some(is_used) = &self.is_used {
            is_used.store(true, Ordering::Relaxed);
        }
        let mut service = self.service.clone();
        Box::pin(async move {
            std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        })
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
