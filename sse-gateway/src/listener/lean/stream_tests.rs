//! What is written of a stream, however little the client takes, and however long its turn could be.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, duplex};
use tower_sse::relay::Hangup;

use super::stream::{ENOUGH, LARGE, MOST_CHUNKS, MOST_WRITES, TURN};
use super::{Stream, Taken};
use crate::descriptors::Descriptor;
use crate::listener::Lends;
use crate::listener::client_io::ClientIo;
use crate::shutdown::Shutdown;

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

impl Lends for Taker {}

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
