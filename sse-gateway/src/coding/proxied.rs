//! Connections that begin with a header of the PROXY protocol, in which a balancer says who its client is.

use std::io::{ErrorKind, IoSlice, Result};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::early::Early;
use super::source::Stream;
use crate::config::ProxyProtocol;
use crate::log::limiter::{self, Limiter};

/// Whether the other end of a connection, which has no address on a Unix socket, may say who its client is.
pub(crate) type IsTrusted = Arc<dyn Fn(Option<IpAddr>) -> bool + Send + Sync>;

/// What connections of a listener begin with.
pub(crate) struct Expected {
    pub(crate) protocol: ProxyProtocol,
    pub(crate) is_trusted: IsTrusted,
    warnings: Limiter,
}

impl Expected {
    pub(crate) fn new(protocol: ProxyProtocol, is_trusted: IsTrusted) -> Self {
        Expected {
            protocol,
            is_trusted,
            warnings: Limiter::every(Duration::from_secs(10)),
        }
    }

    /// Whether a connection may have such a header.
    pub(super) fn may_be_from(&self, peer: Option<SocketAddr>) -> bool {
        let is_trusted = (self.is_trusted)(peer.map(|peer| peer.ip()));
        if !is_trusted {
            self.refuse(peer, NOT_TRUSTED);
        }
        is_trusted
    }

    fn refuse(&self, peer: Option<SocketAddr>, why: &'static str) {
        if let Some(suppressed) = self.warnings.pass(why) {
            let peer = peer.map_or("unix".to_owned(), |peer| peer.ip().to_canonical().to_string());
            let suppressed = limiter::told(suppressed);
            tracing::warn!(peer, why, suppressed, "a connection was closed");
        }
    }
}

/// A connection whose header, if there is to be one, is read by who reads first.
pub(super) struct Proxied {
    stream: Early<Stream>,
    header: Header,
}

enum Header {
    Awaited(Arc<Expected>, Option<SocketAddr>),
    /// It has named this client, or none.
    Read(Option<SocketAddr>),
    Wrong,
}

/// With the extensions that are in use it has some hundred bytes.
const LONGEST: usize = 4096;

const NOT_TRUSTED: &str = "PROXY headers are taken from those in trusted_proxy alone";
const NO_HEADER: &str =
    "it does not begin with a PROXY header, of the version that proxy_protocol says";
const TOO_LONG: &str = "its PROXY header has more than 4096 bytes";

impl Proxied {
    /// `peer` is the other end of the connection.
    pub(super) fn new(
        stream: Stream,
        expected: Option<Arc<Expected>>,
        peer: Option<SocketAddr>,
    ) -> Self {
        Proxied {
            stream: Early::new(stream),
            header: match expected {
                Some(expected) => Header::Awaited(expected, peer),
                None => Header::Read(None),
            },
        }
    }

    /// The client that the header names.
    pub(super) fn client(&self) -> Option<SocketAddr> {
        match self.header {
            Header::Read(client) => client,
            _ => None,
        }
    }

    /// The first byte behind the header, which stays.
    pub(super) fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<u8>>> {
        ready!(self.poll_opened(cx))?.poll_first(cx)
    }

    /// What is behind the header.
    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<Result<&mut Early<Stream>>> {
        while let Header::Awaited(expected, peer) = &self.header {
            match read(self.stream.early(), expected.protocol) {
                Ok(Some((client, length))) => {
                    self.header = Header::Read(client);
                    self.stream.take(length);
                }
                Ok(None) => {
                    let read = ready!(self.stream.poll_more(cx));
                    if !matches!(read, Ok(1..)) {
                        self.header = Header::Wrong;
                    }
                }
                Err(why) => {
                    expected.refuse(*peer, why);
                    self.header = Header::Wrong;
                }
            }
        }
        Poll::Ready(match self.header {
            Header::Read(_) => Ok(&mut self.stream),
            _ => Err(ErrorKind::InvalidData.into()),
        })
    }

    fn opened(&mut self) -> Result<Pin<&mut Early<Stream>>> {
        match self.header {
            Header::Read(_) => Ok(Pin::new(&mut self.stream)),
            _ => Err(ErrorKind::NotConnected.into()),
        }
    }
}

/// The client that is named by the header with which these bytes begin, and its length. None when more has to come.
type Found = Option<(Option<SocketAddr>, usize)>;

fn read(bytes: &[u8], protocol: ProxyProtocol) -> std::result::Result<Found, &'static str> {
    let config = ParseConfig {
        include_tlvs: false,
        allow_v1: protocol != ProxyProtocol::V2,
        allow_v2: protocol != ProxyProtocol::V1,
    };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, length)) => {
            let client = header.proxied_address().map(|address| address.source);
            Ok(Some((client, length)))
        }
        Err(Error::BufferTooShort) if bytes.len() < LONGEST => Ok(None),
        Err(Error::BufferTooShort) => Err(TOO_LONG),
        Err(_) => Err(NO_HEADER),
    }
}

impl AsyncRead for Proxied {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let opened = ready!(self.poll_opened(cx))?;
        Pin::new(opened).poll_read(cx, buf)
    }
}

/// Nothing is written before something was read.
impl AsyncWrite for Proxied {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        self.opened()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        self.opened()?.poll_write_vectored(cx, slices)
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

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x0a\0\0\x01\x10\x92\x01\xbb";
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    const V1: &[u8] = b"PROXY TCP6 2001:db8::9 ::1 4242 443\r\n";
    const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

    #[test]
    fn a_header_is_read_however_much_of_it_is_there() {
        use ProxyProtocol::{Any, V1 as One, V2 as Two};
        for (header, by, expected) in [
            (V1, [Any, One], Some("[2001:db8::9]:4242")),
            (UNKNOWN, [Any, One], None),
            (V2, [Any, Two], Some("203.0.113.9:4242")),
            (LOCAL, [Any, Two], None),
        ] {
            let expected = expected.map(|text| text.parse().expect("an address"));
            for protocol in by {
                for end in 0..header.len() {
                    assert_eq!(read(&header[..end], protocol), Ok(None), "{end} of {header:?}");
                }
                let bytes = [header, b"GET / HTTP/1.1\r\n"].concat();
                assert_eq!(read(&bytes, protocol), Ok(Some((expected, header.len()))));
            }
            let other = if by[1] == One { Two } else { One };
            assert!(read(header, other).is_err(), "{header:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_known_soon() {
        let long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".as_slice(), &[0; LONGEST]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4242 99999\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"POST /v1/chat/completions HTTP/1.1\r\n",
            b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            &[b'P'; 107],
            &long,
        ] {
            assert!(read(bytes, ProxyProtocol::Any).is_err(), "{bytes:?}");
        }
    }
}
