//! A client's connection, whose first bytes were read before, and to which small writes go in one piece.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::descriptors::Descriptor;
use crate::first_bytes::FirstBytes;

/// hyper writes an event as three slices: the size of the chunk, the event, the end of the chunk. For small ones `writev`
/// costs more than to copy them.
pub(crate) struct ClientIo {
    stream: TcpStream,
    first: FirstBytes,
    _descriptor: Descriptor,
}

/// Up to so many bytes are copied. More are left where they are.
const SMALL: usize = 1024;

impl ClientIo {
    pub(crate) fn new(stream: TcpStream, first: FirstBytes, descriptor: Descriptor) -> Self {
        ClientIo {
            stream,
            first,
            _descriptor: descriptor,
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if !self.first.is_empty() {
            self.first.give(buf);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
                return Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
            };
            room.copy_from_slice(slice);
            len += slice.len();
        }
        Pin::new(&mut self.stream).poll_write(cx, &joined[..len])
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
