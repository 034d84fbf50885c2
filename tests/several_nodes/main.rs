//! Several nodes, each a process of its own as far as it knows, that share streams by a real Redis server.
//!
//! Clients hop from node to node. What they are given has numbers, so that nothing can be lost or given twice without being seen.

mod acknowledged;
mod answers;
mod any;
mod begin;
mod client;
mod cluster;
mod cluster_answers;
mod faults;
mod may;
mod node;
mod own;
mod questions;
#[path = "../support/rights.rs"]
mod rights;
mod says;
mod sealed;
mod sentinel;
mod server;
#[cfg(feature = "redis-tls")]
mod tls;
mod upstream;

use std::time::Duration;

use client::Client;
use node::Node;
use server::Server;
use upstream::{Kind, Upstream};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_ask_the_upstream_once_and_clients_hop_between_them() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let nodes = [
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
    ];
    let mut clients: Vec<_> = (0..4).map(Client::new).collect();
    for hop in 0..5 {
        for (index, client) in clients.iter_mut().enumerate() {
            client.read(nodes[(index + hop) % 2].address(), 20).await;
        }
    }
    for client in &clients {
        assert_eq!(client.gaps, 0, "client {}: {:?}", client.number, client.log);
    }
    assert_one_upstream(&upstream, &nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_is_replaced_and_nothing_is_lost() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let mut nodes = vec![
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
    ];
    let mut clients: Vec<_> = (0..6).map(Client::new).collect();
    for _ in 0..4 {
        for client in &mut clients {
            client.read(nodes[0].address(), 5).await;
            client.read(nodes[1].address(), 5).await;
        }
        let owner = owner(&nodes, &mut clients).await;
        nodes.remove(owner).kill();
        // What the upstream has sent meanwhile is read on.
        while !nodes[0].is_owner() {
            for client in &mut clients {
                client.read(nodes[0].address(), 10).await;
            }
        }
        nodes.push(Node::start(&server, &upstream));
    }
    for client in &clients {
        assert_eq!(client.gaps, 0, "client {}: {:?}", client.number, client.log);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_is_filled_again_by_who_has_the_history() {
    let mut server = Server::start();
    hop_while(&mut server, async |server| {
        server.kill();
        server.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_what_it_had_goes_on() {
    let mut server = Server::start_with(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    hop_while(&mut server, async |server| {
        server.kill();
        server.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_that_are_cut_are_made_again() {
    let mut server = Server::start();
    hop_while(&mut server, async |server| {
        let mut admin = server.admin().await;
        for kind in ["pubsub", "normal"] {
            let _: usize = redis::cmd("CLIENT")
                .arg("KILL")
                .arg("TYPE")
                .arg(kind)
                .arg("SKIPME")
                .arg("yes")
                .query_async(&mut admin)
                .await
                .unwrap();
        }
    })
    .await;
}

/// Clients hop between two nodes before, behind and while something is done to the server, and lose nothing.
async fn hop_while(server: &mut Server, harm: impl AsyncFn(&mut Server)) {
    let upstream = Upstream::begin();
    let nodes = [
        Node::start(server, &upstream),
        Node::start(server, &upstream),
    ];
    let mut clients: Vec<_> = (0..4).map(Client::new).collect();
    for round in 0..4 {
        for (index, client) in clients.iter_mut().enumerate() {
            client.read(nodes[(index + round) % 2].address(), 10).await;
        }
        harm(server).await;
        for (index, client) in clients.iter_mut().enumerate() {
            client.read(nodes[(index + round) % 2].address(), 10).await;
            client
                .read(nodes[(index + round + 1) % 2].address(), 200)
                .await;
        }
        let stats: Vec<_> = nodes.iter().map(Node::stats).collect();
        for client in &clients {
            assert_eq!(
                client.gaps, 0,
                "client {}: {stats:?} {:#?}",
                client.number, client.log
            );
        }
        assert_eq!(stats.iter().map(|stats| stats.left_alone).sum::<u64>(), 0);
    }
    assert!(nodes.iter().all(|node| node.stats().connections > 1));
    assert_one_upstream(&upstream, &nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_another_secret_share_nothing() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let nodes = [
        Node::start(&server, &upstream),
        Node::start_with(&server, &upstream, &[8; 32]),
    ];
    let mut clients = [Client::new(0), Client::new(1)];
    for (client, node) in clients.iter_mut().zip(&nodes) {
        client.read(node.address(), 20).await;
    }
    assert!(nodes.iter().all(|node| node.stats().terms > 0));
    assert_eq!(upstream.most_at_once(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_ids_of_the_upstream_a_takeover_is_told() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.sends(Kind::WithoutIds);
    let mut nodes = vec![
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
    ];
    let mut clients: Vec<_> = (0..4).map(Client::new).collect();
    for hop in 0..4 {
        for (index, client) in clients.iter_mut().enumerate() {
            client.read(nodes[(index + hop) % 2].address(), 20).await;
        }
    }
    let owner = owner(&nodes, &mut clients).await;
    // One that was too busy to be heard has been replaced before.
    let before = terms(&nodes);
    assert!(clients.iter().all(|client| client.gaps < before));
    nodes.remove(owner).kill();
    while !nodes[0].is_owner() {
        for client in &mut clients {
            client.read(nodes[0].address(), 10).await;
        }
    }
    for client in &mut clients {
        client.read(nodes[0].address(), 200).await;
        let takeovers = before + terms(&nodes) - 1;
        assert!(
            (1..=takeovers).contains(&client.gaps),
            "client {}: {:#?}",
            client.number,
            client.log
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_is_the_upstreams_at_each_node() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let nodes = [
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
    ];
    for node in &nodes {
        let mut client = Client::new(0);
        client.read(node.address(), 5).await;
        assert!(
            client.head.contains(&"x-upstream: 1".to_owned()),
            "{:?}",
            client.head
        );
    }
    assert_one_upstream(&upstream, &nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_stream_is_given_to_who_asked_at_each_node() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.sends(Kind::NotFound);
    let nodes = [
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
    ];
    for _ in 0..3 {
        for node in &nodes {
            let mut client = Client::new(0);
            client.read(node.address(), 5).await;
            assert!(client.head[0].contains("404"), "{:?}", client.head);
        }
    }
    // And then there is one.
    upstream.sends(Kind::Numbered);
    let mut client = Client::new(0);
    for node in nodes.iter().chain(&nodes) {
        client.read(node.address(), 20).await;
    }
    assert_eq!(client.gaps, 0, "{:#?}", client.log);
    assert_one_upstream(&upstream, &nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_private_is_not_shared_between_nodes() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.sends(Kind::Private);
    let nodes = [
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
    ];
    let mut clients = [Client::new(0), Client::new(1)];
    for (client, node) in clients.iter_mut().zip(&nodes) {
        client.read(node.address(), 20).await;
    }
    assert_eq!(upstream.asked(), 2);
    assert!(nodes.iter().all(|node| node.stats().streams == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_everybody_has_left_is_asked_for_once_by_who_comes_next() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let nodes = [
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
    ];
    for round in 0..3 {
        for node in &nodes {
            let mut client = Client::new(round);
            client.read(node.address(), 20).await;
            assert_eq!(client.gaps, 0, "{:#?}", client.log);
        }
        until(|| nodes.iter().all(|node| node.stats().streams == 0)).await;
    }
    assert_one_upstream(&upstream, &nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_has_finished_is_over_at_each_node() {
    const EVENTS: u64 = 200;
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.sends(Kind::Finite(EVENTS));
    let nodes = [
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
    ];
    let mut clients = [Client::new(0), Client::new(1)];
    for client in &mut clients {
        client.read(nodes[0].address(), 1).await;
    }
    // What is left is read at another, by its end.
    let [one, other] = &mut clients;
    let (left, rest) = (EVENTS - one.last(), EVENTS - other.last());
    tokio::join!(
        one.read(nodes[0].address(), left.try_into().unwrap()),
        other.read(nodes[1].address(), rest.try_into().unwrap()),
    );
    for node in &nodes {
        for client in &mut clients {
            client.read(node.address(), 1).await;
            assert!(client.head[0].contains("204"), "{:?}", client.head);
            assert_eq!((client.last(), client.gaps), (EVENTS, 0));
        }
    }
    assert_one_upstream(&upstream, &nodes);
}

/// The node that asks the upstream, once there is one.
async fn owner(nodes: &[Node], clients: &mut [Client]) -> usize {
    loop {
        if let Some(owner) = nodes.iter().position(Node::is_owner) {
            return owner;
        }
        for client in &mut *clients {
            client.read(nodes[0].address(), 1).await;
        }
    }
}

/// How often a node began to ask the upstream for all.
fn terms(nodes: &[Node]) -> usize {
    let terms: u64 = nodes.iter().map(|node| node.stats().terms).sum();
    terms.try_into().unwrap()
}

/// The upstream was asked by nobody but who was to ask for all.
#[track_caller]
fn assert_one_upstream(upstream: &Upstream, nodes: &[Node]) {
    let (asked, terms) = (upstream.asked(), terms(nodes));
    assert!(asked <= terms, "asked {asked} times in {terms} terms");
}

/// Waits until something holds.
async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, waiting).await;
    held.expect("it holds in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_version_or_a_stranger_has_written_leaves_one_stream_alone() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let first = Node::start(&server, &upstream);
    let mut client = Client::new(0);
    client.read(first.address(), 20).await;
    let mut admin = server.admin().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("sse:*:m")
        .query_async(&mut admin)
        .await
        .unwrap();
    let [meta] = &keys[..] else {
        panic!("{keys:?}");
    };
    let (log, channel) = (meta.replace(":m", ":l"), meta.replace(":m", ":c"));

    // Something is heard that is no frame. Who leads reads on for itself.
    let _: usize = redis::cmd("SPUBLISH")
        .arg(&channel)
        .arg(b"\x01no frame")
        .query_async(&mut admin)
        .await
        .unwrap();
    until(|| first.stats().left_alone == 1).await;
    client.read(first.address(), 50).await;
    // Another version keeps it.
    let set = |version: u8| {
        let mut cmd = redis::cmd("HSET");
        cmd.arg(meta).arg("v").arg(version);
        cmd
    };
    let _: usize = set(9).query_async(&mut admin).await.unwrap();
    let second = Node::start(&server, &upstream);
    client.read(second.address(), 100).await;
    assert_eq!(second.stats().left_alone, 1);
    assert_eq!(second.stats().streams, 0);
    let _: usize = set(1).query_async(&mut admin).await.unwrap();

    // The log has something in it that is no frame.
    let _: String = redis::cmd("XADD")
        .arg(&log)
        .arg("9999999999-0")
        .arg("e")
        .arg("no frame")
        .query_async(&mut admin)
        .await
        .unwrap();
    let third = Node::start(&server, &upstream);
    client.read(third.address(), 100).await;
    assert_eq!(third.stats().left_alone, 1);

    assert!(first.stats().is_up && second.stats().is_up && third.stats().is_up);
    assert_eq!(first.stats().connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_has_not_what_it_is_said_to_have_is_left_alone_and_read_once() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let node = Node::start(&server, &upstream);
    let mut client = Client::new(0);
    client.read(node.address(), 20).await;
    let mut admin = server.admin().await;
    let meta: Vec<String> = redis::cmd("KEYS")
        .arg("sse:*:m")
        .query_async(&mut admin)
        .await
        .unwrap();
    let _: usize = redis::cmd("HSET")
        .arg(&meta)
        .arg("p")
        .arg(1_u64 << 53)
        .query_async(&mut admin)
        .await
        .unwrap();
    until(|| node.stats().left_alone == 1).await;
    client.read(node.address(), 50).await;
    assert_eq!(client.gaps, 0, "{:#?}", client.log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_with_an_older_id_while_a_stream_is_left_is_given_what_it_missed() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let nodes = [
        Node::start(&server, &upstream),
        Node::start(&server, &upstream),
    ];
    let (mut one, mut other) = (Client::new(0), Client::new(1));
    for round in 0..12 {
        let (here, there) = (&nodes[round % 2], &nodes[1 - round % 2]);
        tokio::join!(
            one.read(here.address(), 20),
            other.read(there.address(), 22)
        );
        tokio::time::sleep(Duration::from_millis(500 + 10 * round as u64)).await;
    }
    assert_eq!((one.gaps, other.gaps), (0, 0));
}
