//! A connection whose handshake is made by who reads first.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use metrics::counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::{Identity, Tls, Wanted, identity};
use crate::listener::proxied::Proxied;

pub(crate) const HANDSHAKES: &str = "sse_tls_handshakes_total";

/// A connection over TLS.
pub(crate) struct TlsIo {
    state: State,
    wanted: Wanted,
}

enum State {
    /// Until the first byte has come.
    New(Proxied, TlsAcceptor),
    /// Boxed, as all connections that are open have room for it.
    Handshake(Box<Accept<Proxied>>),
    Open(Box<TlsStream<Proxied>>),
    /// Who does not speak TLS is told so.
    Plain(Proxied, usize),
    Failed,
}

/// What a handshake begins with (RFC 8446 section 5.1). No request does.
const HANDSHAKE: u8 = 22;

const NO_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n\
This port speaks HTTPS: ask https:// instead of http://.\n";

impl TlsIo {
    pub(in crate::listener) fn new(stream: Proxied, tls: Tls) -> Self {
        TlsIo {
            state: State::New(stream, tls.acceptor),
            wanted: tls.wanted,
        }
    }

    /// What it goes over, and who the client is by its certificate, once the handshake is made.
    pub(in crate::listener) fn opened(&self) -> Option<(&Proxied, Option<Identity>)> {
        let State::Open(stream) = &self.state else {
            return None;
        };
        let (raw, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        let shown = shown.filter(|_| !self.wanted.is_empty());
        let identity = shown.map(|certificate| identity::of(certificate, &self.wanted));
        Some((raw, identity))
    }

    /// Makes the handshake, if it is not made.
    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut TlsStream<Proxied>>>> {
        loop {
            let next = match &mut self.state {
                State::New(stream, _) => {
                    let is_plain = ready!(poll_is_plain(stream, cx));
                    match (is_plain, std::mem::replace(&mut self.state, State::Failed)) {
                        (Ok(false), State::New(stream, acceptor)) => {
                            State::Handshake(Box::new(acceptor.accept(stream)))
                        }
                        (Ok(true), State::New(stream, _)) => {
                            count("no_tls");
                            State::Plain(stream, 0)
                        }
                        _ => State::Failed,
                    }
                }
                State::Handshake(accept) => match ready!(Pin::new(&mut **accept).poll(cx)) {
                    Ok(stream) => {
                        count("ok");
                        State::Open(Box::new(stream))
                    }
                    Err(error) => {
                        count("failed");
                        tracing::debug!(%error, "TLS handshake failed");
                        State::Failed
                    }
                },
                State::Plain(stream, written) => {
                    match ready!(Pin::new(stream).poll_write(cx, &NO_TLS[*written..])) {
                        Ok(some) if some > 0 && *written + some < NO_TLS.len() => {
                            *written += some;
                            continue;
                        }
                        _ => State::Failed,
                    }
                }
                State::Open(_) => break,
                State::Failed => return Poll::Ready(Err(ErrorKind::NotConnected.into())),
            };
            self.state = next;
        }
        match &mut self.state {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            _ => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }
}

fn poll_is_plain(stream: &mut Proxied, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
    let first = ready!(stream.poll_first(cx))?;
    let first = first.ok_or(ErrorKind::UnexpectedEof)?;
    Poll::Ready(Ok(first != HANDSHAKE))
}

fn count(result: &'static str) {
    counter!(HANDSHAKES, "result" => result).increment(1);
}

impl AsyncRead for TlsIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_shutdown(cx)
    }
}
