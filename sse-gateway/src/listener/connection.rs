//! One connection: what is spoken on it, and who speaks it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tower_sse::relay::Hangup;

use super::client_io::{ClientIo, Held};
use super::connected::Connected;
use super::first_bytes::{self, Next};
use super::http1;
use super::lean::{self, Stream};
use super::unless::unless;
use super::{Answers, Lends};
use crate::shutdown::{Open, Phase, Shutdown};

/// For the first bytes, for each request head, and for the first request of HTTP/2.
pub(super) const FIRST_BYTES: Duration = Duration::from_secs(30);
/// Bounds a request head, and what is written ahead for a slow client.
pub(super) const MAX_BUFFER: usize = 64 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const MAX_HEADERS: u32 = 64 * 1024;
const MAX_STREAMS: u32 = 256;

/// Serves one connection until it ends, or the shutdown ends it.
///
/// What is in front of a stream, and behind it, is boxed: a stream has no room for it.
pub(super) struct Serving<I, S: Answers> {
    state: State<I, S>,
    shutdown: Shutdown,
    _open: Open,
}

enum State<I, S: Answers> {
    /// Until there is a stream.
    Asked(UntilStream<I, S>),
    Streaming(Box<Streaming<I, S>>),
    Ended,
}

type UntilStream<I, S> = Pin<Box<dyn Future<Output = Option<Box<Streaming<I, S>>>> + Send>>;

/// A stream, and who answers what is asked behind it.
pub(super) struct Streaming<I, S: Answers> {
    pub(super) stream: Stream<I, S::Body>,
    pub(super) service: Connected<S>,
}

impl<I, S> Serving<I, S>
where
    I: AsyncRead + AsyncWrite + Lends + Unpin + Send + 'static,
    S: Answers,
{
    /// `connect` is called on the thread that serves the connection.
    pub(super) fn new(
        connect: impl FnOnce() -> io::Result<I> + Send + 'static,
        held: Held,
        service: Connected<S>,
        shutdown: Shutdown,
        open: Open,
    ) -> Self {
        let its_shutdown = shutdown.clone();
        let asked = async move {
            match connect() {
                Ok(io) => {
                    let io = ClientIo::new(io, held);
                    until_stream(io, service, true, its_shutdown).await
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be opened");
                    None
                }
            }
        };
        Serving {
            state: State::Asked(Box::pin(asked)),
            shutdown,
            _open: open,
        }
    }
}

impl<I, S> Future for Serving<I, S>
where
    I: AsyncRead + AsyncWrite + Lends + Unpin + Send + 'static,
    S: Answers,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = match &mut self.state {
                State::Asked(asked) => {
                    let stream = ready!(asked.as_mut().poll(cx));
                    stream.map_or(State::Ended, State::Streaming)
                }
                State::Streaming(streaming) => {
                    let io = ready!(Pin::new(&mut streaming.stream).poll(cx));
                    match (io, std::mem::replace(&mut self.state, State::Ended)) {
                        (Some(io), State::Streaming(streaming)) => {
                            let shutdown = self.shutdown.clone();
                            let asked = until_stream(io, streaming.service, false, shutdown);
                            State::Asked(Box::pin(asked))
                        }
                        _ => State::Ended,
                    }
                }
                State::Ended => return Poll::Ready(()),
            };
            self.state = next;
        }
    }
}

/// Serves requests until there is a stream to be written, or the end of the connection.
async fn until_stream<I, S>(
    mut io: ClientIo<I>,
    mut service: Connected<S>,
    may_be_http2: bool,
    shutdown: Shutdown,
) -> Option<Box<Streaming<I, S>>>
where
    I: AsyncRead + AsyncWrite + Lends + Unpin + Send + 'static,
    S: Answers,
{
    let next = next(&mut io, may_be_http2, &shutdown).await?;
    io.inner().refine(&mut service.info);
    match next {
        Next::Stream(plain) => lean::serve(io, service, plain, &shutdown).await,
        // Boxed, so that the other has no room for it.
        Next::Http1 => Box::pin(http1::serve(io, service, Hangup::new(), None, &shutdown)).await,
        Next::Http2 => {
            told(Box::pin(serve_http2(TokioIo::new(io), service, &shutdown)).await);
            None
        }
    }
}

/// None when nothing comes in time, and when nothing new is to be begun.
async fn next<I>(io: &mut ClientIo<I>, may_be_http2: bool, shutdown: &Shutdown) -> Option<Next>
where
    I: AsyncRead + Unpin,
{
    let mut reading = pin!(timeout(FIRST_BYTES, first_bytes::read(io, may_be_http2)));
    let mut woken = None;
    poll_fn(|cx| {
        woken.get_or_insert_with(|| shutdown.wake_at_graceful(cx.waker().clone()));
        if shutdown.phase() != Phase::Serving {
            return Poll::Ready(None);
        }
        let next = ready!(reading.as_mut().poll(cx));
        Poll::Ready(next.ok().and_then(Result::ok))
    })
    .await
}

pub(super) fn told(served: hyper::Result<()>) {
    if let Err(error) = served {
        tracing::debug!(%error, "client connection closed");
    }
}

/// A connection on which nothing is asked is closed, as one of HTTP/1.1 is: hyper waits for ever for its beginning.
async fn serve_http2<I, S>(
    io: TokioIo<ClientIo<I>>,
    mut service: Connected<S>,
    shutdown: &Shutdown,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Lends + Unpin + Send + 'static,
    S: Answers,
{
    // A ping, and as long again for its answer: who gives none is gone before that time is over.
    let ping = service.gone_after / 3;
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
        .keep_alive_interval(ping)
        .keep_alive_timeout(ping)
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
