//! Connections over TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{Connection, Listener};
use crate::config::Error;

/// After a restart all clients come back within moments, and whoever finds the queue full tries again only after a
/// second or more. The kernel has a limit of its own, `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// A listener of TCP.
pub(crate) struct Tcp(TcpListener);

impl Tcp {
    /// Begins to listen, and says where. The flag is for the error.
    ///
    /// # Errors
    ///
    /// When the address is in use or may not be had.
    pub(crate) fn bind(address: SocketAddr, flag: &str) -> Result<(Self, SocketAddr), Error> {
        listen(address).map_err(|error| cannot_listen(address, flag, &error))
    }

    /// The same, at any free port of the IP address when this one is in use.
    ///
    /// # Errors
    ///
    /// When the IP address may not be had.
    pub(crate) fn bind_or_free(
        mut address: SocketAddr,
        flag: &str,
    ) -> Result<(Self, SocketAddr), Error> {
        match listen(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                address.set_port(0);
                Self::bind(address, flag)
            }
            listening => listening.map_err(|error| cannot_listen(address, flag, &error)),
        }
    }
}

fn cannot_listen(address: SocketAddr, flag: &str, error: &io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; stop what listens there, or choose another port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        _ => "",
    };
    Error::at(flag, format!("cannot listen on {address}: {error}{hint}"))
}

fn listen(address: SocketAddr) -> io::Result<(Tcp, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A new process takes over the address of one whose connections are still winding down.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((Tcp(listener), address))
}

impl Listener for Tcp {
    type Accepted = std::net::TcpStream;
    type Io = TcpStream;

    async fn accept(&self) -> io::Result<(std::net::TcpStream, Connection)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((stream.into_std()?, Connection { peer }))
    }

    fn open(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        if let Err(error) = configure(&stream) {
            tracing::debug!(%error, "socket options not set");
        }
        TcpStream::from_std(stream)
    }
}

fn configure(stream: &std::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    // Also ends a connection whose client is there but does not read.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}
