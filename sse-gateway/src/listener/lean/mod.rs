//! Event streams of HTTP/1.1 that are asked for, and written, without hyper.
//!
//! hyper's connection holds two buffers for as long as it lives, and is made for more than this. So a request for an event
//! stream that comes plainly and at once is read here ([`request_for_stream`]), and a [`Stream`] writes what comes of it. When that is
//! something else it is hyper's after all: hyper reads the request again, and its service has the response at hand.
//!
//! An event stream that hyper's service has is taken over at the one moment at which that is possible: when nothing of it was
//! written. The service keeps the response in a [`Slot`] and fails; hyper then ends without having written anything, and gives
//! the socket back. What it had read ahead is read again behind the stream.

mod answer;
mod head;
mod request;
mod slot;
mod stream;
mod walk;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_sse::relay::Hangup;

use super::client_io::ClientIo;
use super::connected::Connected;
use super::connection::Streaming;
use super::http1;
use super::{Answers, Lends};
use crate::fields::accepts_event_stream;
use crate::shutdown::Shutdown;

pub(super) use request::Plain;
pub(crate) use slot::WholeBody;
pub(super) use slot::{Ask, Slot};
pub(super) use stream::Stream;
pub(crate) use walk::settle;

use slot::Taken;

/// A request for an event stream that needs no hyper, if its body is there too.
pub(super) fn request_for_stream(bytes: &[u8]) -> Option<Plain> {
    let is_on = crate::lean::is_on();
    let read = is_on.then(|| request::read(bytes)).flatten();
    read.filter(|plain| accepts_event_stream(plain.request.headers()))
}

/// Answers such a request, which is whole, and still to be taken. Gives a stream to be written, or nothing behind the end of
/// the connection.
pub(super) async fn serve<I, S>(
    mut io: ClientIo<I>,
    service: Connected<S>,
    plain: Plain,
    shutdown: &Shutdown,
) -> Option<Box<Streaming<I, S>>>
where
    I: AsyncRead + AsyncWrite + Lends + Unpin + Send + 'static,
    S: Answers,
{
    let hangup = Hangup::new();
    let length = plain.length();
    let ask = Ask::of_plain(&plain);
    // Copied, so that what was read is given back when it is taken.
    let body = Bytes::copy_from_slice(&io.early()[plain.head..length]);
    let coming = service.answer(plain.request.map(|()| body), &hangup);
    let response = answer::answer(&mut io, length, coming, &hangup, shutdown).await?;
    match Taken::of(response, &ask) {
        Ok(taken) => {
            io.take_early(length);
            let stream = Stream::new(io, taken, hangup, shutdown.clone());
            Some(Box::new(Streaming { stream, service }))
        }
        Err(response) => {
            Box::pin(http1::serve(io, service, hangup, Some(response), shutdown)).await
        }
    }
}

#[cfg(test)]
mod hyper_tests;
#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod walk_tests;
