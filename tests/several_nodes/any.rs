//! Clients that do not name event streams: they wait for nobody, and share all the same.

use crate::client::Client;
use crate::node::Node;
use crate::server::Server;
use crate::upstream::{Kind, Upstream};
use crate::{assert_one_upstream, until};

/// A client that says this of what it takes.
fn takes(accept: &'static str) -> Client {
    let mut client = Client::new(0);
    client.accept = accept;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_anything_joins_what_is_open_at_another_node() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let nodes = [0, 1].map(|_| Node::start(&server, &upstream));
    let mut first = Client::new(0);
    let mut others = ["*/*", "", "text/*"].map(takes);
    first.read(nodes[0].address(), 5).await;
    for hop in 0..4 {
        for (index, client) in others.iter_mut().enumerate() {
            client.read(nodes[(hop + index) % 2].address(), 10).await;
        }
        first.read(nodes[hop % 2].address(), 10).await;
    }
    assert!(others.iter().chain([&first]).all(|client| client.gaps == 0));
    assert_eq!(upstream.asked(), 1);
    assert_one_upstream(&upstream, &nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_of_a_request_for_anything_is_the_stream_of_all_nodes() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let nodes = [0, 1].map(|_| Node::start(&server, &upstream));
    let mut first = takes("*/*");
    first.read(nodes[0].address(), 20).await;
    until(|| nodes[0].is_owner()).await;
    let mut others = ["text/event-stream", "*/*"].map(takes);
    for hop in 0..4 {
        for (index, client) in others.iter_mut().enumerate() {
            let node = nodes[(hop + index + 1) % 2].address();
            client.read(node, 10).await;
        }
        first.read(nodes[(hop + 1) % 2].address(), 10).await;
    }
    assert!(others.iter().chain([&first]).all(|client| client.gaps == 0));
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_anything_is_given_its_own_answer_where_that_is_no_stream() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.sends(Kind::NotFound);
    let nodes = [0, 1].map(|_| Node::start(&server, &upstream));
    for node in &nodes {
        let mut client = takes("*/*");
        client.read(node.address(), 1).await;
        assert!(client.head[0].contains("404"), "{:?}", client.head);
    }
    assert_eq!(upstream.asked(), 2);
    // One that has ended is none to join.
    upstream.sends(Kind::Finite(20));
    let mut whole = Client::new(1);
    whole.read(nodes[0].address(), 20).await;
    whole.read(nodes[0].address(), 1).await;
    let mut client = takes("*/*");
    client.read(nodes[1].address(), 20).await;
    assert_eq!((client.last(), client.gaps), (20, 0), "{:?}", client.log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_take_anything_at_two_nodes_at_once_are_given_a_stream_each_or_one() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let nodes = [0, 1].map(|_| Node::start(&server, &upstream));
    for _ in 0..5 {
        let mut clients = ["*/*", "*/*", "text/event-stream"].map(takes);
        let [one, other, named] = &mut clients;
        tokio::join!(
            one.read(nodes[0].address(), 30),
            other.read(nodes[1].address(), 30),
            named.read(nodes[1].address(), 30),
        );
        for (index, client) in clients.iter_mut().enumerate() {
            client.read(nodes[index % 2].address(), 10).await;
            assert!(client.gaps <= 1, "{:?}", client.log);
        }
        until(|| nodes.iter().all(|node| node.stats().streams == 0)).await;
    }
}
