//! A stream that never pauses leaves all others their turn, on one thread.

use crate::gateway::Gateway;
use crate::hot::{Hot, Reading};
use crate::one_at_a_time;
use crate::quiet::{HEAD, Quiet, get};
use crate::wire::{Wire, WireUpstream};

const QUIET: usize = 1000;
/// How often each quiet stream gets an event.
const ROUNDS: usize = 10;

const MIB: usize = 1024 * 1024;
/// What a hot stream may move, in and out, until each quiet one has been given an event that was sent,
const MOST: usize = 128 * MIB;
/// and beside that for each of its clients: a few turns.
const MOST_FOR_CLIENT: usize = 4 * MIB;

/// What the clients of a hot stream are, and its events.
struct Case {
    clients: usize,
    reading: Reading,
    event: usize,
}

/// Opens quiet streams and a hot one, and has the quiet ones get events while it goes on.
async fn quiet_ones_get_their_events_beside(case: Case, flags: &[&str]) {
    let upstream = WireUpstream::bind().await;
    let flags = [&["--threads", "1"], flags].concat();
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    let mut quiet = Quiet::open(QUIET, gateway.address, &upstream).await;
    let (first, mut server) = upstream.asked(gateway.address, &get("/hot")).await;
    server.send(HEAD).await;
    let mut clients = vec![first];
    while clients.len() < case.clients {
        let mut client = Wire::connect(gateway.address).await;
        client.send(get("/hot")).await;
        client.head().await;
        clients.push(client);
    }
    let hot = Hot::start(server, clients, case.reading, case.event);
    let mut most = 0;
    for _ in 0..ROUNDS {
        hot.goes_on().await;
        quiet.send().await;
        let before = hot.moved();
        quiet.receive().await;
        most = most.max(hot.moved() - before);
    }
    hot.goes_on().await;
    let allowed = MOST + case.clients * MOST_FOR_CLIENT;
    println!(
        "{} B each: at most {} MiB moved meanwhile",
        case.event,
        most / MIB
    );
    assert!(most <= allowed, "{most} bytes moved meanwhile");
}

#[tokio::test]
async fn quiet_streams_beside_a_hot_one_get_their_events() {
    let _turn = one_at_a_time().await;
    for event in [100, 1024, 16 * 1024, MIB] {
        let case = Case {
            clients: 1,
            reading: Reading::All,
            event,
        };
        quiet_ones_get_their_events_beside(case, &[]).await;
    }
}

#[tokio::test]
async fn quiet_streams_beside_a_crowd_on_a_hot_one_get_their_events() {
    let _turn = one_at_a_time().await;
    for event in [1024, 64 * 1024] {
        let case = Case {
            clients: 200,
            reading: Reading::All,
            event,
        };
        let flags = ["--share", "on", "--slow-client", "skip"];
        quiet_ones_get_their_events_beside(case, &flags).await;
    }
}

#[tokio::test]
async fn quiet_streams_beside_a_slow_client_of_a_hot_one_get_their_events() {
    let _turn = one_at_a_time().await;
    let case = Case {
        clients: 1,
        reading: Reading::Slowly,
        event: 1024,
    };
    let flags = ["--share", "on", "--slow-client", "skip"];
    quiet_ones_get_their_events_beside(case, &flags).await;
}
