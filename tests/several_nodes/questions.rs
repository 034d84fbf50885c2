//! Answers to a POST that are shared by all who ask the same.

use crate::own::{Asker, broken_behind, nodes, numbers, owner};
use crate::server::Server;
use crate::upstream::Upstream;

/// How many events there are before a client hops.
const HOP: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_the_same_by_post_shares_one_answer_from_its_beginning_at_any_node() {
    const EVENTS: u64 = 300;
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let nodes = nodes(2, &server, &upstream);
    let mut clients = [Asker::shared(), Asker::shared(), Asker::shared()];
    let [first, second, third] = &mut clients;
    first.read(&nodes[0], HOP).await;
    tokio::join!(second.read(&nodes[1], HOP), third.read(&nodes[0], HOP));
    // They change places, and their first node has no client for longer than it keeps what nobody reads.
    tokio::join!(
        first.read_all(&nodes[1]),
        second.read_all(&nodes[1]),
        third.read_all(&nodes[1]),
    );
    for client in &clients {
        assert_eq!(client.given, numbers(EVENTS));
    }
    assert_eq!(upstream.answers.posts(), 1);
    // What has ended is asked for anew.
    let mut next = Asker::shared();
    next.read_all(&nodes[0]).await;
    assert_eq!(next.given, numbers(EVENTS));
    assert_eq!(upstream.answers.posts(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_shared_ends_behind_a_gap_where_its_node_dies() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(100_000);
    let mut nodes = nodes(3, &server, &upstream);
    let mut clients = [Asker::shared(), Asker::shared(), Asker::shared()];
    for (client, node) in clients.iter_mut().zip(&nodes) {
        client.read(node, HOP).await;
    }
    assert_eq!(owner(&nodes).await, 0);
    nodes.remove(0).kill();
    let [first, second, third] = &mut clients;
    tokio::join!(
        first.read_all(&nodes[0]),
        second.read_all(&nodes[0]),
        third.read_all(&nodes[1]),
    );
    for client in &clients {
        assert_eq!(client.given, broken_behind(client.last()));
    }
    assert_eq!(upstream.answers.posts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_given_to_who_asked_and_each_post_is_sent_once() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let nodes = nodes(2, &server, &upstream);
    for round in 1..=3 {
        let [mut first, mut second] = [Asker::shared(), Asker::shared()];
        tokio::join!(first.read_all(&nodes[0]), second.read_all(&nodes[1]));
        for client in [&first, &second] {
            assert!(client.status.contains("404"), "{}", client.status);
        }
        assert_eq!(upstream.answers.posts(), 2 * round);
    }
}
