//! Answers that are each one client's: it comes back to any node, and goes on behind what it has.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_sse::store::RedisStore;

use crate::node::{Node, SECRET};
use crate::server::Server;
use crate::upstream::Upstream;
use crate::{PATIENCE, until};

/// How many events there are before a client hops.
const HOP: usize = 20;

/// What a client was given that dispatches events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Number(u64),
    Gap(String),
}

use Given::{Gap, Number};

/// Asks once, and then comes back with the last id.
#[derive(Clone)]
pub(crate) struct Asker {
    path: &'static str,
    method: &'static str,
    credentials: &'static str,
    last_id: Option<String>,
    pub(crate) given: Vec<Given>,
    has_ended: bool,
    pub(crate) status: String,
}

impl Asker {
    fn new(method: &'static str) -> Self {
        Asker {
            path: "/answer",
            method,
            credentials: "Bearer mine",
            last_id: None,
            given: Vec::new(),
            has_ended: false,
            status: String::new(),
        }
    }

    pub(crate) fn get() -> Self {
        Self::new("GET")
    }

    pub(crate) fn post() -> Self {
        Self::new("POST")
    }

    /// Reads up to so many more events from a node, or to the end.
    pub(crate) async fn read(&mut self, node: &Node, events: usize) {
        let reading = self.connect(node.address(), events);
        match timeout(PATIENCE, reading).await {
            Ok(read) => read.unwrap(),
            Err(_) => panic!("{:?}", self.given),
        }
    }

    pub(crate) async fn read_all(&mut self, node: &Node) {
        self.read(node, usize::MAX).await;
        assert!(self.has_ended, "{:?}", self.given);
    }

    async fn connect(&mut self, node: SocketAddr, mut left: usize) -> std::io::Result<()> {
        self.has_ended = false;
        let mut socket = TcpStream::connect(node).await?;
        let id = self.last_id.as_deref();
        let id = id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: node\r\nAccept: text/event-stream\r\nAuthorization: {}\r\nContent-Length: {}\r\nConnection: close\r\n{id}\r\n",
            self.method,
            self.path,
            self.credentials,
            if self.method == "POST" { 5 } else { 0 },
        );
        socket.write_all(head.as_bytes()).await?;
        if self.method == "POST" {
            socket.write_all(b"hello").await?;
        }
        let mut lines = BufReader::new(socket).lines();
        self.status = lines.next_line().await?.unwrap_or_default();
        while lines
            .next_line()
            .await?
            .is_some_and(|line| !line.is_empty())
        {}
        let (mut id, mut event, mut data) = (None, None, None);
        while left > 0 {
            let Some(line) = lines.next_line().await? else {
                let mut rest = String::new();
                lines.into_inner().read_to_string(&mut rest).await?;
                self.has_ended = true;
                break;
            };
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("event", value)) => event = Some(value.to_owned()),
                Some(("data", value)) => data = Some(value.to_owned()),
                _ => {}
            }
            if line.is_empty() {
                self.last_id = id.take().or(self.last_id.take());
                let Some(data) = data.take() else { continue };
                self.given.push(match event.take() {
                    Some(_) => Gap(data),
                    None => Number(data.parse().unwrap()),
                });
                left -= 1;
            }
        }
        Ok(())
    }

    /// Shares the answer with all who ask the same.
    pub(crate) fn shared() -> Self {
        Asker {
            path: "/question",
            ..Self::post()
        }
    }

    pub(crate) fn last(&self) -> u64 {
        let numbers = self.given.iter().rev().find_map(|given| match given {
            Number(number) => Some(*number),
            Gap(_) => None,
        });
        numbers.unwrap_or(0)
    }
}

/// All from the first up to this one.
pub(crate) fn numbers(last: u64) -> Vec<Given> {
    (1..=last).map(Number).collect()
}

/// The same, and then something may be missing.
pub(crate) fn broken_behind(last: u64) -> Vec<Given> {
    let gap = Gap("null".to_owned());
    (1..=last).map(Number).chain([gap]).collect()
}

