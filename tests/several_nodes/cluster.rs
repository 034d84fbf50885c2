//! A cluster of three primaries, each with a replica: one that is killed, and slots that move under load.

use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult};
use tokio::time::{sleep, timeout};
use tower_sse::store::RedisStore;
use tower_sse::store::redis::{Partitions, slot};

use crate::PATIENCE;
use crate::client::Client;
use crate::node::{Node, SECRET};
use crate::server::Server;
use crate::upstream::Upstream;

const PRIMARIES: usize = 3;
const STREAMS: usize = 16;
/// The first slot of each primary, and the last of all.
const SLOTS: [u16; PRIMARIES + 1] = [0, 5_461, 10_923, 16_384];

pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    ports: Vec<u16>,
    admins: Vec<MultiplexedConnection>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_as(|server| server.listen("port")).await
    }

    /// With servers that begin to listen like this.
    pub(crate) async fn start_as(listen: impl Fn(&mut Server) -> u16) -> Self {
        let mut cluster = Cluster {
            servers: Vec::new(),
            ports: Vec::new(),
            admins: Vec::new(),
        };
        let mut buses = Vec::new();
        for _ in 0..2 * PRIMARIES {
            let mut server = Server::start();
            server.add("cluster-enabled", "yes");
            server.add("cluster-node-timeout", "1500");
            server.add("cluster-replica-validity-factor", "0");
            buses.push(server.listen("cluster-port"));
            cluster.ports.push(listen(&mut server));
            cluster.admins.push(server.admin().await);
            cluster.servers.push(server);
        }
        for primary in 0..PRIMARIES {
            let (first, last) = (SLOTS[primary], SLOTS[primary + 1] - 1);
            cluster
                .run::<()>(primary, &format!("SET-CONFIG-EPOCH {}", primary + 1))
                .await
                .unwrap();
            cluster
                .run::<()>(primary, &format!("ADDSLOTSRANGE {first} {last}"))
                .await
                .unwrap();
        }
        for (other, bus) in buses.iter().enumerate().skip(1) {
            let meet = format!("MEET 127.0.0.1 {} {bus}", cluster.ports[other]);
            cluster.run::<()>(0, &meet).await.unwrap();
        }
        for replica in PRIMARIES..2 * PRIMARIES {
            let primary = cluster.id(replica - PRIMARIES).await;
            until(async || {
                let replicate = format!("REPLICATE {primary}");
                cluster.run::<()>(replica, &replicate).await.is_ok()
            })
            .await;
        }
        cluster.settled().await;
        cluster
    }

    async fn run<T: FromRedisValue>(&self, node: usize, command: &str) -> RedisResult<T> {
        let mut cmd = redis::cmd("CLUSTER");
        cmd.arg(command.split(' ').collect::<Vec<_>>());
        cmd.query_async(&mut self.admins[node].clone()).await
    }

    async fn id(&self, node: usize) -> String {
        self.run(node, "MYID").await.unwrap()
    }

    /// Waits until all that live know all slots, and each primary has a replica that is in step with it.
    async fn settled(&self) {
        for node in 0..self.servers.len() {
            until(async || {
                let info: String = self.run(node, "INFO").await.unwrap_or_default();
                let nodes: String = self.run(node, "NODES").await.unwrap_or_default();
                let replicas = nodes.lines().filter(|line| line.contains("slave"));
                info.contains("cluster_state:ok") && replicas.count() == PRIMARIES
            })
            .await;
        }
        for replica in PRIMARIES..2 * PRIMARIES {
            until(async || {
                let mut cmd = redis::cmd("INFO");
                let cmd = cmd.arg("replication");
                let info = cmd.query_async(&mut self.admins[replica].clone()).await;
                info.is_ok_and(|info: String| info.contains("master_link_status:up"))
            })
            .await;
        }
    }

    /// Has a slot with all of its keys move, as `redis-cli --cluster reshard` does.
    pub(crate) async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let (from_id, to_id) = (self.id(from).await, self.id(to).await);
        let importing = format!("SETSLOT {slot} IMPORTING {from_id}");
        self.run::<()>(to, &importing).await.unwrap();
        let migrating = format!("SETSLOT {slot} MIGRATING {to_id}");
        self.run::<()>(from, &migrating).await.unwrap();
        loop {
            let get = format!("GETKEYSINSLOT {slot} 10");
            let keys: Vec<String> = self.run(from, &get).await.unwrap();
            if keys.is_empty() {
                break;
            }
            let mut cmd = redis::cmd("MIGRATE");
            cmd.arg("127.0.0.1")
                .arg(self.ports[to])
                .arg("")
                .arg(0)
                .arg(5_000);
            cmd.arg("KEYS").arg(keys);
            let () = cmd
                .query_async(&mut self.admins[from].clone())
                .await
                .unwrap();
        }
        for node in [to, from, 3 - to - from] {
            let owned = format!("SETSLOT {slot} NODE {to_id}");
            self.run::<()>(node, &owned).await.unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.ports[1..3]
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        format!("redis+cluster://gateway:password@{}", hosts.join(","))
    }
}

