//! Clients that come and leave, in all ways in which clients do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::gateway::PATIENCE;
use crate::upstream::{EVENT, Upstream};
use crate::wire::Wire;

/// Visits under way at once.
pub(crate) const AT_ONCE: usize = 64;

/// Addresses that clients have in turn: one has too few ports for those that have just left.
const ADDRESSES: usize = 16;

#[derive(Clone, Copy)]
struct Way {
    /// With how many others a stream is shared, the client among them. 0 where it is not.
    sharing: usize,
    posts: bool,
    is_answered: bool,
    resets: bool,
}

/// Of ten visits.
const WAYS: [Way; 10] = [
    plain(false),
    plain(true),
    plain(false),
    plain(true),
    Way {
        is_answered: false,
        ..plain(false)
    },
    Way {
        is_answered: false,
        ..plain(true)
    },
    Way {
        posts: true,
        ..plain(false)
    },
    Way {
        posts: true,
        ..plain(true)
    },
    Way {
        sharing: 1,
        ..plain(false)
    },
    Way {
        sharing: 20,
        ..plain(true)
    },
];

const fn plain(resets: bool) -> Way {
    Way {
        sharing: 0,
        posts: false,
        is_answered: true,
        resets,
    }
}

/// Makes so many visits.
pub(crate) async fn visits(gateway: SocketAddr, upstream: &Arc<Upstream>, count: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut visitors = JoinSet::new();
    for visitor in 0..AT_ONCE {
        let (next, upstream) = (next.clone(), upstream.clone());
        visitors.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let visit = visit(gateway, &upstream, visitor, number);
                let visited = timeout(PATIENCE, visit).await;
                assert!(visited.is_ok(), "visit {number} takes too long");
            }
        });
    }
    visitors.join_all().await;
}

async fn visit(gateway: SocketAddr, upstream: &Upstream, visitor: usize, number: usize) {
    let way = WAYS[number % WAYS.len()];
    let mut client = Wire::from_address(address(number), gateway).await;
    let path = match way {
        Way {
            is_answered: false, ..
        } => format!("/silent/{visitor}"),
        Way { sharing: 0, .. } => "/stream".to_owned(),
        Way { sharing, .. } => format!("/shared/{sharing}/{}", number / WAYS.len() / sharing),
    };
    let (method, body) = match way.posts {
        true => ("POST", "Content-Length: 4\r\n\r\nbody"),
        false => ("GET", "\r\n"),
    };
    client
        .send(format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n{body}"
        ))
        .await;
    if way.is_answered {
        client.until(EVENT).await;
    } else {
        upstream.asked_in_vain(visitor).await;
    }
    if way.resets {
        client.reset();
    }
}

/// One of the addresses that clients have.
pub(crate) fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + 1 + (number % ADDRESSES) as u32)
}

impl Wire {
    /// Connects from an address of this machine.
    pub(crate) async fn from_address(own: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((own, 0).into()).expect("a port is free");
        Self::from(socket.connect(to).await.expect("connects"))
    }
}
