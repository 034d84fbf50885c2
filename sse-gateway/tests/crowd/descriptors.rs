//! Thousands of descriptors, used up and given back.

use std::net::SocketAddr;

use futures_util::future::join_all;

use crate::gateway::Gateway;
use crate::one_at_a_time;
use crate::support::admin::{admin_answers, admin_until, sum_of, until_paused};
use crate::upstream::{EVENT, Upstream};
use crate::visits::address;
use crate::wire::Wire;

/// Of the gateway, which takes two for a stream; fewer where this process may not have as many for the other ends.
const MOST: usize = 18_000;
/// What it leaves for other uses, and what is open at its start.
const KEPT: usize = 100;
/// Clients that come when there is none, but for some.
const MORE: usize = 500;
const LEAVING: usize = MORE;
/// Of this process: the other ends of all streams, and beside them those of the clients that wait, and what else is open.
const NEEDED: usize = MOST + MORE + KEPT;
/// With fewer nothing is seen.
const FEWEST: usize = 2_000;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";

#[tokio::test]
async fn thousands_of_descriptors_are_used_up_and_given_back() {
    let _turn = one_at_a_time().await;
    let allowed = rlimit::increase_nofile_limit(NEEDED as u64).expect("a limit");
    let limit = MOST.min((allowed as usize).saturating_sub(NEEDED - MOST));
    assert!(
        limit >= FEWEST,
        "{allowed} open files are too few: raise ulimit -Hn"
    );
    // Streams for which there is room.
    let served_at_once = (limit - KEPT) / 2;
    let upstream = Upstream::start(0).await;
    let flag = format!("-n {limit}");
    let gateway = Gateway::with_admin_and_ulimit(&upstream.url, &flag, &[]);
    let before = gateway.descriptors();

    let mut served = Vec::new();
    while served.len() < served_at_once {
        let numbers = served.len()..served_at_once.min(served.len() + 50);
        let some = numbers.map(|number| served_client(number, gateway.address));
        served.extend(join_all(some).await);
    }
    let mut more = Vec::new();
    for number in 0..MORE {
        more.push(client(number, gateway.address).await);
    }
    until_paused(&gateway).await;
    let open = gateway.descriptors();
    assert!((limit - KEPT..=limit).contains(&open), "{open} are open");
    for _ in 0..5 {
        admin_answers(&gateway).await;
    }

    let staying = served.split_off(LEAVING);
    drop(served);
    for client in &mut more {
        client.until(EVENT).await;
    }
    until_streams(&gateway, served_at_once - LEAVING + MORE).await;
    admin_answers(&gateway).await;

    drop((staying, more));
    until_streams(&gateway, 0).await;
    gateway.until_descriptors(before).await;
    served_client(0, gateway.address).await;
    let log = gateway.log();
    assert!(!log.contains("panicked"), "{log}");
}

async fn client(number: usize, gateway: SocketAddr) -> Wire {
    let mut client = Wire::from_address(address(number), gateway).await;
    client.send(GET).await;
    client
}

async fn served_client(number: usize, gateway: SocketAddr) -> Wire {
    let mut client = client(number, gateway).await;
    client.until(EVENT).await;
    client
}

async fn until_streams(gateway: &Gateway, count: usize) {
    admin_until(gateway, "/metrics", |metrics| {
        sum_of(metrics, "sse_streams_active") == count as u64
    })
    .await;
}
