//! A client's connection, of which some may have been read before, and to which small writes go in one piece.

use std::future::poll_fn;
use std::io::{IoSlice, Result};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::descriptors::Descriptor;
use crate::workers::Seat;

/// hyper writes an event as three slices: the size of the chunk, the event, the end of the chunk. For small ones `writev`
/// costs more than to copy them.
pub(crate) struct ClientIo<I> {
    stream: I,
    /// What was read before, and is to be read again.
    early: Vec<u8>,
    /// Whether the last write had to wait, if somebody wants to know.
    is_blocked: Option<Arc<AtomicBool>>,
    _held: Held,
}

/// What is counted as long as the connection is there.
pub(crate) type Held = (Descriptor, Option<Seat>);

/// Up to so many bytes are copied. More are left where they are.
const SMALL: usize = 1024;
/// As much as a head may have that is not left to hyper,
const MOST_OF_HEAD: usize = 8 * 1024;
/// and as much as is read at once while nothing is expected.
const LITTLE: usize = 512;

impl<I> ClientIo<I> {
    pub(crate) fn new(stream: I, held: Held) -> Self {
        ClientIo {
            stream,
            early: Vec::new(),
            is_blocked: None,
            _held: held,
        }
    }

    /// What was read, and is to be read again.
    pub(crate) fn early(&self) -> &[u8] {
        &self.early
    }

    /// Has these bytes read in front of all else.
    pub(crate) fn read_first(&mut self, bytes: &[u8]) {
        self.early.splice(..0, bytes.iter().copied());
    }

    /// Takes so many of the bytes that were read.
    pub(crate) fn take_early(&mut self, count: usize) {
        self.early.drain(..count);
        if self.early.is_empty() {
            self.early = Vec::new();
        }
    }

    /// Whether the last write had to wait, at any time.
    pub(crate) fn is_blocked(&mut self) -> Arc<AtomicBool> {
        self.is_blocked.get_or_insert_default().clone()
    }

    /// The connection below.
    pub(crate) fn inner(&mut self) -> &mut I {
        &mut self.stream
    }

    fn wrote(&self, polled: Poll<Result<usize>>) -> Poll<Result<usize>> {
        if let Some(is_blocked) = &self.is_blocked {
            is_blocked.store(polled.is_pending(), Ordering::Relaxed);
        }
        polled
    }
}

impl<I: AsyncRead + Unpin> ClientIo<I> {
    /// Reads some, to be read again, and says how much. While it waits there is no buffer.
    pub(crate) async fn read_early(&mut self) -> Result<usize> {
        poll_fn(|cx| self.poll_read_early::<MOST_OF_HEAD>(cx)).await
    }

    /// Reads on until there is so much, or nothing for now. It does not wait.
    pub(crate) async fn read_what_is_there(&mut self, most: usize) {
        poll_fn(|cx| {
            while self.early.len() < most {
                match self.poll_read_early::<MOST_OF_HEAD>(cx) {
                    Poll::Ready(Ok(read)) if read > 0 => {}
                    _ => break,
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The same of what comes while nothing is expected, until there is so much. Ready when the client has left.
    pub(crate) fn poll_read_ahead(&mut self, most: usize, cx: &mut Context<'_>) -> Poll<()> {
        while self.early.len() < most {
            match ready!(self.poll_read_early::<LITTLE>(cx)) {
                Ok(read) if read > 0 => {}
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    fn poll_read_early<const ROOM: usize>(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        self.early.extend_from_slice(room.filled());
        Poll::Ready(Ok(room.filled().len()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for ClientIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let given = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..given]);
        self.take_early(given);
        // With what is there behind them: after a read of a few bytes hyper doubles its buffer, and keeps it.
        if buf.remaining() > 0 {
            if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_read(cx, buf) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for ClientIo<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let mut joined = [0; SMALL];
        let mut len = 0;
        for slice in slices {
            let Some(room) = joined.get_mut(len..len + slice.len()) else {
                let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
                return self.wrote(polled);
            };
            room.copy_from_slice(slice);
            len += slice.len();
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, &joined[..len]);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// What the first read gives when so many of the bytes were read before.
    async fn first_read(sent: &str, early: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).await.expect("connects");
        let (early, rest) = sent.split_at(early);
        client.write_all(rest.as_bytes()).await.expect("room");
        let (server, _) = listener.accept().await.expect("accepts");
        if !rest.is_empty() {
            server.readable().await.expect("it is open");
        }
        let mut io = ClientIo::new(server, (Descriptor::new(), None));
        io.read_first(early.as_bytes());
        let mut bytes = [0; 64];
        let read = io.read(&mut bytes).await.expect("reads");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }

    #[tokio::test]
    async fn what_was_read_before_comes_with_what_is_behind_it() {
        let head = "GET / HTTP/1.1\r\n\r\n";
        assert_eq!(first_read(head, 5).await, head);
    }

    #[tokio::test]
    async fn what_was_read_before_does_not_wait_for_what_is_behind_it() {
        assert_eq!(first_read("GET /", 5).await, "GET /");
    }

    #[tokio::test]
    async fn what_is_read_ahead_keeps_its_order() {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let mut io = ClientIo::new(server, (Descriptor::new(), None));
        let sent: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
        client.write_all(&sent).await.expect("room");
        drop(client);
        let mut got = vec![0; 1000];
        let ahead = poll_fn(|cx| Poll::Ready(io.poll_read_ahead(3000, cx)));
        assert!(ahead.await.is_pending());
        assert!((3000..4000).contains(&io.early().len()));
        io.read_exact(&mut got).await.expect("as many");
        // What hyper had read comes back in front of what it has not read.
        io.read_first(&got);
        got.clear();
        io.read_to_end(&mut got).await.expect("the end");
        assert!(got == sent);
    }
}
