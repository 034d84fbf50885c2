//! Writes one stream to its socket, and holds nothing while there is nothing to write.

use std::cell::RefCell;
use std::future::Future;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_sse::level::{Level, Turn};
use tower_sse::relay::Hangup;

use super::walk::{self, Seat};
use super::{Taken, head};
use crate::listener::Lends;
use crate::listener::client_io::ClientIo;
use crate::shutdown::{Phase, Shutdown, Woken};

/// A stream that is written until it ends. Gives its socket back, or nothing when that is of no use any more.
pub(in crate::listener) struct Stream<I, B> {
    /// None once it was given back.
    io: Option<ClientIo<I>>,
    /// While the socket is lent. Left before the body is polled.
    seat: Option<Seat>,
    /// None once it was dropped.
    body: Option<Pin<Box<B>>>,
    turn: Turn,
    /// What the client has not taken yet.
    rest: Bytes,
    /// And behind that an event that is too large to be copied, with the end of its chunk.
    large: Option<Box<Large>>,
    hangup: Hangup,
    shutdown: Shutdown,
    /// None before the first poll.
    woken: Option<Woken>,
    /// Whether the head, which is the first rest, has yet to be written, with what there is behind it.
    is_new: bool,
    /// Whether the connection ends with the stream.
    closes: bool,
    /// Whether all that is left is to write the rest.
    has_ended: bool,
}

struct Large {
    data: Bytes,
    end: &'static [u8],
}

impl<I, B> Stream<I, B>
where
    B: Body<Data = Bytes>,
{
    pub(in crate::listener) fn new(
        io: ClientIo<I>,
        taken: Taken<B>,
        hangup: Hangup,
        shutdown: Shutdown,
    ) -> Self {
        let Taken { response, closes } = taken;
        let (parts, body) = response.into_parts();
        Stream {
            io: Some(io),
            seat: None,
            body: Some(Box::pin(body)),
            turn: Turn::default(),
            rest: head::written(&parts).into(),
            large: None,
            hangup,
            shutdown,
            woken: None,
            is_new: true,
            closes,
            has_ended: false,
        }
    }
}

impl<I, B> Future for Stream<I, B>
where
    I: AsyncRead + AsyncWrite + Lends + Unpin,
    B: Body<Data = Bytes>,
{
    type Output = Option<ClientIo<I>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.woken.is_none() {
            this.woken = Some(this.shutdown.wake_at_end(cx.waker().clone()));
        }
        if this.shutdown.phase() == Phase::Now {
            return Poll::Ready(None);
        }
        if this.hangup.poll_asked(cx).is_ready() {
            tracing::debug!("closed the connection of a client that does not read");
            return Poll::Ready(None);
        }
        if this.seat.take().is_some_and(|seat| this.come_back(seat)) {
            return Poll::Ready(None);
        }
        let mut level = None;
        match this.poll_write_all(&mut level, cx) {
            Poll::Ready(Ok(())) => {
                let goes_on = !this.closes && this.shutdown.phase() == Phase::Serving;
                if let Some(io) = this.io.as_mut().filter(|_| !goes_on) {
                    // Whether the client hears that this was all is up to it.
                    let _ = ready!(Pin::new(io).poll_shutdown(cx));
                }
                Poll::Ready(this.io.take().filter(|_| goes_on))
            }
            Poll::Ready(Err(Failed)) => Poll::Ready(None),
            Poll::Pending => match this.poll_read_ahead(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => {
                    this.lend(level, cx);
                    Poll::Pending
                }
            },
        }
    }
}

