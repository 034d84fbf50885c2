//! Connections over TCP.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};

use super::socket::Socket;
use super::{Connection, Listener};
use crate::config::Error;

/// After a restart all clients come back within moments, and whoever finds the queue full tries again only after a
/// second or more. The kernel has a limit of its own, `net.core.somaxconn`.
pub(super) const BACKLOG: u32 = 4096;
/// Where a connection does not have the options of its listener.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// A listener of TCP.
pub(crate) struct Tcp(TcpListener);

impl Tcp {
    /// Begins to listen, and says where. A connection is closed whose other end has acknowledged nothing for this long. The flag is
    /// for the error.
    ///
    /// # Errors
    ///
    /// When the address is in use or may not be had.
    pub(crate) fn bind(
        address: SocketAddr,
        gone_after: Duration,
        flag: &str,
    ) -> Result<(Self, SocketAddr), Error> {
        listen(address, gone_after).map_err(|error| cannot_listen(address, flag, &error))
    }

    /// Goes on with a socket that listens, and says where.
    ///
    /// # Errors
    ///
    /// When the system has no more of it.
    pub(super) fn inherited(
        listener: TcpListener,
        gone_after: Duration,
    ) -> io::Result<(Self, SocketAddr)> {
        configure(SockRef::from(&listener), gone_after);
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((Tcp(listener), address))
    }

    /// The same as [`bind`](Self::bind), at any free port of the IP address when this one is in use.
    ///
    /// # Errors
    ///
    /// When the IP address may not be had.
    pub(crate) fn bind_or_free(
        mut address: SocketAddr,
        gone_after: Duration,
        flag: &str,
    ) -> Result<(Self, SocketAddr), Error> {
        match listen(address, gone_after) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                address.set_port(0);
                Self::bind(address, gone_after, flag)
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

fn listen(address: SocketAddr, gone_after: Duration) -> io::Result<(Tcp, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A new process takes over the address of one whose connections are still winding down.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    configure(SockRef::from(&socket), gone_after);
    let listener = socket.listen(BACKLOG)?.into_std()?;
    let address = listener.local_addr()?;
    Ok((Tcp(listener), address))
}

impl Listener for Tcp {
    /// A listener that tokio knows as a stream, which can be read when there is a connection. Of what tokio's own listener
    /// accepts its runtime would know, until it is given to that of another thread.
    type Watch = TcpStream;
    type Accepted = std::net::TcpStream;
    type Io = Socket;

    fn watch(&self) -> io::Result<TcpStream> {
        TcpStream::from_std(OwnedFd::from(self.0.try_clone()?).into())
    }

    async fn ready(watch: &TcpStream) -> io::Result<()> {
        watch.readable().await
    }

    fn accept(watch: &TcpStream) -> io::Result<(std::net::TcpStream, Connection)> {
        let accept = || SockRef::from(watch).accept();
        let (stream, peer) = watch.try_io(Interest::READABLE, accept)?;
        let peer = Some(peer.as_socket().ok_or(io::ErrorKind::ConnectionAborted)?);
        let connection = Connection {
            peer,
            is_tls: false,
            identity: None,
        };
        Ok((stream.into(), connection))
    }

    fn open(stream: std::net::TcpStream) -> io::Result<Socket> {
        Self::open_stream(stream).map(Socket::new)
    }
}

impl Tcp {
    /// The same, as a stream that is never lent.
    ///
    /// # Errors
    ///
    /// When the runtime of the thread does not take it.
    pub(super) fn open_stream(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        if !IS_INHERITED {
            configure(SockRef::from(&stream), GONE_AFTER);
        }
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream)
    }
}

/// Whether connections have the options of their listener.
const IS_INHERITED: bool = cfg!(target_os = "linux");

fn configure(socket: SockRef<'_>, gone_after: Duration) {
    if let Err(error) = try_to_configure(&socket, gone_after) {
        tracing::debug!(%error, "socket options not set");
    }
}

fn try_to_configure(socket: &SockRef<'_>, gone_after: Duration) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(gone_after.max(SECOND))
        .with_interval((gone_after / 6).max(SECOND));
    socket.set_tcp_keepalive(&keepalive)?;
    // Also ends a connection whose client is there but does not read.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(gone_after))?;
    Ok(())
}

/// The system counts in these.
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_have_the_options_of_their_listener() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let address = address.parse().expect("an address");
            let Ok((listener, address)) = Tcp::bind(address, GONE_AFTER, "--listen") else {
                // There is no IPv6 here.
                continue;
            };
            let client = TcpStream::connect(address);
            let watch = listener.watch().expect("a descriptor");
            let (ready, client) = tokio::join!(Tcp::ready(&watch), client);
            ready.expect("a connection");
            let (stream, _) = Tcp::accept(&watch).expect("accepts");
            client.expect("connects");
            let socket = SockRef::from(&stream);
            assert!(socket.tcp_nodelay().expect("an option"));
            assert!(socket.keepalive().expect("an option"));
            #[cfg(target_os = "linux")]
            {
                let time = socket.tcp_keepalive_time().expect("an option");
                let interval = socket.tcp_keepalive_interval().expect("an option");
                assert_eq!((time, interval), (GONE_AFTER, Duration::from_secs(10)));
                let timeout = socket.tcp_user_timeout().expect("an option");
                assert_eq!(timeout, Some(GONE_AFTER));
            }
        }
    }
}
