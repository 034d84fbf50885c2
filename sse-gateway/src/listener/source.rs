//! Connections of either kind, over TCP or a Unix socket.

use std::io::Result;
use std::os::unix::net::UnixStream;

use tokio::net;
use tokio_util::either::Either;

use super::{Connection, Listener as _, Tcp, Unix};

/// What is listened on.
pub(crate) enum Source {
    Tcp(Tcp),
    Unix(Unix),
}

/// What tells of connections on one thread.
pub(crate) type Watch = Either<net::TcpStream, net::UnixStream>;
pub(crate) type Accepted = Either<std::net::TcpStream, UnixStream>;
pub(crate) type Stream = Either<net::TcpStream, net::UnixStream>;

impl Source {
    pub(super) fn watch(&self) -> Result<Watch> {
        Ok(match self {
            Source::Tcp(tcp) => Either::Left(tcp.watch()?),
            Source::Unix(unix) => Either::Right(unix.watch()?),
        })
    }

    pub(super) async fn ready(watch: &Watch) -> Result<()> {
        match watch {
            Either::Left(tcp) => tcp.readable().await,
            Either::Right(unix) => unix.readable().await,
        }
    }

    pub(super) fn accept(watch: &Watch) -> Result<(Accepted, Connection)> {
        Ok(match watch {
            Either::Left(watch) => {
                let (stream, connection) = Tcp::accept(watch)?;
                (Either::Left(stream), connection)
            }
            Either::Right(watch) => {
                let connection = Connection {
                    peer: None,
                    is_tls: false,
                    identity: None,
                };
                (Either::Right(Unix::accept(watch)?), connection)
            }
        })
    }

    pub(super) fn open(accepted: Accepted) -> Result<Stream> {
        Ok(match accepted {
            Either::Left(tcp) => Either::Left(Tcp::open_stream(tcp)?),
            Either::Right(unix) => {
                unix.set_nonblocking(true)?;
                Either::Right(net::UnixStream::from_std(unix)?)
            }
        })
    }
}
