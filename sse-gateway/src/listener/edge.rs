//! Connections that need more than a socket of TCP: TLS, a Unix socket, or a header of the PROXY protocol.

use std::io::{ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::either::Either;

use super::proxied::{Expected, Proxied};
use super::source::{self, Source};
use super::tls::{Tls, TlsIo};
use super::{Connection, Lends, Listener};

/// A listener whose connections are opened before anything is asked on them.
pub(crate) struct Edge {
    source: Source,
    opening: Opening,
}

/// What a connection begins with.
#[derive(Clone)]
pub(crate) struct Opening {
    header: Option<Arc<Expected>>,
    tls: Option<Tls>,
}

impl Edge {
    pub(crate) fn new(source: Source, header: Option<Expected>, tls: Option<Tls>) -> Self {
        let header = header.map(Arc::new);
        Edge {
            source,
            opening: Opening { header, tls },
        }
    }
}

/// What is accepted, and by whom it was made.
type Accepted = (source::Accepted, Option<SocketAddr>, Opening);

impl Listener for Edge {
    type Watch = (source::Watch, Opening);
    type Accepted = Accepted;
    type Io = Either<Proxied, TlsIo>;

    fn watch(&self) -> Result<Self::Watch> {
        Ok((self.source.watch()?, self.opening.clone()))
    }

    async fn ready((watch, _): &Self::Watch) -> Result<()> {
        Source::ready(watch).await
    }

    fn accept((watch, opening): &Self::Watch) -> Result<(Self::Accepted, Connection)> {
        let (accepted, connection) = Source::accept(watch)?;
        let connection = Connection {
            is_tls: opening.tls.is_some(),
            ..connection
        };
        let peer = connection.peer;
        if opening
            .header
            .as_ref()
            .is_some_and(|header| !header.may_be_from(peer))
        {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        Ok(((accepted, peer, opening.clone()), connection))
    }

    fn open((accepted, peer, opening): Self::Accepted) -> Result<Self::Io> {
        let raw = Proxied::new(Source::open(accepted)?, opening.header, peer);
        Ok(match opening.tls {
            None => Either::Left(raw),
            Some(tls) => Either::Right(TlsIo::new(raw, tls)),
        })
    }
}

impl Lends for Either<Proxied, TlsIo> {
    fn refine(&self, connection: &mut Connection) {
        let opened = match self {
            Either::Left(raw) => Some((raw, None)),
            Either::Right(tls) => tls.opened(),
        };
        if let Some((raw, identity)) = opened {
            connection.peer = raw.client().or(connection.peer);
            connection.identity = identity;
        }
    }
}
