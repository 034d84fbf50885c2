//! What is stored, sealed: nobody reads it in the server, and who seals shares nothing with who does not.

use tower_sse::store::RedisStore;

use crate::client::Client;
use crate::node::{Node, SECRET};
use crate::server::Server;
use crate::upstream::Upstream;
use crate::{assert_one_upstream, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_streams_are_shared_and_the_server_has_no_word_of_them() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let sealed = RedisStore::options().with_seal(true);
    let start = || Node::start_as(&server, &upstream, &SECRET, sealed.clone());
    let mut nodes = vec![start(), start()];
    let mut clients: Vec<_> = (0..4).map(Client::new).collect();
    for round in 0..4 {
        for (index, client) in clients.iter_mut().enumerate() {
            client.read(nodes[(index + round) % 2].address(), 20).await;
        }
    }
    assert_one_upstream(&upstream, &nodes);
    assert!(!server.has(b"data:").await);

    let owner = nodes.iter().position(Node::is_owner).unwrap();
    nodes.remove(owner).kill();
    for client in &mut clients {
        client.read(nodes[0].address(), 20).await;
        assert_eq!(client.gaps, 0, "client {}: {:?}", client.number, client.log);
    }
    assert_eq!(nodes[0].stats().left_alone, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_seals_and_who_does_not_leave_each_others_streams_alone() {
    for is_sealed in [true, false] {
        let server = Server::start();
        let upstream = Upstream::begin();
        let [first, second] = [is_sealed, !is_sealed].map(|is_sealed| {
            let options = RedisStore::options().with_seal(is_sealed);
            Node::start_as(&server, &upstream, &SECRET, options)
        });
        let mut clients: Vec<_> = (0..2).map(Client::new).collect();
        clients[0].read(first.address(), 20).await;
        clients[1].read(second.address(), 20).await;
        until(|| second.stats().left_alone == 1).await;
        clients[0].read(first.address(), 20).await;
        assert_eq!(first.stats().left_alone, 0);
        assert!(server.has(b"data:").await != is_sealed);
    }
}