async fn until(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it holds in time");
}

pub(crate) fn nodes(cluster: &Cluster, upstream: &Upstream) -> [Node; 2] {
    let start = |()| Node::start_at(cluster.url(), RedisStore::options(), upstream, &SECRET);
    [(); 2].map(start)
}

pub(crate) fn clients() -> Vec<Client> {
    let client = |number: usize| {
        let mut client = Client::new(number);
        client.path = format!("/events?{}", number % STREAMS);
        client
    };
    (0..2 * STREAMS).map(client).collect()
}

/// Those that the first primary has of the slots that are used.
pub(crate) fn slots_of_first() -> Vec<u16> {
    let partitions = Partitions::of_cluster();
    let slots = partitions.tags().map(|tag| slot(tag.as_bytes()));
    slots.filter(|slot| *slot < SLOTS[1]).collect()
}

/// Each reads so many events, and then as many at the other node.
pub(crate) async fn hop(clients: &mut [Client], nodes: &[Node; 2], events: usize) {
    for round in 0..2 {
        let reading = clients.iter_mut().enumerate().map(|(index, client)| {
            let node = &nodes[(index / STREAMS + index + round) % 2];
            client.read(node.address(), events)
        });
        join_all(reading).await;
    }
}

pub(crate) fn assert_nothing_is_missing(clients: &[Client], nodes: &[Node; 2]) {
    for client in clients {
        assert_eq!(
            client.gaps, 0,
            "client {}: {:#?}",
            client.number, client.log
        );
    }
    assert_eq!(
        nodes
            .iter()
            .map(|node| node.stats().left_alone)
            .sum::<u64>(),
        0
    );
}

/// A client whose id the store cannot be asked about just then is caught up by a request of its own, which ends.
async fn until_one_upstream_each(upstream: &Upstream) {
    crate::until(|| upstream.open() <= STREAMS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_of_a_cluster_is_killed_and_nothing_is_lost() {
    let mut cluster = Cluster::start().await;
    let upstream = Upstream::begin();
    let nodes = nodes(&cluster, &upstream);
    let mut clients = clients();
    hop(&mut clients, &nodes, 20).await;
    assert!(nodes.iter().all(|node| node.stats().is_up));
    cluster.servers[0].kill();
    hop(&mut clients, &nodes, 100).await;
    // It comes back as a replica of the one that has its place.
    cluster.servers[0].start_again();
    cluster.admins[0] = cluster.servers[0].admin().await;
    until(async || {
        let nodes: String = cluster.run(0, "NODES").await.unwrap_or_default();
        nodes.contains("myself,slave")
    })
    .await;
    hop(&mut clients, &nodes, 20).await;
    assert_nothing_is_missing(&clients, &nodes);
    assert!(nodes.iter().all(|node| node.stats().is_up));
    until_one_upstream_each(&upstream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_to_another_node_and_back_under_load_and_nothing_is_lost() {
    let cluster = Cluster::start().await;
    let upstream = Upstream::begin();
    let nodes = nodes(&cluster, &upstream);
    let mut clients = clients();
    hop(&mut clients, &nodes, 20).await;
    let slots = slots_of_first();
    for (from, to) in [(0, 1), (1, 0)] {
        let moving = async {
            for slot in &slots {
                cluster.move_slot(*slot, from, to).await;
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::join!(moving, hop(&mut clients, &nodes, 100));
        assert_nothing_is_missing(&clients, &nodes);
    }
    hop(&mut clients, &nodes, 20).await;
    assert_nothing_is_missing(&clients, &nodes);
    crate::until(|| nodes.iter().all(|node| node.stats().is_up)).await;
    until_one_upstream_each(&upstream).await;
}

#[tokio::test]
async fn a_node_of_a_cluster_and_a_server_that_is_none_are_told_apart() {
    let cluster = Cluster::start().await;
    let connect = async |url: &str| {
        let connected = RedisStore::connect(url, SECRET).await;
        connected.map(drop).unwrap_err().to_string()
    };
    let node = cluster.url().replace("+cluster", "");
    let node = node.rsplit_once(',').unwrap().0;
    let told = connect(node).await;
    assert!(told.contains("use redis+cluster://"), "{told}");
    let mut alone = Server::start();
    let port = alone.listen("port");
    let told = connect(&format!("redis+cluster://127.0.0.1:{port}")).await;
    assert!(told.contains("use redis://"), "{told}");
}
