//! A primary that is replaced by its replica, as sentinels say.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::FromRedisValue;
use tokio::time::{sleep, timeout};
use tower_sse::store::RedisStore;

use crate::PATIENCE;
use crate::client::Client;
use crate::node::{Node, SECRET};
use crate::server::Server;
use crate::upstream::Upstream;

/// Of sentinels among each other.
const PASSWORD: &str = "sentinels";
/// Who may ask them for the primary.
const WATCHER: &str = "?sentinel_user=watcher&sentinel_pass=watching";

/// A primary, its replica, and three sentinels.
pub(crate) struct Fleet {
    pub(crate) servers: [(Server, u16); 2],
    sentinels: Vec<Sentinel>,
    /// More lines for the sentinels, where all of them speak TLS.
    guard: Option<String>,
}

struct Sentinel {
    process: Child,
    /// For who looks after it.
    port: u16,
    /// For the others.
    used: u16,
}

impl Fleet {
    async fn start() -> Self {
        Self::start_as(|server| (server.listen("port"), None)).await
    }

    /// With servers that begin to listen like this, and lines for the sentinels, where they speak TLS.
    pub(crate) async fn start_as(listen: impl Fn(&mut Server) -> (u16, Option<String>)) -> Self {
        let start = || {
            let mut server = Server::start();
            let (port, guard) = listen(&mut server);
            ((server, port), guard)
        };
        let ((first, guard), (second, _)) = (start(), start());
        let servers = [first, second];
        let mut replica = servers[1].0.admin().await;
        let mut cmd = redis::cmd("REPLICAOF");
        let cmd = cmd.arg("127.0.0.1").arg(servers[0].1);
        let () = cmd.query_async(&mut replica).await.unwrap();
        let mut fleet = Fleet {
            servers,
            sentinels: Vec::new(),
            guard,
        };
        fleet.wait_for(1, "master_link_status:up").await;
        while fleet.sentinels.len() < 3 {
            fleet.add_sentinel().await;
        }
        for Sentinel { port, .. } in &fleet.sentinels {
            until(async || {
                let ready: Option<String> = sentinel(*port, &["CKQUORUM", "main"]).await;
                let known: Option<Vec<redis::Value>> = sentinel(*port, &["REPLICAS", "main"]).await;
                let others = sentinel(*port, &["SENTINELS", "main"]).await;
                let others: Vec<redis::Value> = others.unwrap_or_default();
                ready.is_some() && others.len() == 2 && known.is_some_and(|all| all.len() == 1)
            })
            .await;
        }
        fleet
    }

    async fn add_sentinel(&mut self) {
        // Another process may have taken the port that was free.
        for _ in 0..10 {
            let free = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
            let [port, tls] = free.map(|free| free.local_addr().unwrap().port());
            let mut text = format!(
                "bind 127.0.0.1\nport {port}\nsentinel monitor main 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n\
                 requirepass {PASSWORD}\nsentinel sentinel-pass {PASSWORD}\n\
                 user watcher on >watching +sentinel|get-master-addr-by-name\n",
                self.servers[0].1
            );
            if let Some(guard) = &self.guard {
                text += &format!("tls-port {tls}\n{guard}");
            }
            let file = self.servers[0].0.file(&format!("sentinel-{port}.conf"));
            std::fs::write(&file, text).unwrap();
            let mut process = Command::new("redis-server")
                .arg(&file)
                .arg("--sentinel")
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server, which tests/setup installs");
            while process.try_wait().unwrap().is_none() {
                let answer: Option<Vec<String>> =
                    sentinel(port, &["GET-MASTER-ADDR-BY-NAME", "main"]).await;
                if answer.is_some() {
                    let used = self.guard.as_ref().map_or(port, |_| tls);
                    let sentinel = Sentinel {
                        process,
                        port,
                        used,
                    };
                    self.sentinels.push(sentinel);
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        }
        panic!("no sentinel");
    }

    /// Waits until a server says so of its replication.
    async fn wait_for(&self, server: usize, text: &str) {
        until(async || {
            let mut admin = self.servers[server].0.admin().await;
            let mut cmd = redis::cmd("INFO");
            let info = cmd.arg("replication").query_async(&mut admin).await;
            info.is_ok_and(|info: String| info.contains(text))
        })
        .await;
    }

    pub(crate) fn url(&self) -> String {
        let sentinels = self.sentinels.iter();
        let hosts: Vec<_> = sentinels
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.used))
            .collect();
        let scheme = self.guard.as_ref().map_or("redis", |_| "rediss");
        let hosts = hosts.join(",");
        format!("{scheme}+sentinel://gateway:password@{hosts}/main{WATCHER}")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for Sentinel { process, .. } in &mut self.sentinels {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

async fn sentinel<T: FromRedisValue>(port: u16, words: &[&str]) -> Option<T> {
    let client = redis::Client::open(format!("redis://:{PASSWORD}@127.0.0.1:{port}")).ok()?;
    let mut link = client.get_multiplexed_async_connection().await.ok()?;
    let mut cmd = redis::cmd("SENTINEL");
    cmd.arg(words).query_async(&mut link).await.ok()?
}

async fn until(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it holds in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_is_killed_is_replaced_as_sentinels_say_and_nothing_is_lost() {
    let mut fleet = Fleet::start().await;
    let upstream = Upstream::begin();
    let nodes =
        [(); 2].map(|()| Node::start_at(fleet.url(), RedisStore::options(), &upstream, &SECRET));
    let mut clients: Vec<_> = (0..4).map(Client::new).collect();
    for round in 0..2 {
        for (index, client) in clients.iter_mut().enumerate() {
            client.read(nodes[(index + round) % 2].address(), 20).await;
        }
    }
    // A sentinel is gone too: two of three are enough.
    fleet.sentinels[0].process.kill().unwrap();
    fleet.servers[0].0.kill();
    for round in 0..2 {
        for (index, client) in clients.iter_mut().enumerate() {
            client.read(nodes[(index + round) % 2].address(), 200).await;
        }
    }
    fleet.wait_for(1, "role:master").await;
    fleet.servers[0].0.start_again();
    // It takes itself for the primary until sentinels tell it, which is long after nodes have found the other.
    fleet.wait_for(0, "role:master").await;
    let [one, other] = nodes;
    let third = Node::start_at(fleet.url(), RedisStore::options(), &upstream, &SECRET);
    let nodes = [one, other, third];
    for client in &mut clients {
        for node in &nodes {
            client.read(node.address(), 20).await;
        }
        assert_eq!(
            client.gaps, 0,
            "client {}: {:#?}",
            client.number, client.log
        );
    }
    crate::assert_one_upstream(&upstream, &nodes);
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_an_error_and_no_sentinel_at_all_is_one_that_may_pass() {
    let fleet = Fleet::start().await;
    let url = fleet.url().replace("/main", "/other");
    let unknown = RedisStore::connect(&url, SECRET)
        .await
        .map(drop)
        .unwrap_err();
    assert!(unknown.to_string().contains("other"), "{unknown}");
    assert!(!unknown.is_away());
    for wrong in ["", "?sentinel_pass=wrong"] {
        let url = fleet.url().replace(WATCHER, wrong);
        let refused = RedisStore::connect(&url, SECRET).await.map(drop);
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("sentinel_user"), "{refused}");
        assert!(!refused.is_away());
    }
    let url = fleet.url();
    drop(fleet);
    let away = RedisStore::connect(&url, SECRET)
        .await
        .map(drop)
        .unwrap_err();
    assert!(away.is_away(), "{away}");
}
