//! A client's socket, which may be lent to who writes to many.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Connection;

/// What a connection is made of, and perhaps its socket.
pub(crate) trait Lends {
    /// Lends the socket, if what is written to it is what the client reads. Until it is back nothing else may be done.
    fn lend(&mut self) -> Option<TcpStream> {
        None
    }

    /// Takes it back.
    fn take_back(&mut self, _: TcpStream) {}

    /// Says what the first bytes have shown of the connection, once they have come.
    fn refine(&self, _: &mut Connection) {}
}

/// A socket of TCP. While it is lent there is none.
pub(crate) struct Socket(Option<TcpStream>);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Socket(Some(stream))
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let stream = self.0.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Lends for Socket {
    fn lend(&mut self) -> Option<TcpStream> {
        self.0.take()
    }

    fn take_back(&mut self, stream: TcpStream) {
        self.0 = Some(stream);
    }
}

#[cfg(test)]
impl Lends for tokio::io::DuplexStream {}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