impl<I, B> Stream<I, B>
where
    I: AsyncRead + AsyncWrite + Lends + Unpin,
    B: Body<Data = Bytes>,
{
    /// Lends the socket to who writes the events of its relay to many, if all that is to be done is to wait for the next one.
    fn lend(&mut self, level: Option<Level>, cx: &mut Context<'_>) {
        let (Some(level), Some(io)) = (level, &mut self.io) else {
            return;
        };
        if let Some(socket) = io.inner().lend() {
            match walk::enter(level, socket, cx.waker()) {
                Ok(seat) => self.seat = Some(seat),
                Err(socket) => io.inner().take_back(socket),
            }
        }
    }

    /// Takes the socket back. Whether the connection is broken.
    fn come_back(&mut self, seat: Seat) -> bool {
        let (Some(left), Some(io)) = (seat.leave(), &mut self.io) else {
            return true;
        };
        io.inner().take_back(left.socket);
        self.rest = left.rest;
        self.turn.give(left.given);
        left.has_failed
    }

    /// Writes until the end, or its turn is over.
    fn poll_write_all(
        &mut self,
        level: &mut Option<Level>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        let mut taken = 0;
        for _ in 0..MOST_WRITES {
            if !self.is_new {
                ready!(self.poll_write_rest(cx))?;
            }
            if self.has_ended {
                return Poll::Ready(Ok(()));
            }
            if taken >= TURN {
                break;
            }
            let filled = BUFFER.with_borrow_mut(|buffer| {
                buffer.clear();
                if std::mem::take(&mut self.is_new) {
                    buffer.extend_from_slice(&std::mem::take(&mut self.rest));
                }
                let filled = self.poll_fill(buffer, level, cx);
                taken += buffer.len() + self.large.as_ref().map_or(0, |large| large.data.len());
                // What there is goes out, whatever comes behind it.
                self.write(buffer, cx)?;
                filled
            });
            match filled {
                // Nothing may come behind that, least of all an end that looks whole.
                Poll::Ready(Err(failed)) => return Poll::Ready(Err(failed)),
                Poll::Pending if self.rest.is_empty() && self.large.is_none() => {
                    return Poll::Pending;
                }
                _ => {}
            }
        }
        // Not by a call of the waker: all that is ready, and this again, would come before a look at other sockets.
        pin!(tokio::task::yield_now()).poll(cx).map(Ok)
    }

    /// Puts as many chunks as there are into the buffer, up to some.
    fn poll_fill(
        &mut self,
        buffer: &mut Vec<u8>,
        level: &mut Option<Level>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        for _ in 0..MOST_CHUNKS {
            if buffer.len() >= ENOUGH {
                break;
            }
            let Some(body) = &mut self.body else {
                return Poll::Ready(Err(Failed));
            };
            let (polled, is_level) = self.turn.poll_frame(body.as_mut(), cx);
            *level = is_level;
            let frame = match ready!(polled) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(Failed)),
                None => {
                    buffer.extend_from_slice(b"0\r\n\r\n");
                    self.has_ended = true;
                    break;
                }
            };
            // Trailers were not announced, or hyper would have had the stream.
            let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) else {
                continue;
            };
            head::write_size(data.len(), buffer);
            if data.len() > LARGE {
                let end = b"\r\n";
                self.large = Some(Box::new(Large { data, end }));
                break;
            }
            buffer.extend_from_slice(&data);
            buffer.extend_from_slice(b"\r\n");
        }
        Poll::Ready(Ok(()))
    }

    /// Writes as much of it as the client takes, with the large event behind it, and keeps the rest.
    fn write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), Failed> {
        let Some(io) = self.io.as_mut().filter(|_| !bytes.is_empty()) else {
            return Ok(());
        };
        let polled = match &self.large {
            None => Pin::new(io).poll_write(cx, bytes),
            Some(large) => {
                let slices = [bytes, &large.data, large.end].map(IoSlice::new);
                Pin::new(io).poll_write_vectored(cx, &slices)
            }
        };
        let mut written = match polled {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(_)) => return Err(Failed),
            Poll::Pending => 0,
        };
        if written < bytes.len() {
            self.rest = Bytes::copy_from_slice(&bytes[written..]);
            return Ok(());
        }
        written -= bytes.len();
        if let Some(large) = &mut self.large {
            let of_data = written.min(large.data.len());
            large.data.advance(of_data);
            large.end.advance(written - of_data);
            if !large.end.has_remaining() {
                self.large = None;
            }
        }
        Ok(())
    }

    fn poll_write_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let Some(io) = self.io.as_mut() else {
            return Poll::Ready(Err(Failed));
        };
        let mut io = Pin::new(io);
        ready!(poll_write_bytes(io.as_mut(), &mut self.rest, cx))?;
        // An empty one still holds what it was a part of.
        self.rest = Bytes::new();
        if let Some(large) = &mut self.large {
            ready!(poll_write_bytes(io.as_mut(), &mut large.data, cx))?;
            ready!(poll_write_bytes(io.as_mut(), &mut large.end, cx))?;
            self.large = None;
        }
        io.poll_flush(cx).map_err(|_| Failed)
    }

    /// Reads what the client sends meanwhile, up to a bound. Ready when it has left.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.io {
            Some(io) => io.poll_read_ahead(MOST_EARLY, cx),
            None => Poll::Ready(()),
        }
    }
}

impl<I, B> Drop for Stream<I, B> {
    /// Nothing that was written is missing in what is counted.
    fn drop(&mut self) {
        if let Some(left) = self.seat.take().and_then(Seat::leave) {
            self.turn.give(left.given);
        }
        self.turn.drop_body(self.body.take());
    }
}

/// The body or the socket: the client sees that the stream is cut.
struct Failed;

fn poll_write_bytes(
    mut io: Pin<&mut impl AsyncWrite>,
    bytes: &mut impl Buf,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Failed>> {
    while bytes.has_remaining() {
        match ready!(io.as_mut().poll_write(cx, bytes.chunk())) {
            Ok(written) if written > 0 => bytes.advance(written),
            _ => return Poll::Ready(Err(Failed)),
        }
    }
    Poll::Ready(Ok(()))
}

/// As many chunks are written at once, if there are so many,
pub(super) const MOST_CHUNKS: usize = 64;
/// and so many bytes.
pub(super) const ENOUGH: usize = 64 * 1024;
/// After so many writes,
pub(super) const MOST_WRITES: usize = 16;
/// or so many bytes and what is large behind them, others have their turn.
pub(super) const TURN: usize = 256 * 1024;
/// What is larger is not copied.
pub(super) const LARGE: usize = 8 * 1024;
/// Of requests behind a stream; what is more the client is left with.
const MOST_EARLY: usize = 16 * 1024;

thread_local! {
    /// Of all streams that a thread writes: nothing stays in it.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}
