//! Events that a replica or a disk has before clients are given them.

use tower_sse::store::{Acknowledge, RedisStore};

use crate::client::Client;
use crate::node::{Node, SECRET};
use crate::server::Server;
use crate::upstream::Upstream;
use crate::{assert_one_upstream, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_has_events_first_and_one_that_hangs_is_counted_and_holds_nothing_up() {
    let (mut primary, mut replica) = (Server::start(), Server::start());
    let port = primary.listen("port");
    primary.may("wait");
    replica.add("replicaof", &format!("127.0.0.1 {port}"));
    replica.restart();
    primary.wait_for("state=online").await;
    let upstream = Upstream::begin();
    let nodes = [(); 2].map(|()| {
        let options = RedisStore::options().with_acknowledge(Acknowledge::Replica);
        Node::start_at(primary.url(), options, &upstream, &SECRET)
    });
    let mut client = Client::new(0);
    for node in nodes.iter().chain(&nodes) {
        client.read(node.address(), 50).await;
    }
    let unacknowledged = || {
        nodes
            .iter()
            .map(|node| node.stats().unacknowledged)
            .sum::<u64>()
    };
    let before = unacknowledged();

    replica.signal("STOP");
    for node in &nodes {
        client.read(node.address(), 50).await;
    }
    until(|| unacknowledged() > before).await;
    replica.signal("CONT");
    for node in &nodes {
        client.read(node.address(), 50).await;
    }
    assert_eq!(client.gaps, 0, "{:#?}", client.log);
    assert_one_upstream(&upstream, &nodes);
}

#[tokio::test]
async fn a_server_that_cannot_tell_of_its_disk_or_may_not_wait_is_refused() {
    let server = Server::start();
    let connect = async |by: Acknowledge| {
        let options = RedisStore::options().with_acknowledge(by);
        let connected = options.connect(&server.url(), SECRET).await;
        let error = connected.map(drop).unwrap_err();
        assert!(!error.is_away());
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", cause.unwrap_or_default())
    };
    let told = connect(Acknowledge::Replica).await;
    assert!(told.contains("may not") && told.contains("wait"), "{told}");
    // Redis 7.0 does not know it, and a later one is asked without the right.
    let told = connect(Acknowledge::Disk).await;
    assert!(told.contains("7.2") || told.contains("waitaof"), "{told}");
}
