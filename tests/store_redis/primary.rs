//! Which primary a connection leads to.

use tower_sse::store::InstanceId;
use tower_sse::store::redis::{Connection, Lifetimes, Tail};

use crate::server::{HOUR, Server};

#[tokio::test]
async fn a_reign_ends_with_the_process() {
    let (first, second) = (Server::start(), Server::start());
    let reigns = [&first, &first, &second].map(async |server| server.connect(1).await.reign());
    let reigns = futures_util::future::join_all(reigns).await;
    assert_eq!(reigns[0], reigns[1]);
    assert_ne!(reigns[0], reigns[2]);
}

#[tokio::test]
async fn a_reign_ends_when_the_primary_becomes_a_replica_and_is_refused_as_such() {
    let server = Server::start();
    let before = server.connect(1).await.reign();
    let mut admin = server.admin().await;
    let () = admin.run("REPLICAOF 127.0.0.1 1").await;
    let lifetimes = Lifetimes {
        log: HOUR,
        ended: HOUR,
    };
    let (address, keys) = (server.place(), server.keys());
    let connection = Connection::open(&address, InstanceId(1), keys.clone(), lifetimes).await;
    let error = connection.unwrap_err().to_string();
    assert!(error.starts_with("the server is a replica"), "{error}");
    assert!(Tail::open(&address, keys.clone()).await.is_err());
    let () = admin.run("REPLICAOF NO ONE").await;
    assert_ne!(server.connect(1).await.reign(), before);
}

#[tokio::test]
async fn a_gateway_can_neither_list_keys_nor_touch_those_of_others() {
    let server = Server::start();
    let client = redis::Client::open(server.address()).unwrap();
    let mut link = client.get_multiplexed_async_connection().await.unwrap();
    let commands = [
        "KEYS *",
        "SCAN 0",
        "MONITOR",
        "GET sse:{0}:i:1",
        "SET other 1",
        "SPUBLISH other 1",
    ];
    for command in commands {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        cmd.arg(words.collect::<Vec<_>>());
        let refused: redis::RedisResult<redis::Value> = cmd.query_async(&mut link).await;
        assert_eq!(refused.unwrap_err().code(), Some("NOPERM"), "{command}");
    }
}
