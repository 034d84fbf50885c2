//! The listener: accepts connections and has hyper serve them, without anything that grows with idle ones.
//!
//! Not hyper-util's builder that detects the protocol: it costs 8 KiB more a connection and waits for ever for the first
//! byte.

mod accept;
mod client_io;
mod connected;
mod connection;
mod early;
mod edge;
mod first_bytes;
mod http1;
mod inherited;
mod lean;
mod proxied;
mod silent;
mod socket;
mod source;
mod tcp;
pub(crate) mod tls;
mod unix;
mod unless;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use axum::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

pub(crate) use accept::{ACCEPT_PAUSES, Admits, Terms, start};
pub(crate) use edge::Edge;
pub(crate) use inherited::Inherited;
pub(crate) use lean::WholeBody;
pub(crate) use lean::settle;
pub(crate) use proxied::{Expected, IsTrusted};
pub(crate) use socket::Lends;
pub(crate) use source::Source;
pub(crate) use tcp::Tcp;
pub(crate) use unix::Unix;

/// Where connections come from.
pub(crate) trait Listener: Send + Sync + 'static {
    /// What tells of connections on one thread.
    type Watch: Send + Sync + 'static;
    /// A connection that belongs to no thread yet.
    type Accepted: Send + 'static;
    type Io: AsyncRead + AsyncWrite + Lends + Unpin + Send + 'static;

    /// Looks for connections on this thread. Several may do so, and each connection is accepted by one of them.
    ///
    /// # Errors
    ///
    /// When there are no descriptors.
    fn watch(&self) -> io::Result<Self::Watch>;

    /// Resolves when there may be a connection.
    ///
    /// # Errors
    ///
    /// When the runtime of the thread ends.
    fn ready(watch: &Self::Watch) -> impl Future<Output = io::Result<()>> + Send;

    /// The next connection.
    ///
    /// # Errors
    ///
    /// When there is none for now, as when no descriptors are left. It is asked again, and behind
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) not before it is ready.
    fn accept(watch: &Self::Watch) -> io::Result<(Self::Accepted, Connection)>;

    /// Opens it on the thread that serves it. What takes the client's time, such as a handshake, is left to the first read of it.
    ///
    /// # Errors
    ///
    /// When the runtime of the thread does not take it.
    fn open(accepted: Self::Accepted) -> io::Result<Self::Io>;
}

/// The body of a client's request: what hyper reads, or what was read without hyper, all of it.
pub(crate) type ClientBody = Either<Incoming, Full<Bytes>>;

/// Answers the requests of connections: a service, a clone of which each of them has.
pub(crate) trait Answers:
    Service<
        Request<ClientBody>,
        Response = Response<Self::Body>,
        Error: Into<BoxError>,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> Answers for S
where
    S: Service<Request<ClientBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = B;
}

/// What is known of a connection. Requests carry it as an extension.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Who has connected, or for whom a balancer has; unknown of a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) is_tls: bool,
    /// Who the client is by its certificate, where that is told.
    pub(crate) identity: Option<tls::Identity>,
}

#[cfg(test)]
mod tests;
