//! Connects to one of a name's addresses (Happy Eyeballs, RFC 8305).
//!
//! hyper-util's connector does it between the two families. Within one it tries an address for as long as there is time, so a
//! name whose first address drops packets was never reached. Its resolver is used, which asks that of the system.
//!
//! Of the addresses of one family that one is tried first to which the fewest connections are open, and those that did not
//! answer are left for last for a while.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_service::Service;

use super::addresses::{Addresses, Counted};

/// The next address is tried when the one before has not answered for so long.
const TURN: Duration = Duration::from_millis(250);

/// Opens connections of TCP. The name is resolved for each; clones share what is known of its addresses.
#[derive(Clone)]
pub(super) struct Tcp {
    resolver: GaiResolver,
    known: Arc<Addresses>,
}

impl Tcp {
    pub(super) fn new() -> Self {
        Tcp {
            resolver: GaiResolver::new(),
            known: Arc::default(),
        }
    }

    async fn connect(mut self, uri: Uri) -> Result<Counted, BoxError> {
        if let Some(address) = address(&uri) {
            return Ok(Counted::alone(open(address).await?));
        }
        let (host, port) = (uri.host().unwrap_or_default(), port(&uri));
        let addresses = self.resolver.call(host.parse()?).await;
        let addresses = addresses.map_err(Unresolved)?;
        let addresses = self.known.in_order(in_turn(addresses.collect()));
        let known = Arc::clone(&self.known);
        let raced = race(&addresses, move |mut address| {
            let place = known.place(address);
            address.set_port(port);
            async move {
                let io = open(address).await?;
                Ok(Counted::new(io, place))
            }
        });
        let (reached, io) = match raced.await {
            Ok((place, io)) => (place, Ok(io)),
            Err(error) => (addresses.len(), Err(error)),
        };
        self.known.tried(&addresses, reached);
        io
    }
}

/// The address that a URI names, if it does not name a host.
pub(super) fn address(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let address: IpAddr = host.parse().ok()?;
    Some(SocketAddr::new(address, port(uri)))
}

fn port(uri: &Uri) -> u16 {
    let default = match uri.scheme() == Some(&Scheme::HTTPS) {
        true => 443,
        false => 80,
    };
    uri.port_u16().unwrap_or(default)
}

impl Service<Uri> for Tcp {
    type Response = Counted;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// The order of the resolver with the families in turn.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == is_6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all: Vec<SocketAddr> = Vec::new();
    while first.len() + second.len() > 0 {
        all.extend(first.next());
        all.extend(second.next());
    }
    all
}

/// The first that is connected, and its place. Others begin when it is their turn, or when one before has failed.
async fn race<T, F>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> Result<(usize, T), BoxError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
{
    if let [address] = addresses[..] {
        return Ok((0, connect(address).await?));
    }
    let mut waiting = addresses.iter().enumerate();
    let mut attempts = JoinSet::new();
    let mut error = None;
    loop {
        if let Some((place, address)) = waiting.next() {
            let attempt = connect(*address);
            attempts.spawn(async move { attempt.await.map(|io| (place, io)) });
        }
        let ended = match waiting.len() {
            0 => attempts.join_next().await,
            _ => match timeout(TURN, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            },
        };
        match ended {
            None => return Err(error.unwrap_or_else(|| "the name has no address".into())),
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(failed))) => {
                error.get_or_insert(failed);
            }
            Some(Err(failed)) => {
                error.get_or_insert(failed.into());
            }
        }
    }
}

/// Connects to one address.
///
/// # Errors
///
/// When nobody answers there.
pub(super) async fn open(address: SocketAddr) -> Result<TokioIo<TcpStream>, NotConnected> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|error| NotConnected("tcp open error", error))?;
    if let Err(error) = configure(&SockRef::from(&socket)) {
        tracing::debug!(%error, "socket options not set");
    }
    match socket.connect(address).await {
        Ok(stream) => Ok(TokioIo::new(stream)),
        Err(error) => Err(NotConnected("tcp connect error", error)),
    }
}

fn configure(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// The upstream's name has no address.
#[derive(Debug)]
pub(crate) struct Unresolved(io::Error);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("name not resolved")
    }
}

impl Error for Unresolved {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// There is no connection to an address, and what was done last.
#[derive(Debug)]
pub(super) struct NotConnected(&'static str, io::Error);

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for NotConnected {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.1)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    fn addresses(all: &[&str]) -> Vec<SocketAddr> {
        let parse = |address: &&str| address.parse().expect("an address");
        all.iter().map(parse).collect()
    }

    /// Which address is reached, and after how many milliseconds; 1 drops packets, 2 refuses, others answer after 100 ms.
    async fn reached(all: &[&str]) -> (Result<String, String>, u128) {
        let began = Instant::now();
        let all = addresses(all);
        let result = race(&all, |address| async move {
            match address.port() {
                1 => std::future::pending().await,
                2 => return Err("refused".into()),
                _ => sleep(Duration::from_millis(100)).await,
            }
            Ok(())
        })
        .await;
        let address = result.map(|(place, ())| all[place].to_string());
        let address = address.map_err(|error| error.to_string());
        (address, began.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_costs_a_quarter_of_a_second() {
        let ok = |address: &str| Ok(address.to_owned());
        let (dropping, refusing) = ("192.0.2.1:1", "192.0.2.2:2");
        for (all, expected, after) in [
            (&["192.0.2.3:80"][..], ok("192.0.2.3:80"), 100),
            (&[dropping, "192.0.2.3:80"], ok("192.0.2.3:80"), 350),
            (&[dropping, dropping, "[::1]:80"], ok("[::1]:80"), 600),
            (&[refusing, "192.0.2.3:80"], ok("192.0.2.3:80"), 100),
            (&["192.0.2.3:80", dropping], ok("192.0.2.3:80"), 100),
            (&[refusing, refusing], Err("refused".to_owned()), 0),
            (&[], Err("the name has no address".to_owned()), 0),
        ] {
            assert_eq!(reached(all).await, (expected, after), "{all:?}");
        }
    }

    #[test]
    fn families_take_turns() {
        let (a, b, c, d) = ("[::1]:80", "[::2]:80", "192.0.2.1:80", "192.0.2.2:80");
        let all = addresses(&[a, b, c, d]);
        assert_eq!(in_turn(all), addresses(&[a, c, b, d]));
        assert_eq!(in_turn(addresses(&[c, a])), addresses(&[c, a]));
    }
}
