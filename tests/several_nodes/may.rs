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
    for right in rights.filter_map(|rule| rule.strip_prefix('+')) {
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
        ("resetkeys", "~sse:*", "access one of the keys"),
        ("resetchannels", "&sse:*", "spublish"),
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
