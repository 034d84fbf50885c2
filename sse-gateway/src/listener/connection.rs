//! One connection: what is spoken on it, and hyper to speak it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_sse::relay::Hangup;

use super::client_io::{ClientIo, Held};
use super::first_bytes::FirstBytes;
use super::lean::{Ask, Slot, Stream};
use super::unless::unless;
use super::{Answers, BoxError, Connection};
use crate::descriptors::{Expected, For};
use crate::shutdown::{Open, Phase, Shutdown};

/// For the first bytes, for each request head, and for the first request of HTTP/2.
pub(super) const FIRST_BYTES: Duration = Duration::from_secs(30);
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

/// Serves one connection until it ends, or the shutdown ends it.
pub(super) async fn serve<I, S>(
    mut io: I,
    held: Held,
    service: Connected<S>,
    shutdown: Shutdown,
    open: Open,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    let first = tokio::select! {
        first = tokio::time::timeout(FIRST_BYTES, FirstBytes::read(&mut io)) => first,
        () = shutdown.reached(Phase::Graceful) => return,
    };
    let Ok(Ok(first)) = first else { return };
    let is_http2 = first.is_http2();
    let io = ClientIo::new(io, first, held);
    if is_http2 {
        // Boxed, so that connections of HTTP/1.1 have no room for it.
        told(Box::pin(serve_http2(TokioIo::new(io), service, &shutdown)).await);
    } else {
        serve_http1(io, service, shutdown, open).await;
    }
}

fn told(served: hyper::Result<()>) {
    if let Err(error) = served {
        tracing::debug!(%error, "client connection closed");
    }
}

/// Serves HTTP/1.1, and leaves a stream that is taken over to a task of its own.
async fn serve_http1<I, S>(
    io: ClientIo<I>,
    mut service: Connected<S>,
    shutdown: Shutdown,
    open: Open,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    let hangup = Hangup::new();
    let slot = Slot::new(io.is_blocked());
    service.hangup = Some(hangup.clone());
    service.slot = Some(slot.clone());
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(FIRST_BYTES)
        .half_close(false)
        .max_buf_size(MAX_BUFFER)
        .max_headers(MAX_LINES)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let served = async {
        let begins = pin!(shutdown.reached(Phase::Graceful));
        if let Ok(result) = unless(Pin::new(&mut connection), begins).await {
            return result;
        }
        Pin::new(&mut connection).graceful_shutdown();
        let is_over = pin!(shutdown.reached(Phase::Now));
        unless(Pin::new(&mut connection), is_over)
            .await
            .unwrap_or(Ok(()))
    };
    // hyper does not end what waits for a client to read.
    let Ok(served) = unless(pin!(served), pin!(hangup.asked())).await else {
        tracing::debug!("closed the connection of a client that does not read");
        return;
    };
    let taken = slot.taken();
    let parts = taken.and_then(|taken| Some((taken, connection.into_parts()?)));
    let Some((taken, parts)) = parts else {
        return told(served);
    };
    let mut service = parts.service;
    service.slot = None;
    service.hangup = None;
    let (io, early) = (parts.io.into_inner(), parts.read_buf);
    tokio::spawn(Streaming {
        stream: Stream::new(io, &early, taken, hangup, shutdown.clone()),
        behind: Some((service, shutdown, open)),
    });
}

/// A stream, and what the requests behind it need. Not an `async` block, which would have room for the stream twice.
struct Streaming<I, S: Answers> {
    stream: Stream<I, S::Body>,
    /// Taken at the end.
    behind: Option<(Connected<S>, Shutdown, Open)>,
}

/// Nothing in it is pinned.
impl<I, S: Answers> Unpin for Streaming<I, S> {}

impl<I, S> Future for Streaming<I, S>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let io = ready!(Pin::new(&mut this.stream).poll(cx));
        if let Some((io, (service, shutdown, open))) = io.zip(this.behind.take()) {
            tokio::spawn(serve_http1(io, service, shutdown, open));
        }
        Poll::Ready(())
    }
}

/// A connection on which nothing is asked is closed, as one of HTTP/1.1 is: hyper waits for ever for its beginning.
async fn serve_http2<I, S>(
    io: TokioIo<ClientIo<I>>,
    mut service: Connected<S>,
    shutdown: &Shutdown,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
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
    let served = pin!(async {
        let mut connection = pin!(connection);
        let begins = pin!(shutdown.reached(Phase::Graceful));
        if let Ok(result) = unless(connection.as_mut(), begins).await {
            return result;
        }
        connection.as_mut().graceful_shutdown();
        let is_over = pin!(shutdown.reached(Phase::Now));
        unless(connection, is_over).await.unwrap_or(Ok(()))
    });
    unless(served, pin!(is_unused)).await.unwrap_or(Ok(()))
}

/// A `tower` service as hyper calls it, with what is known of the connection.
pub(super) struct Connected<S: Answers> {
    service: S,
    info: Connection,
    /// None for HTTP/2, which has other streams on the connection.
    hangup: Option<Hangup>,
    /// None for HTTP/2: where streams are put that are not for hyper to write.
    slot: Option<Arc<Slot<S::Body>>>,
    /// Of HTTP/2: whether anything was asked yet.
    is_used: Option<Arc<AtomicBool>>,
    /// None for the admin listener, which needs no upstream.
    expected: Mutex<Option<Arc<Expected>>>,
}

impl<S: Answers> Connected<S> {
    pub(super) fn new(service: S, info: Connection, whose: For) -> Self {
        Connected {
            service,
            info,
            hangup: None,
            slot: None,
            is_used: None,
            expected: Mutex::new((whose == For::Clients).then(Expected::new).map(Arc::new)),
        }
    }
}

impl<S: Answers> hyper::service::Service<Request<Incoming>> for Connected<S> {
    type Response = Response<S::Body>;
    type Error = BoxError;
    // Boxed: hyper keeps room for the future as long as the connection lives, and it is needed until the head alone.
    type Future = Pin<Box<dyn Future<Output = Result<Response<S::Body>, BoxError>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.info);
        if let Some(hangup) = &self.hangup {
            request.extensions_mut().insert(hangup.clone());
        }
        // It goes with the first request, until that has its socket or needs none.
        let expected = self
            .expected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(expected) = expected {
            request.extensions_mut().insert(expected);
        }
        if let Some(is_used) = &self.is_used {
            is_used.store(true, Ordering::Relaxed);
        }
        let slot = self.slot.clone();
        let slot = slot.and_then(|slot| Some((slot, Ask::of(&mut request)?)));
        let mut service = self.service.clone();
        Box::pin(async move {
            let ready = std::future::poll_fn(|cx| service.poll_ready(cx));
            ready.await.map_err(Into::into)?;
            let response = service.call(request).await.map_err(Into::into)?;
            match slot {
                None => Ok(response),
                Some((slot, ask)) => match slot.take(&ask, response) {
                    Ok(()) => Err("it is written elsewhere".into()),
                    Err(response) => Ok(response),
                },
            }
        })
    }
}
