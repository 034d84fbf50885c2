//! HTTP/1.1 by hyper, until there is a stream to be written without it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use http::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_sse::relay::Hangup;

use super::client_io::ClientIo;
use super::connected::Connected;
use super::connection::{FIRST_BYTES, MAX_BUFFER, Streaming, told};
use super::lean::{Slot, Stream};
use super::unless::unless;
use super::{Answers, Lends};
use crate::shutdown::{Phase, Shutdown};

/// Of a request head; above them hyper answers 431.
/// Not 256: hyper reads the lines into memory that it gives back, and a block of it as large as a read buffer would become one,
/// with all of its pages in use: 4 KiB a connection.
const MAX_LINES: usize = 320;

/// Serves requests until the connection ends, or a stream is taken over. The first request is given the response that is at
/// hand, if one is.
pub(super) async fn serve<I, S>(
    mut io: ClientIo<I>,
    mut service: Connected<S>,
    hangup: Hangup,
    at_hand: Option<Response<S::Body>>,
    shutdown: &Shutdown,
) -> Option<Box<Streaming<I, S>>>
where
    I: AsyncRead + AsyncWrite + Lends + Unpin + Send + 'static,
    S: Answers,
{
    let has_begun = at_hand.is_some();
    let slot = Slot::new(io.is_blocked(), at_hand);
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
        // A connection that was told to end before it was polled takes no request any more.
        if has_begun {
            let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx))).await;
            if let Poll::Ready(result) = first {
                return result;
            }
        }
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
        return None;
    };
    let taken = slot.taken();
    let parts = taken.and_then(|taken| Some((taken, connection.into_parts()?)));
    let Some((taken, parts)) = parts else {
        told(served);
        return None;
    };
    let mut service = parts.service;
    service.slot = None;
    service.hangup = None;
    let mut io = parts.io.into_inner();
    io.read_first(&parts.read_buf);
    let stream = Stream::new(io, taken, hangup, shutdown.clone());
    Some(Box::new(Streaming { stream, service }))
}
