//! A connection of the simulated network that is cut at some byte, falls silent, or is read slowly.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};
use turmoil::net::TcpStream;

pub(crate) struct Socket {
    stream: TcpStream,
    /// So many bytes are read, and none behind them.
    pub(crate) reads: Option<usize>,
    /// So many bytes are written, and none behind them.
    pub(crate) writes: Option<usize>,
    /// So long is waited between two reads.
    pub(crate) pause: Option<Duration>,
    /// So long may nothing come, as with keepalive or a user timeout of TCP.
    silence: Option<Duration>,
    silent: Pin<Box<Sleep>>,
    pausing: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Socket {
            stream,
            reads: None,
            writes: None,
            pause: None,
            silence: None,
            silent: Box::pin(sleep(Duration::ZERO)),
            pausing: None,
        }
    }

    /// Connects, and does not bear silence.
    pub(crate) async fn connect(host: &str, silence: Duration) -> Result<Self> {
        let stream = timeout(silence, TcpStream::connect((host, 80)))
            .await
            .map_err(|_| Error::from(ErrorKind::TimedOut))??;
        let mut socket = Self::new(stream);
        socket.silence = Some(silence);
        socket.silent = Box::pin(sleep(silence));
        Ok(socket)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        if let Some(pausing) = &mut self.pausing {
            ready!(pausing.as_mut().poll(cx));
            self.pausing = None;
        }
        if self.reads == Some(0) {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let most = buf.remaining().min(self.reads.unwrap_or(usize::MAX));
        let mut part = vec![0; most];
        let mut part = ReadBuf::new(&mut part);
        match Pin::new(&mut self.stream).poll_read(cx, &mut part) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                if self.silence.is_some() {
                    ready!(self.silent.as_mut().poll(cx));
                    return Poll::Ready(Err(ErrorKind::TimedOut.into()));
                }
                return Poll::Pending;
            }
        }
        buf.put_slice(part.filled());
        let len = part.filled().len();
        self.reads = self.reads.map(|left| left - len);
        self.pausing = self.pause.map(|pause| Box::pin(sleep(pause)));
        if let Some(silence) = self.silence {
            let until = Instant::now() + silence + self.pause.unwrap_or_default();
            self.silent.as_mut().reset(until);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        if self.writes == Some(0) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let most = bytes.len().min(self.writes.unwrap_or(usize::MAX));
        let len = ready!(Pin::new(&mut self.stream).poll_write(cx, &bytes[..most]))?;
        self.writes = self.writes.map(|left| left - len);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
