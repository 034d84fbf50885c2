//! What happens to a server under load: clients that hop between two nodes lose nothing by it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use crate::client::Client;
use crate::node::Node;
use crate::server::Server;
use crate::upstream::Upstream;
use crate::{assert_one_upstream, until};

async fn run(admin: &mut MultiplexedConnection, words: &[&str]) {
    let mut cmd = redis::cmd(words[0]);
    let () = cmd.arg(&words[1..]).query_async(admin).await.unwrap();
}

/// Something is done to the server while two clients read, and then they go on at the other node. All is well at the end.
async fn endure(server: &mut Server, harm: impl AsyncFn(&mut Server, &[Node; 2])) {
    let upstream = Upstream::begin();
    let nodes = [(); 2].map(|()| Node::start(server, &upstream));
    let mut clients = [Client::new(0), Client::new(1)];
    for round in 0..2 {
        let [one, other] = &mut clients;
        let (here, there) = (nodes[round].address(), nodes[1 - round].address());
        one.read(here, 20).await;
        other.read(there, 20).await;
        tokio::join!(
            one.read(here, 200),
            other.read(there, 200),
            harm(server, &nodes)
        );
        one.read(there, 20).await;
        other.read(here, 20).await;
    }
    for client in &clients {
        assert_eq!(
            client.gaps, 0,
            "client {}: {:#?}",
            client.number, client.log
        );
    }
    assert!(nodes.iter().all(|node| node.stats().left_alone == 0));
    assert_one_upstream(&upstream, &nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_emptied_is_filled_again() {
    let mut server = Server::start();
    endure(&mut server, async |server, _| {
        run(&mut server.admin().await, &["FLUSHALL"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_with_an_older_dump_is_given_what_it_has_lost() {
    let mut server = Server::start();
    endure(&mut server, async |server, _| {
        run(&mut server.admin().await, &["SAVE"]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.kill();
        server.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_waited_for() {
    let mut server = Server::start_with(&["--save", "", "--enable-debug-command", "local"]);
    endure(&mut server, async |server, nodes| {
        let mut admin = server.admin().await;
        let mut cmd = redis::cmd("DEBUG");
        // The answer is later than it is waited for.
        let slept = cmd.arg("SLEEP").arg("2.5").query_async(&mut admin);
        let _: redis::RedisResult<()> = slept.await;
        until(|| nodes.iter().all(|node| node.stats().is_up)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_is_waited_for() {
    let mut server = Server::start();
    endure(&mut server, async |server, nodes| {
        let mut admin = server.admin().await;
        run(&mut admin, &["CONFIG", "SET", "maxmemory", "1"]).await;
        until(|| nodes.iter().any(|node| !node.stats().is_up)).await;
        run(&mut admin, &["CONFIG", "SET", "maxmemory", "0"]).await;
    })
    .await;
}
