//! Writes one stream to its socket, and holds nothing while there is nothing to write.

use std::cell::RefCell;
use std::future::Future;
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_sse::relay::Hangup;

use super::{Taken, head};
use crate::listener::client_io::ClientIo;
use crate::shutdown::{Phase, Shutdown, Woken};

/// A stream that is written until it ends. Gives its socket back, or nothing when that is of no use any more.
pub(in crate::listener) struct Stream<I, B> {
    /// None once it was given back.
    io: Option<ClientIo<I>>,
    body: Pin<Box<B>>,
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
            body: Box::pin(body),
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
    I: AsyncRead + AsyncWrite + Unpin,
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
        match this.poll_write_all(cx) {
            Poll::Ready(Ok(())) => {
                let goes_on = !this.closes && this.shutdown.phase() == Phase::Serving;
                Poll::Ready(this.io.take().filter(|_| goes_on))
            }
            Poll::Ready(Err(Failed)) => Poll::Ready(None),
            Poll::Pending => match this.poll_read_ahead(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

impl<I, B> Stream<I, B>
where
    I: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes>,
{
    /// Writes until the end, or its turn is over.
    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
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
                let filled = self.poll_fill(buffer, cx);
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
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        for _ in 0..MOST_CHUNKS {
            if buffer.len() >= ENOUGH {
                break;
            }
            let frame = match ready!(self.body.as_mut().poll_frame(cx)) {
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
const MOST_CHUNKS: usize = 64;
/// and so many bytes.
const ENOUGH: usize = 64 * 1024;
/// After so many writes,
const MOST_WRITES: usize = 16;
/// or so many bytes and what is large behind them, others have their turn.
const TURN: usize = 256 * 1024;
/// What is larger is not copied.
const LARGE: usize = 8 * 1024;
/// Of requests behind a stream; what is more the client is left with.
const MOST_EARLY: usize = 16 * 1024;

thread_local! {
    /// Of all streams that a thread writes: nothing stays in it.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use http::Response;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::io::{AsyncReadExt, ReadBuf, duplex};

    use super::*;
    use crate::descriptors::Descriptor;

    /// Gives data, fails, and has ended when it is asked once more.
    fn failing(data: usize) -> impl Body<Data = Bytes, Error = &'static str> {
        let frames = [Ok(Frame::data(vec![b'x'; data].into())), Err("failed")];
        StreamBody::new(futures_util::stream::iter(frames))
    }

    async fn written<B: Body<Data = Bytes>>(body: B, room: usize) -> String {
        let (mut client, server) = duplex(room);
        let io = ClientIo::new(server, (Descriptor::new(), None));
        let taken = Taken {
            response: Response::new(body),
            closes: true,
        };
        let stream = Stream::new(io, taken, Hangup::new(), Shutdown::new());
        let reading = async {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.expect("the end");
            String::from_utf8(all).expect("text")
        };
        let (left, all) = tokio::join!(async { stream.await.is_some() }, reading);
        assert!(!left);
        all
    }

    #[tokio::test]
    async fn a_body_that_fails_is_never_ended_however_little_the_client_takes() {
        for data in [1, 5000, LARGE + 1, 100_000] {
            for room in [1, 300, 4096, 1 << 20] {
                let all = written(failing(data), room).await;
                assert!(!all.ends_with("0\r\n\r\n"), "{data} bytes, {room} of room");
            }
        }
    }

    #[tokio::test]
    async fn all_is_written_however_little_the_client_takes() {
        for data in [1, 5000, LARGE, LARGE + 1, 100_000] {
            for room in [1, 3, 300, 4096, 1 << 20] {
                let frames = [Ok::<_, Infallible>(Frame::data(vec![b'x'; data].into()))];
                let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
                let all = written(body, room).await;
                let body = all.split_once("\r\n\r\n").map(|(_, body)| body);
                let expected = format!("{data:X}\r\n{}\r\n0\r\n\r\n", "x".repeat(data));
                assert!(body == Some(&*expected), "{data} bytes, {room} of room");
            }
        }
    }

    /// A client that takes all at once, and sends nothing.
    struct Taker(Arc<AtomicUsize>);

    impl AsyncWrite for Taker {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.fetch_add(bytes.len(), Ordering::Relaxed);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Taker {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_turn_ends_though_neither_body_nor_client_ever_waits() {
        for data in [1, 1000, LARGE, LARGE + 1, 1 << 20] {
            let (frames, written) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let body = StreamBody::new(futures_util::stream::repeat_with(|| {
                frames.fetch_add(1, Ordering::Relaxed);
                Ok::<_, Infallible>(Frame::data(vec![b'x'; data].into()))
            }));
            let taker = Taker(written.clone());
            let taken = Taken {
                response: Response::new(body),
                closes: true,
            };
            let io = ClientIo::new(taker, (Descriptor::new(), None));
            let mut stream = Stream::new(io, taken, Hangup::new(), Shutdown::new());
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            for turn in 1..4 {
                let polled = Pin::new(&mut stream).poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
                assert_eq!(wakes.0.load(Ordering::Relaxed), turn, "{data} bytes");
                let (frames, written) = (
                    frames.load(Ordering::Relaxed),
                    written.load(Ordering::Relaxed),
                );
                assert!(
                    frames <= turn * MOST_WRITES * MOST_CHUNKS,
                    "{frames} of {data} bytes"
                );
                assert!(
                    written <= turn * (TURN + ENOUGH + 2 * data),
                    "{written} of {data} bytes"
                );
            }
        }
    }
}
