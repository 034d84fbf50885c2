//! Opens connections: TCP, TLS over it, Unix sockets.

use std::cell::RefCell;
use std::error::Error;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread::{self, ThreadId};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::UnixStream;
use tower_service::Service;

use crate::descriptors::{Descriptor, Expected};
use crate::proxy::failure::Failure;

use super::tcp::{self, Tcp};
use super::tls::client_config;
use crate::config::upstream::{Endpoint, Upstream};
use crate::config::upstream_tls::UpstreamTls;

/// A connection of any kind. One virtual call a read is nothing beside the read.
///
/// An upstream may answer before it has the whole request, and close. Writing fails then, at which hyper would give up, so what is
/// written goes nowhere from there on: reading gives the answer, or the reason why there is none.
pub(super) struct Io {
    io: Box<dyn Duplex>,
    /// The upstream takes nothing more.
    is_closed: bool,
    /// Which has opened it.
    pub(super) thread: ThreadId,
    _descriptor: Descriptor,
}

pub(super) trait Duplex: Read + Write + Send + Unpin {}

impl<T: Read + Write + Send + Unpin> Duplex for T {}

/// Opens connections to one upstream.
#[derive(Clone)]
pub(super) struct Connector {
    kind: Kind,
    timeout: Duration,
}

#[derive(Clone)]
enum Kind {
    /// An upstream that is written as an address.
    Address(SocketAddr),
    Tcp(Tcp, Uri),
    Tls(HttpsConnector<Tcp>, Uri),
    Unix(PathBuf),
}

impl Connector {
    pub(super) fn new(
        upstream: &Upstream,
        tls: &UpstreamTls,
        timeout: Duration,
    ) -> Result<Self, String> {
        let kind = match &upstream.endpoint {
            Endpoint::Tcp(uri) => match tcp::address(uri) {
                Some(address) => Kind::Address(address),
                None => Kind::Tcp(Tcp::new(), uri.clone()),
            },
            Endpoint::Tls(uri) => {
                let config = client_config(tls).map_err(|error| {
                    format!("{upstream} could not be spoken to by TLS: {error}")
                })?;
                let mut builder = HttpsConnectorBuilder::new()
                    .with_tls_config(config)
                    .https_only();
                if let Some(name) = &tls.name {
                    let name = ServerName::try_from(name.clone());
                    let name = name.map_err(|error| format!("--upstream-name: {error}"))?;
                    builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
                }
                let connector = builder.enable_http1().wrap_connector(Tcp::new());
                Kind::Tls(connector, uri.clone())
            }
            Endpoint::Unix(path) => Kind::Unix(path.clone()),
        };
        Ok(Self { kind, timeout })
    }

    /// Opens one connection, all steps within the timeout.
    pub(super) async fn connect(&self, expected: Option<&Expected>) -> Result<Io, Failure> {
        // Taken before the name is looked up, which needs descriptors too.
        let descriptor = Descriptor::of_upstream();
        if let Some(expected) = expected {
            expected.came();
        }
        let descriptor = descriptor.ok_or_else(|| Failure::other("no descriptor is left"))?;
        match tokio::time::timeout(self.timeout, self.open()).await {
            Ok(Ok(io)) => Ok(Io {
                io,
                is_closed: false,
                thread: thread::current().id(),
                _descriptor: descriptor,
            }),
            Ok(Err(error)) => Err(Failure::connecting(&*error)),
            Err(_) => Err(Failure::connect_timeout(self.timeout)),
        }
    }

    async fn open(&self) -> Result<Box<dyn Duplex>, Box<dyn Error + Send + Sync>> {
        match &self.kind {
            Kind::Address(address) => Ok(Box::new(tcp::open(*address).await?)),
            Kind::Tcp(connector, uri) => Ok(Box::new(connector.clone().call(uri.clone()).await?)),
            Kind::Tls(connector, uri) => Ok(Box::new(connector.clone().call(uri.clone()).await?)),
            Kind::Unix(path) => Ok(Box::new(TokioIo::new(UnixStream::connect(path).await?))),
        }
    }
}

impl Io {
    #[cfg(test)]
    pub(super) fn over(io: impl Duplex + 'static) -> Self {
        Io {
            io: Box::new(io),
            is_closed: false,
            thread: thread::current().id(),
            _descriptor: Descriptor::new(),
        }
    }

    /// Reads what there is, up to 64 KiB, into a buffer of the thread: who waits has none. None at the end.
    pub(super) fn poll_read_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Poll<io::Result<Option<T>>> {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.io).poll_read(cx, buffer.unfilled()))?;
            let read = buffer.filled();
            Poll::Ready(Ok((!read.is_empty()).then(|| take(read))))
        })
    }
}

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; 64 * 1024].into());
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_closed {
            return Poll::Ready(Ok(bytes.len()));
        }
        match ready!(Pin::new(&mut self.io).poll_write(cx, bytes)) {
            Err(error) if is_closed(&error) => {
                self.is_closed = true;
                Poll::Ready(Ok(bytes.len()))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = || slices.iter().map(|slice| slice.len()).sum();
        if self.is_closed {
            return Poll::Ready(Ok(all()));
        }
        match ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices)) {
            Err(error) if is_closed(&error) => {
                self.is_closed = true;
                Poll::Ready(Ok(all()))
            }
            written => Poll::Ready(written),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_closed {
            return Poll::Ready(Ok(()));
        }
        match ready!(Pin::new(&mut self.io).poll_flush(cx)) {
            Err(error) if is_closed(&error) => {
                self.is_closed = true;
                Poll::Ready(Ok(()))
            }
            flushed => Poll::Ready(flushed),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}
