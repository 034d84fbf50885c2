//! What happens to a server under load: clients that hop between two nodes lose nothing by it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::node::Node;
use crate::own::{Asker, Given};
use crate::server::Server;
use crate::upstream::{Kind, Upstream};
use crate::{PATIENCE, assert_one_upstream, until};

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
        sleep(Duration::from_millis(100)).await;
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

/// It is away at the moment at which the streams are as old as it is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_waited_for_from_when_it_has_gone() {
    let mut server = Server::start();
    let upstream = Upstream::begin();
    let nodes = [(); 2].map(|()| Node::start_patient(&server, &upstream, Duration::from_secs(6)));
    upstream.answers.have(10_000);
    let mut clients = [Client::new(0), Client::new(1)];
    let mut asker = Asker::get();
    clients[0].read(nodes[0].address(), 1).await;
    asker.read(&nodes[0], 1).await;
    let mut askers = [asker.clone(), asker];
    let ([one, other], [mine, again]) = (&mut clients, &mut askers);
    tokio::join!(
        one.read(nodes[0].address(), 1000),
        other.read(nodes[1].address(), 1000),
        mine.read(&nodes[0], 1000),
        again.read(&nodes[1], 1000),
        async {
            sleep(Duration::from_secs(4)).await;
            server.kill();
            sleep(Duration::from_secs(4)).await;
            server.start_again();
        },
    );
    assert_eq!((upstream.asked(), upstream.answers.gets()), (1, 1));
    for asker in &askers {
        let last = asker.last();
        let all: Vec<_> = (1..=last).map(Given::Number).collect();
        assert_eq!(asker.given, all);
    }
}

/// Nothing is written, so the owner does not notice; and its heartbeats go on when its last client has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_a_silent_stream_whose_log_was_lost_goes_on_when_its_owner_has_left_it() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.sends(Kind::Silent(5));
    let nodes = [(); 2].map(|()| Node::start(&server, &upstream));
    let mut client = Client::new(0);
    client.read(nodes[0].address(), 5).await;
    let stay = |mut client: Client, node: &Node| {
        let address = node.address();
        tokio::spawn(async move { client.read(address, 1).await })
    };
    let leaves = stay(client, &nodes[0]);
    let stays = stay(Client::new(1), &nodes[1]);
    let mut admin = server.admin().await;
    let both_follow = async { while crowd(&mut admin).await < nodes.len() {} };
    timeout(PATIENCE, both_follow)
        .await
        .expect("both have clients");
    assert!(nodes[0].is_owner());
    for meta in keys(&mut admin, "sse:*:m").await {
        run(&mut admin, &["DEL", &meta]).await;
    }
    leaves.abort();
    until(|| nodes[1].is_owner()).await;
    stays.abort();
}

async fn keys(admin: &mut MultiplexedConnection, pattern: &str) -> Vec<String> {
    let keys = redis::cmd("KEYS").arg(pattern).take();
    keys.query_async(admin).await.unwrap()
}

/// How many nodes have clients of the one stream.
async fn crowd(admin: &mut MultiplexedConnection) -> usize {
    let Some(set) = keys(admin, "sse:*:w").await.pop() else {
        return 0;
    };
    let count = redis::cmd("SCARD").arg(set).take();
    count.query_async(admin).await.unwrap()
}