pub(crate) fn nodes(count: usize, server: &Server, upstream: &Upstream) -> Vec<Node> {
    (0..count).map(|_| Node::start(server, upstream)).collect()
}

/// The one that reads an answer.
pub(crate) async fn owner(nodes: &[Node]) -> usize {
    until(|| nodes.iter().any(Node::is_owner)).await;
    nodes.iter().position(Node::is_owner).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_on_at_any_node_and_is_asked_for_once() {
    const EVENTS: u64 = 400;
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let nodes = nodes(3, &server, &upstream);
    let mut clients = [Asker::get(), Asker::post(), Asker::post()];
    for (index, client) in clients.iter_mut().enumerate() {
        let mut hop = index;
        while client.last() < EVENTS - 2 * HOP as u64 {
            client.read(&nodes[hop % 3], HOP).await;
            hop += 1;
        }
        client.read_all(&nodes[hop % 3]).await;
        assert_eq!(client.given, numbers(EVENTS));
    }
    assert_eq!((upstream.answers.gets(), upstream.answers.posts()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_reads_where_it_was_asked_for_goes_on_for_who_reads_it_elsewhere() {
    const EVENTS: u64 = 600;
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let nodes = nodes(2, &server, &upstream);
    let mut client = Asker::post();
    client.read(&nodes[0], HOP).await;
    // That takes longer than the first node keeps what nobody reads.
    client.read_all(&nodes[1]).await;
    assert_eq!(client.given, numbers(EVENTS));
    assert_eq!(upstream.answers.posts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_node_dies_is_never_asked_for_again_and_ends_behind_a_gap() {
    const EVENTS: u64 = 100_000;
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let mut nodes = nodes(3, &server, &upstream);
    let mut client = Asker::post();
    client.read(&nodes[0], HOP).await;
    let mut second = client.clone();
    let from = client.clone();
    assert_eq!(owner(&nodes).await, 0);
    // Both follow before it dies.
    client.read(&nodes[1], HOP).await;
    second.read(&nodes[2], HOP).await;
    nodes.remove(0).kill();
    let (one, other) = (&nodes[0], &nodes[1]);
    tokio::join!(client.read_all(one), second.read_all(other));
    let last = client.last();
    assert_eq!(client.given, broken_behind(last));
    assert_eq!(second.given, client.given);
    // And so does who comes later, and to a node that knew nothing of it.
    let third = Node::start(&server, &upstream);
    for node in [one, other, &third] {
        let mut late = from.clone();
        late.read_all(node).await;
        assert_eq!(late.given, client.given);
        client.read_all(node).await;
        assert!(client.status.contains("204"), "{}", client.status);
    }
    assert_eq!(upstream.answers.posts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_whose_node_died_while_nobody_followed_is_ended_by_who_comes_back() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(100_000);
    let mut nodes = nodes(2, &server, &upstream);
    let mut client = Asker::post();
    client.read(&nodes[0], HOP).await;
    nodes.remove(0).kill();
    let mut others = [client.clone(), client.clone(), client.clone()];
    let [one, two, three] = &mut others;
    let again = Node::start(&server, &upstream);
    tokio::join!(
        one.read_all(&nodes[0]),
        two.read_all(&nodes[0]),
        three.read_all(&again)
    );
    let last = others[0].last();
    assert!(last >= HOP as u64);
    for other in &others {
        assert_eq!(other.given, broken_behind(last));
    }
    assert_eq!(upstream.answers.posts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_whose_node_dies_is_made_again_behind_the_last_id() {
    const EVENTS: u64 = 1_000;
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let mut nodes = nodes(2, &server, &upstream);
    let mut client = Asker::get();
    client.read(&nodes[0], HOP).await;
    let mut other = client.clone();
    client.read(&nodes[1], HOP).await;
    nodes.remove(0).kill();
    client.read_all(&nodes[0]).await;
    assert_eq!(client.given, numbers(EVENTS));
    other.read_all(&nodes[0]).await;
    assert_eq!(other.given, numbers(EVENTS));
    assert_eq!(upstream.answers.gets(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_is_made_again_also_where_its_node_has_died_before_it_told_of_it() {
    const EVENTS: u64 = 400;
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let mut nodes = nodes(2, &server, &upstream);
    let mut client = Asker::get();
    client.read(&nodes[0], HOP).await;
    nodes.remove(0).kill();
    let mut admin = server.admin().await;
    let keys = redis::cmd("KEYS").arg("sse:*:m").take();
    let keys: Vec<String> = keys.query_async(&mut admin).await.unwrap();
    assert_eq!(keys.len(), 1);
    let told = redis::cmd("HDEL").arg(&keys[0]).arg("h").take();
    let _: usize = told.query_async(&mut admin).await.unwrap();
    client.read_all(&nodes[0]).await;
    assert_eq!(client.given, numbers(EVENTS));
    assert_eq!(upstream.answers.gets(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_has_ended_is_given_again_at_any_node_also_at_one_that_comes_later() {
    const EVENTS: u64 = 50;
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let mut nodes = nodes(2, &server, &upstream);
    let mut client = Asker::post();
    client.read(&nodes[0], HOP).await;
    let part = client.clone();
    client.read_all(&nodes[0]).await;
    // All processes are others.
    for node in nodes.drain(..) {
        node.kill();
    }
    for _ in 0..2 {
        let node = Node::start(&server, &upstream);
        for _ in 0..2 {
            let mut again = part.clone();
            again.read_all(&node).await;
            assert_eq!(again.given, numbers(EVENTS));
            again.read_all(&node).await;
            assert!(again.status.contains("204"), "{}", again.status);
        }
    }
    assert_eq!(upstream.answers.posts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_does_not_exist_for_who_has_other_credentials() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(100_000);
    let nodes = nodes(2, &server, &upstream);
    let mut client = Asker::post();
    client.read(&nodes[0], HOP).await;
    let unknown = client.last_id.as_ref().map(|id| {
        // Its check stands behind the digits, so that this is one that nobody has.
        let epoch = tower_sse::wire::Epoch::from_secret(7);
        let (_, number) = id.split_once('-').unwrap();
        format!(
            "{}-{number}",
            std::str::from_utf8(epoch.as_bytes()).unwrap()
        )
    });
    for node in &nodes {
        let mut stranger = client.clone();
        stranger.credentials = "Bearer yours";
        let mut nobody = client.clone();
        nobody.last_id = unknown.clone();
        for other in [&mut stranger, &mut nobody] {
            other.given.clear();
            other.read_all(node).await;
        }
        assert_eq!(stranger.given, [Gap("null".to_owned())]);
        assert_eq!(
            (&stranger.status, &stranger.given),
            (&nobody.status, &nobody.given)
        );
    }
    assert_eq!(upstream.answers.posts(), 1);
    // For a GET it is as if there were none as well.
    let mut stranger = client.clone();
    (stranger.method, stranger.credentials) = ("GET", "Bearer yours");
    stranger.given.clear();
    stranger.read(&nodes[1], 3).await;
    assert_eq!(
        stranger.given,
        [Gap("null".to_owned()), Number(1), Number(2)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_outlives_a_redis_that_forgets_all_of_it() {
    const EVENTS: u64 = 1_000;
    let mut server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let nodes = nodes(2, &server, &upstream);
    let mut client = Asker::post();
    client.read(&nodes[0], HOP).await;
    for round in 0..2 {
        server.kill();
        server.start_again();
        client.read(&nodes[(round + 1) % 2], HOP).await;
        client.read(&nodes[round % 2], HOP).await;
    }
    client.read_all(&nodes[1]).await;
    assert_eq!(client.given, numbers(EVENTS));
    assert_eq!(upstream.answers.posts(), 1);
}

/// Who comes to another node before the owner has written it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_waited_for_where_redis_has_just_been_emptied() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(2000);
    let nodes = [(); 3].map(|()| Node::start(&server, &upstream));
    let mut admin = server.admin().await;
    let mut asker = Asker::post();
    asker.read(&nodes[0], 100).await;
    for node in &nodes[1..] {
        let () = redis::cmd("FLUSHALL")
            .query_async(&mut admin)
            .await
            .unwrap();
        asker.read(node, 100).await;
    }
    let all: Vec<_> = (1..=asker.last()).map(Number).collect();
    assert_eq!(asker.given, all);
    assert_eq!(upstream.answers.posts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_has_ended_outlives_a_redis_that_forgets_it_while_who_read_it_keeps_it() {
    const EVENTS: u64 = 50;
    let mut server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let nodes = nodes(3, &server, &upstream);
    let mut client = Asker::post();
    client.read(&nodes[0], HOP).await;
    let part = client.clone();
    client.read_all(&nodes[0]).await;
    for (node, is_restarted) in nodes[1..].iter().zip([true, false]) {
        if is_restarted {
            server.kill();
            server.start_again();
        } else {
            let mut admin = server.admin().await;
            let () = redis::cmd("FLUSHALL")
                .query_async(&mut admin)
                .await
                .unwrap();
        }
        let mut again = part.clone();
        again.read_all(node).await;
        assert_eq!(again.given, numbers(EVENTS));
    }
    assert_eq!(upstream.answers.posts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_finds_the_ids_of_an_answer_in_redis() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(100_000);
    let nodes = nodes(1, &server, &upstream);
    let mut clients = [Asker::post(), Asker::get()];
    for client in &mut clients {
        client.read(&nodes[0], HOP).await;
    }
    let mut admin = server.admin().await;
    let keys = redis::cmd("KEYS").arg("*").take();
    let keys: Vec<String> = keys.query_async(&mut admin).await.unwrap();
    let mut all = keys.join("\n").into_bytes();
    for key in &keys {
        // A dump would be compressed.
        let command = match key.rsplit(':').next() {
            Some("l") => redis::cmd("XRANGE").arg(key).arg("-").arg("+").take(),
            Some("m") => redis::cmd("HGETALL").arg(key).take(),
            _ => continue,
        };
        flatten(&command.query_async(&mut admin).await.unwrap(), &mut all);
    }
    let has = |text: &str| all.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(has("data: 1"));
    for client in &clients {
        let id = client.last_id.as_deref().unwrap();
        let (epoch, _) = id.split_once('-').unwrap();
        assert!(id.starts_with("tr"), "{id}");
        assert!(!has(&epoch[2..]), "{epoch}");
    }
}

fn flatten(value: &redis::Value, into: &mut Vec<u8>) {
    match value {
        redis::Value::BulkString(bytes) => into.extend_from_slice(bytes),
        redis::Value::Array(all) => all.iter().for_each(|value| flatten(value, into)),
        redis::Value::Map(all) => all.iter().for_each(|(key, value)| {
            flatten(key, into);
            flatten(value, into);
        }),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_sealed_goes_on_elsewhere_as_well() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(200);
    let sealed = RedisStore::options().with_seal(true);
    let nodes = [0, 1].map(|_| Node::start_as(&server, &upstream, &SECRET, sealed.clone()));
    let mut client = Asker::post();
    client.read(&nodes[0], HOP).await;
    client.read(&nodes[1], HOP).await;
    client.read_all(&nodes[0]).await;
    assert_eq!(client.given, numbers(200));
    assert_eq!(upstream.answers.posts(), 1);
    assert!(!server.has(b"data:").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hands_over_has_given_all_that_it_had() {
    let server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(100_000);
    let mut nodes = nodes(2, &server, &upstream);
    let mut client = Asker::post();
    client.read(&nodes[0], HOP).await;
    nodes[0].leave().await;
    client.read_all(&nodes[1]).await;
    assert_eq!(client.given, broken_behind(client.last()));
    nodes.remove(0).kill();
    assert_eq!(upstream.answers.posts(), 1);
}
