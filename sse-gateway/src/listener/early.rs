//! A stream of which some was read before.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What was read comes first.
pub(crate) struct Early<I> {
    stream: I,
    early: Vec<u8>,
}

impl<I> Early<I> {
    pub(super) fn new(stream: I) -> Self {
        let early = Vec::new();
        Early { stream, early }
    }

    /// What was read.
    pub(super) fn early(&self) -> &[u8] {
        &self.early
    }

    /// Takes so many of these bytes.
    pub(super) fn take(&mut self, count: usize) {
        self.early.drain(..count);
        if self.early.is_empty() {
            self.early = Vec::new();
        }
    }
}

/// As much as is read at once in front of all else.
const SOME: usize = 512;

impl<I: AsyncRead + Unpin> Early<I> {
    /// Reads some more of what stays, and says how much. There is no room for it while it is waited for.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        self.poll_early::<SOME>(cx)
    }

    fn poll_early<const ROOM: usize>(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let mut room = [0; ROOM];
        let mut room = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        self.early.extend_from_slice(room.filled());
        Poll::Ready(Ok(room.filled().len()))
    }

    /// The first byte, which stays.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<u8>>> {
        if self.early.is_empty() {
            ready!(self.poll_early::<1>(cx))?;
        }
        Poll::Ready(Ok(self.early.first().copied()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Early<I> {
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
        self.take(given);
        // With what is there behind it, so that it costs no read of its own.
        match buf.remaining() {
            0 => Poll::Ready(Ok(())),
            _ => match Pin::new(&mut self.stream).poll_read(cx, buf) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Ready(Ok(())),
            },
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Early<I> {
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
