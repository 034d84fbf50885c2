//! What the user of a store may do, and what is said where it may not.

use std::error::Error as _;

use redis::aio::MultiplexedConnection;
use tower_sse::store::{RedisStore, StoreError};

use crate::client::Client;
use crate::node::{Node, SECRET};
use crate::rights::rights;
use crate::server::Server;
use crate::upstream::Upstream;

fn told(error: &StoreError) -> String {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}").to_lowercase()
}

/// Without it all works, and a node that has died is noticed later.
const WISHED: &str = "pubsub|shardnumsub";

/// Changes the user.
async fn set(admin: &mut MultiplexedConnection, rule: &str) {
    let mut cmd = redis::cmd("ACL");
    cmd.arg("SETUSER").arg("gateway").arg(rule);
    let () = cmd.query_async(admin).await.unwrap();
}

#[tokio::test]
async fn each_documented_right_is_needed_and_named_where_it_is_missing() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let connect = async || {
        let connected = RedisStore::connect(&server.url(), SECRET).await;
        connected.map(drop)
    };
    assert!(connect().await.is_ok());
    let rights = rights().into_iter();
    let rights = rights.filter_map(|rule| rule.strip_prefix('+'));
    for right in rights.filter(|right| *right != WISHED) {
        set(&mut admin, &format!("-{right}")).await;
        let Err(error) = connect().await else {
            panic!("{right} is not needed");
        };
        assert!(!error.is_away(), "{right}: {error}");
        let told = told(&error);
        assert!(told.contains("may not"), "{right}: {told}");
        assert!(told.contains(right), "{right}: {told}");
        set(&mut admin, &format!("+{right}")).await;
    }
    for (rule, all, missing) in [
        ("resetkeys", "~sse:*", "keys ~sse:*"),
        ("resetchannels", "&sse:*", "channels &sse:*"),
    ] {
        set(&mut admin, rule).await;
        let told = told(&connect().await.unwrap_err());
        assert!(told.contains(missing), "{rule}: {told}");
        set(&mut admin, all).await;
    }
    assert!(connect().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_taken_away_meanwhile_is_waited_for() {
    let server = Server::start();
    let upstream = Upstream::begin();
    let node = Node::start(&server, &upstream);
    let mut client = Client::new(0);
    client.read(node.address(), 20).await;
    let mut admin = server.admin().await;
    for right in ["xadd", "evalsha", "spublish", "set"] {
        set(&mut admin, &format!("-{right}")).await;
        crate::until(|| !node.stats().is_up).await;
        set(&mut admin, &format!("+{right}")).await;
        client.read(node.address(), 200).await;
    }
    assert_eq!((client.gaps, node.stats().left_alone), (0, 0));
}

/// A session that does not end shows by what a dead owner is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_has_died_is_replaced_before_its_session_ends_or_then() {
    for is_asked in [true, false] {
        let server = Server::start();
        let mut admin = server.admin().await;
        if !is_asked {
            set(&mut admin, &format!("-{WISHED}")).await;
        }
        let upstream = Upstream::begin();
        let mut nodes = vec![
            Node::start(&server, &upstream),
            Node::start(&server, &upstream),
        ];
        for (number, node) in nodes.iter().enumerate() {
            let (mut client, address) = (Client::new(number), node.address());
            client.read(address, 5).await;
            // It stays, and ends with the test.
            tokio::spawn(async move { client.read(address, usize::MAX).await });
        }
        let sessions: Vec<String> = ask(&mut admin, "KEYS", "sse:*:i:*").await;
        for session in &sessions {
            heartbeat(&mut admin, session).await;
        }
        crate::until(|| nodes.iter().any(Node::is_owner)).await;
        let owner = nodes.iter().position(Node::is_owner).unwrap();
        nodes.remove(owner).kill();
        for session in sessions.iter().filter(|_| is_asked) {
            // The one that lives says again how long its own lives.
            let _: bool = ask(&mut admin, "PERSIST", session).await;
        }
        crate::until(|| nodes[0].is_owner()).await;
    }
}

/// Waits until the instance of this session has sent one, by how long its session lives.
async fn heartbeat(admin: &mut MultiplexedConnection, session: &str) {
    let renewed = async {
        let mut before = i64::MAX;
        loop {
            let left: i64 = ask(admin, "PTTL", session).await;
            if left > before {
                return;
            }
            before = left;
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let renewed = tokio::time::timeout(crate::PATIENCE, renewed).await;
    renewed.expect("a heartbeat comes");
}

async fn ask<T: redis::FromRedisValue>(
    admin: &mut MultiplexedConnection,
    command: &str,
    argument: &str,
) -> T {
    let cmd = redis::cmd(command).arg(argument).take();
    cmd.query_async(admin).await.unwrap()
}
