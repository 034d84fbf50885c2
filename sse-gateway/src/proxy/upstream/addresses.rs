//! What is known of a name's addresses: how many connections each has, and which did not answer.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::proxy::aside::Aside;

/// The addresses that a name had when it was resolved last, and those to which connections are open.
#[derive(Default)]
pub(super) struct Addresses(Mutex<State>);

#[derive(Default)]
struct State {
    known: HashMap<SocketAddr, Arc<Known>>,
    /// Whether the address that answered last is of IPv6: a family that does not work is not tried for each connection.
    is_ipv6: Option<bool>,
}

#[derive(Default)]
struct Known {
    open: AtomicUsize,
    aside: Aside,
}

impl Addresses {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a name was resolved to, in the order in which to try it.
    pub(super) fn in_order(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let now = Instant::now();
        let state = &mut *self.state();
        let is_open = |known: &Arc<Known>| known.open.load(Ordering::Relaxed) > 0;
        let is_used = |address: &SocketAddr, known: &mut Arc<Known>| {
            addresses.contains(address) || is_open(known)
        };
        state.known.retain(is_used);
        let family = state.is_ipv6;
        addresses.sort_by_cached_key(|address| match state.known.get(address) {
            None => (
                None,
                family.is_some_and(|is_6| is_6 != address.is_ipv6()),
                0,
            ),
            Some(known) => (
                known.aside.until(now),
                family.is_some_and(|is_6| is_6 != address.is_ipv6()),
                known.open.load(Ordering::Relaxed),
            ),
        });
        addresses
    }

    /// Counts a connection to this address, until it is closed or does not come to be.
    pub(super) fn place(&self, address: SocketAddr) -> Place {
        let known = Arc::clone(self.state().known.entry(address).or_default());
        known.aside.try_now(Instant::now());
        known.open.fetch_add(1, Ordering::Relaxed);
        Place(known)
    }

    /// The first so many did not answer in time, and the one behind them has.
    pub(super) fn tried(&self, addresses: &[SocketAddr], reached: usize) {
        let now = Instant::now();
        let state = &mut *self.state();
        let (away, there) = addresses.split_at(reached);
        for address in away {
            state.known.entry(*address).or_default().aside.set(now);
        }
        if let Some(address) = there.first() {
            state.is_ipv6 = Some(address.is_ipv6());
            state.known.entry(*address).or_default().aside.unset();
        }
    }
}

/// One of the connections to an address.
pub(super) struct Place(Arc<Known>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is counted at its address, where it is that of a name.
pub(super) struct Counted {
    io: TokioIo<TcpStream>,
    _place: Option<Place>,
}

impl Counted {
    pub(super) fn new(io: TokioIo<TcpStream>, place: Place) -> Self {
        let _place = Some(place);
        Counted { io, _place }
    }

    pub(super) fn alone(io: TokioIo<TcpStream>) -> Self {
        let _place = None;
        Counted { io, _place }
    }
}

impl Connection for Counted {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

impl Read for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::aside::SHORTEST;

    #[tokio::test(start_paused = true)]
    async fn the_one_with_the_fewest_connections_is_first_and_one_that_did_not_answer_last() {
        let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let all = ["192.0.2.1:80", "[2001:db8::1]:80", "192.0.2.2:80"].map(parse);
        let [a, six, b] = all;
        let known = Addresses::default();
        let order = || known.in_order(all.to_vec());
        assert_eq!(order(), all, "as they came");
        let first = known.place(a);
        known.tried(&[a], 0);
        assert_eq!(order(), [b, a, six], "the family that answered is first");
        let second = known.place(b);
        let third = known.place(b);
        assert_eq!(order(), [a, b, six]);
        drop((second, third));
        assert_eq!(order(), [b, a, six]);
        known.tried(&[b, a], 1);
        assert_eq!(order(), [a, six, b], "it is left for last");
        tokio::time::advance(SHORTEST).await;
        assert_eq!(order(), [b, a, six], "for a while");
        drop(first);
        assert_eq!(known.in_order(vec![six]), [six]);
        assert_eq!(known.state().known.len(), 0, "what is gone is forgotten");
    }
}
