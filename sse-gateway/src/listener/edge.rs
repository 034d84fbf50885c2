//! Connections that need more than a socket of TCP: TLS, or a Unix socket.

use std::io::Result;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

use super::early::Early;
use super::source::{self, Source, Stream};
use super::tls::TlsIo;
use super::{Connection, Lends, Listener};

/// A listener whose connections are opened before anything is asked on them.
pub(crate) struct Edge {
    source: Source,
    opening: Opening,
}

/// What a connection begins with.
#[derive(Clone)]
pub(crate) struct Opening {
    tls: Option<TlsAcceptor>,
}

impl Edge {
    pub(crate) fn new(source: Source, tls: Option<ServerConfig>) -> Self {
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        Edge {
            source,
            opening: Opening { tls },
        }
    }
}

/// What bytes come from, whatever they are.
pub(crate) type Raw = Early<Stream>;

impl Listener for Edge {
    type Watch = (source::Watch, Opening);
    type Accepted = (source::Accepted, Opening);
    type Io = Either<Raw, TlsIo>;

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
        Ok(((accepted, opening.clone()), connection))
    }

    fn open((accepted, opening): Self::Accepted) -> Result<Self::Io> {
        let raw = Early::new(Source::open(accepted)?);
        Ok(match opening.tls {
            None => Either::Left(raw),
            Some(acceptor) => Either::Right(TlsIo::new(raw, acceptor)),
        })
    }
}

/// What is written to these is not what is written to a socket of TCP.
impl<L, R> Lends for Either<L, R> {}
