//! A server, and connections to it.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::address::{Address, Endpoint, Servers};
use super::tls::{Certificates, Tls};
use super::{StoreError, replies};
use crate::store::Reign;

/// How long a connection is waited for, and then each answer. Behind that the connection is lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// A server, and how it is talked to.
#[derive(Clone)]
pub struct Server {
    endpoint: Endpoint,
    login: RedisConnectionInfo,
    tls: Option<Tls>,
}

impl Server {
    /// The one at an address such as `redis://127.0.0.1` or `unix:///run/redis.sock`.
    ///
    /// # Errors
    ///
    /// When it is no such address.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let address = Address::parse(url)?;
        let Servers::One(endpoint) = address.servers else {
            return Err(StoreError::address("it is that of several"));
        };
        let tls = address.is_tls.then(|| Certificates::default().tls());
        let tls = tls.transpose()?;
        Ok(Server::new(endpoint, address.login, tls))
    }

    pub(super) fn new(endpoint: Endpoint, login: RedisConnectionInfo, tls: Option<Tls>) -> Self {
        Server {
            endpoint,
            login,
            tls,
        }
    }

    /// Connects with a primary, and asks since when it is that.
    pub(super) async fn connect(
        &self,
        config: AsyncConnectionConfig,
    ) -> Result<(Link, Is), StoreError> {
        let mut link = self.open(config).await?;
        let mut pipe = redis::pipe();
        for section in ["server", "replication"] {
            pipe.cmd("INFO").arg(section);
        }
        let (server, replication): (String, String) = link.send_all(&pipe).await?;
        replies::check_version(&server)?;
        let is_cluster = replies::is_cluster(&server);
        let has_disk = replies::version(&server) >= (7, 2);
        let is = Is {
            reign: replies::reign(&(server + &replication))?,
            is_cluster,
            has_disk,
        };
        Ok((link, is))
    }

    pub(super) async fn open(&self, config: AsyncConnectionConfig) -> Result<Link, StoreError> {
        let until = Instant::now() + PATIENCE;
        match (&self.endpoint, &self.tls) {
            (Endpoint::Tcp(host, port), tls) => {
                let stream = TcpStream::connect((host.as_str(), *port));
                let stream = by(until, stream).await?.map_err(StoreError::io)?;
                stream.set_nodelay(true).map_err(StoreError::io)?;
                match tls {
                    Some(tls) => {
                        let stream = timeout_at(until, tls.connect(host, stream)).await;
                        let stream = stream.map_err(|_| StoreError::no_handshake())??;
                        self.log_in(stream, config, until).await
                    }
                    None => self.log_in(stream, config, until).await,
                }
            }
            #[cfg(unix)]
            (Endpoint::Unix(path), _) => {
                let stream = UnixStream::connect(path);
                let stream = by(until, stream).await?.map_err(StoreError::io)?;
                self.log_in(stream, config, until).await
            }
            #[cfg(not(unix))]
            (Endpoint::Unix(_), _) => Err(StoreError::io(io::ErrorKind::Unsupported.into())),
        }
    }

    async fn log_in<S>(
        &self,
        stream: S,
        config: AsyncConnectionConfig,
        until: Instant,
    ) -> Result<Link, StoreError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = config.set_response_timeout(Some(PATIENCE));
        let opened = MultiplexedConnection::new_with_config(&self.login, stream, config);
        let opened = by(until, opened).await?;
        let (connection, driver) = opened.map_err(|error| {
            let is_closed = error.is_connection_dropped() && self.tls.is_none();
            let closed = is_closed.then(StoreError::closed);
            closed.unwrap_or_else(|| StoreError::redis(error))
        })?;
        let driver = tokio::spawn(driver).abort_handle();
        Ok(Link {
            connection,
            _driver: Arc::new(Driver(driver)),
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.endpoint).finish()
    }
}

/// What it gives, if that is in time.
async fn by<F: Future>(until: Instant, future: F) -> Result<F::Output, StoreError> {
    let done = timeout_at(until, future).await;
    done.map_err(|_| StoreError::io(io::ErrorKind::TimedOut.into()))
}

/// What a primary says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Is {
    pub(super) reign: Reign,
    pub(super) is_cluster: bool,
    /// Whether its disk can be waited for.
    pub(super) has_disk: bool,
}

/// A connection, for as long as there is a clone of it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    connection: MultiplexedConnection,
    _driver: Arc<Driver>,
}

impl Link {
    pub(super) async fn send<T: FromRedisValue>(
        &mut self,
        cmd: &redis::Cmd,
    ) -> Result<T, StoreError> {
        let answer = cmd.query_async(&mut self.connection).await;
        answer.map_err(StoreError::redis)
    }

    pub(super) async fn send_all<T: FromRedisValue>(
        &mut self,
        pipe: &redis::Pipeline,
    ) -> Result<T, StoreError> {
        let answers = pipe.query_async(&mut self.connection).await;
        answers.map_err(StoreError::redis)
    }
}

/// Reads and writes. One whose server hangs would wait for it for ever.
#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
