//! A client's connection, whose first bytes were read before, and to which small writes go in one piece.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::descriptors::Descriptor;
use crate::listener::first_bytes::FirstBytes;
use crate::workers::Seat;

/// hyper writes an event as three slices: the size of the chunk, the event, the end of the chunk. For small ones `writev`
/// costs more than to copy them.
pub(crate) struct ClientIo<I> {
    stream: I,
    first: FirstBytes,
    /// What was read before, and is to be read again.
    early: Bytes,
    /// Whether the last write had to wait.
    is_blocked: Arc<AtomicBool>,
    _held: Held,
}

/// What is counted as long as the connection is there.
pub(crate) type Held = (Descriptor, Option<Seat>);

/// Up to so many bytes are copied. More are left where they are.
const SMALL: usize = 1024;

impl<I> ClientIo<I> {
    pub(crate) fn new(stream: I, first: FirstBytes, held: Held) -> Self {
        ClientIo {
            stream,
            first,
            early: Bytes::new(),
            is_blocked: Arc::default(),
            _held: held,
        }
    }

    /// Has these bytes read in front of all else.
    pub(crate) fn read_first(&mut self, early: Vec<u8>) {
        self.early = early.into();
    }

    /// Whether the last write had to wait, at any time.
    pub(crate) fn is_blocked(&self) -> Arc<AtomicBool> {
        self.is_blocked.clone()
    }

    fn wrote(&self, polled: Poll<Result<usize>>) -> Poll<Result<usize>> {
        self.is_blocked
            .store(polled.is_pending(), Ordering::Relaxed);
        polled
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for ClientIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if !self.early.is_empty() {
            let given = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early.split_to(given));
            return Poll::Ready(Ok(()));
        }
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        self.first.give(buf);
        // With what is there behind them: after a read of a few bytes hyper doubles its buffer, and keeps it.
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            return Poll::Ready(Err(error));
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

    /// What the first read of a connection gives on which these bytes came at once.
    async fn first_read(sent: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).await.expect("connects");
        client.write_all(sent.as_bytes()).await.expect("room");
        let (mut server, _) = listener.accept().await.expect("accepts");
        let first = FirstBytes::read(&mut server).await.expect("it is clear");
        let mut io = ClientIo::new(server, first, (Descriptor::new(), None));
        let mut bytes = [0; 64];
        let read = io.read(&mut bytes).await.expect("reads");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }

    #[tokio::test]
    async fn the_first_bytes_come_with_those_behind_them() {
        let head = "GET / HTTP/1.1\r\n\r\n";
        assert_eq!(first_read(head).await, head);
    }

    #[tokio::test]
    async fn the_first_bytes_do_not_wait_for_those_behind_them() {
        assert_eq!(first_read("GET /").await, "GET /");
    }
}
