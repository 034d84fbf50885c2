//! What an upstream may answer instead of a stream that lasts: first, to a reconnect, and whenever it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::BufReader;
use tokio::net::TcpStream;

use crate::admin::{admin_until, all_upstream_requests};
use crate::client::{Client, get, post};
use crate::gateway::Gateway;
use crate::wire::{Wire, WireUpstream, field};

/// An answer, behind which the upstream closes the connection.
#[derive(Debug)]
struct Answer {
    head: &'static str,
    body: &'static str,
    /// What a client gets if it is the first answer to its request.
    status: &'static str,
    fields: &'static [(&'static str, &'static str)],
    /// What it is to who waited for it with others.
    meaning: Meaning,
    /// For how many seconds at least the upstream is left alone, or `None` when it is not asked again.
    again: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// For all the same.
    Error,
    /// For each his own.
    Page,
    /// A stream is open.
    Stream,
}

const SERVER_ERROR: Answer = Answer {
    head: "500 Internal Server Error\r\nContent-Length: 5",
    body: "sorry",
    status: "500",
    fields: &[],
    meaning: Meaning::Error,
    again: Some(0),
};
const LATER: Answer = Answer {
    head: "503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 5",
    status: "503",
    fields: &[("retry-after", "2")],
    again: Some(2),
    ..SERVER_ERROR
};
const AT_A_DATE: Answer = Answer {
    head: "503 Service Unavailable\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
           Retry-After: Sun, 06 Nov 1994 08:49:39 GMT\r\nContent-Length: 5",
    fields: &[("retry-after", "Sun, 06 Nov 1994 08:49:39 GMT")],
    ..LATER
};
const NO_CONTENT: Answer = Answer {
    head: "204 No Content",
    body: "",
    status: "204",
    fields: &[],
    meaning: Meaning::Error,
    again: None,
};
const UNAUTHORIZED: Answer = Answer {
    head: "401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 5",
    status: "401",
    fields: &[("www-authenticate", "Bearer")],
    again: None,
    ..SERVER_ERROR
};
const MOVED: Answer = Answer {
    head: "301 Moved Permanently\r\nLocation: /elsewhere\r\nContent-Length: 5",
    body: "there",
    status: "301",
    fields: &[("location", "/elsewhere")],
    meaning: Meaning::Page,
    again: Some(0),
};
const PAGE: Answer = Answer {
    head: "200 OK\r\nContent-Type: text/html\r\nContent-Length: 13",
    body: "<p>hello</p>\n",
    status: "200",
    fields: &[("content-type", "text/html")],
    ..MOVED
};
/// It dies between the head and the first byte.
const DEAD: Answer = Answer {
    head: "200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked",
    body: "",
    fields: &[("content-type", "text/event-stream")],
    meaning: Meaning::Stream,
    ..PAGE
};
/// The same, and nobody can tell from the wire that it did not mean to.
const EMPTY: Answer = Answer {
    head: "200 OK\r\nContent-Type: text/event-stream",
    ..DEAD
};
/// It dies before the head.
const NO_HEAD: Answer = Answer {
    head: "",
    body: "",
    status: "502",
    fields: &[],
    ..SERVER_ERROR
};

const ALL: [Answer; 10] = [
    SERVER_ERROR,
    LATER,
    AT_A_DATE,
    NO_CONTENT,
    UNAUTHORIZED,
    MOVED,
    PAGE,
    DEAD,
    EMPTY,
    NO_HEAD,
];

impl Answer {
    async fn send(&self, mut server: Wire) {
        if !self.head.is_empty() {
            let Answer { head, body, .. } = self;
            let text = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}");
            server.send(text).await;
        }
    }

    fn check_head(&self, client: &Client) {
        assert_eq!(client.status(), self.status, "{self:?}");
        for (name, value) in self.fields {
            assert_eq!(field(&client.head, name), [*value], "{self:?}");
        }
    }
}

/// A gateway and its upstream, for one answer.
struct Scene {
    upstream: WireUpstream,
    gateway: Gateway,
}

const CLOSE: &str = "Connection: close";

impl Scene {
    async fn with(flags: &[&str]) -> Self {
        let upstream = WireUpstream::bind().await;
        let given = [
            "--retry",
            "off",
            "--heartbeat",
            "off",
            "--on-leave",
            "cancel",
            "--no-answer",
            "answer",
        ];
        let flags = [&given, flags].concat();
        let gateway = Gateway::with_admin(&upstream.url, &flags);
        Scene { upstream, gateway }
    }

    /// The upstream's side of the next request.
    async fn asked(&self) -> (String, Wire) {
        let mut server = self.upstream.accept().await;
        (server.head().await, server)
    }

    /// Two clients that wait for the same answer. The first one's request is the upstream's.
    async fn two_wait(&self) -> ([BufReader<TcpStream>; 2], Wire) {
        let one = Client::send(&self.gateway, &get(&[CLOSE])).await;
        let (_, server) = self.asked().await;
        let other = Client::send(&self.gateway, &get(&[CLOSE])).await;
        admin_until(&self.gateway, "/streams", |streams| {
            streams.contains("\"clients\":2")
        })
        .await;
        ([one, other], server)
    }

    /// Nothing is kept: a new request is one to the upstream, and is served.
    async fn is_asked_anew(&self) {
        admin_until(&self.gateway, "/streams", |streams| {
            streams.contains("\"relays\":[]")
        })
        .await;
        let before = all_upstream_requests(&self.gateway).await;
        let client = Client::send(&self.gateway, &get(&[CLOSE])).await;
        let (head, mut server) = self.asked().await;
        assert_eq!(field(&head, "last-event-id"), [""; 0]);
        server.open_stream().await;
        server.numbers([7]).await;
        let mut client = Client::opened(client).await;
        assert_eq!(client.status(), "200");
        assert_eq!(client.data(1).await, ["7"]);
        let after = all_upstream_requests(&self.gateway).await;
        assert_eq!(after, before + 1);
    }
}

async fn opened(waiting: [BufReader<TcpStream>; 2]) -> [Client; 2] {
    let [one, other] = waiting;
    [Client::opened(one).await, Client::opened(other).await]
}

/// The type and data of so many events.
async fn told(client: &mut Client, count: usize) -> Vec<(String, String)> {
    let events = client.take(count).await.into_iter();
    events.map(|event| (event.kind, event.data)).collect()
}

fn gap() -> (String, String) {
    ("stream-gap".into(), "null".into())
}

fn plain(data: &str) -> (String, String) {
    (String::new(), data.into())
}

#[tokio::test]
async fn a_first_answer_is_for_those_who_wait_for_it() {
    for answer in ALL.iter().filter(|one| one.meaning != Meaning::Stream) {
        let scene = Scene::with(&["--share", "on"]).await;
        let (waiting, server) = scene.two_wait().await;
        answer.send(server).await;
        let own = answer.meaning == Meaning::Page;
        if own {
            let (_, server) = scene.asked().await;
            answer.send(server).await;
        }
        let [one, other] = opened(waiting).await;
        answer.check_head(&one);
        answer.check_head(&other);
        let (one, other) = (one.rest().await, other.rest().await);
        if !answer.head.is_empty() {
            assert_eq!(one, answer.body, "{answer:?}");
        }
        assert_eq!(other, one, "{answer:?}");
        let asked = all_upstream_requests(&scene.gateway).await;
        assert_eq!(asked, if own { 2 } else { 1 }, "{answer:?}");
        scene.is_asked_anew().await;
    }
}

#[tokio::test]
async fn a_first_stream_that_dies_at_its_head_is_asked_for_again() {
    join_all([DEAD, EMPTY].map(async |answer| {
        let scene = Scene::with(&["--share", "on"]).await;
        let (waiting, server) = scene.two_wait().await;
        answer.send(server).await;
        let mut clients = opened(waiting).await;
        let (head, mut server) = scene.asked().await;
        assert_eq!(field(&head, "last-event-id"), [""; 0]);
        server.open_stream().await;
        server.numbers([1]).await;
        for client in &mut clients {
            answer.check_head(client);
            assert_eq!(told(client, 2).await, [gap(), plain("1")], "{answer:?}");
        }
        assert_eq!(all_upstream_requests(&scene.gateway).await, 2);
        drop((clients, server));
        scene.is_asked_anew().await;
    }))
    .await;
}

#[tokio::test]
async fn an_answer_to_a_reconnect_is_waited_out_or_ends_it_for_all() {
    join_all(ALL.map(async |answer| {
        let scene = Scene::with(&["--share", "on", "--keep-finished", "1ms"]).await;
        let (waiting, mut server) = scene.two_wait().await;
        server.open_stream().await;
        server.numbers_with_ids([1]).await;
        let mut clients = opened(waiting).await;
        for client in &mut clients {
            assert_eq!(told(client, 1).await, [plain("1")]);
        }
        drop(server);
        let (head, server) = scene.asked().await;
        assert_eq!(field(&head, "last-event-id"), ["1"]);
        let answered = Instant::now();
        answer.send(server).await;
        let Some(least) = answer.again else {
            for client in &mut clients {
                assert_eq!(client.next().await, None, "{answer:?}");
            }
            assert_eq!(all_upstream_requests(&scene.gateway).await, 2);
            scene.is_asked_anew().await;
            return;
        };
        let (head, mut server) = scene.asked().await;
        assert!(
            answered.elapsed() >= Duration::from_secs(least),
            "{answer:?}"
        );
        assert_eq!(field(&head, "last-event-id"), ["1"]);
        server.open_stream().await;
        server.numbers_with_ids([2]).await;
        for client in &mut clients {
            assert_eq!(told(client, 1).await, [plain("2")], "{answer:?}");
        }
        assert_eq!(all_upstream_requests(&scene.gateway).await, 3);
        drop((clients, server));
        scene.is_asked_anew().await;
    }))
    .await;
}

#[tokio::test]
async fn held_clients_see_no_first_answer() {
    join_all(ALL.map(async |answer| {
        let flags = ["--share", "on", "--hold", "on", "--keep-finished", "1ms"];
        let scene = Scene::with(&flags).await;
        let (waiting, server) = scene.two_wait().await;
        // The upstream has not answered yet.
        let mut clients = opened(waiting).await;
        for client in &clients {
            assert_eq!(client.status(), "200");
            assert_eq!(field(&client.head, "content-type"), ["text/event-stream"]);
        }
        let answered = Instant::now();
        answer.send(server).await;
        let Some(least) = answer.again else {
            for client in &mut clients {
                assert_eq!(client.next().await, None, "{answer:?}");
            }
            assert_eq!(all_upstream_requests(&scene.gateway).await, 1);
            scene.is_asked_anew().await;
            return;
        };
        let (_, mut server) = scene.asked().await;
        assert!(
            answered.elapsed() >= Duration::from_secs(least),
            "{answer:?}"
        );
        server.open_stream().await;
        server.numbers([1]).await;
        let expected = match answer.meaning {
            Meaning::Stream => vec![gap(), plain("1")],
            _ => vec![plain("1")],
        };
        for client in &mut clients {
            assert_eq!(told(client, expected.len()).await, expected, "{answer:?}");
        }
        assert_eq!(all_upstream_requests(&scene.gateway).await, 2);
        drop((clients, server));
        scene.is_asked_anew().await;
    }))
    .await;
}

/// For so long requests are counted. With waits that grow from one second there are three or four, and not twice as many
/// should it take until patience is lost.
const WATCHED: Duration = Duration::from_secs(4);
const MOST: usize = 20;

#[tokio::test]
async fn an_upstream_that_never_gets_better_is_not_asked_in_a_hurry() {
    const AT_ONCE: Answer = Answer {
        head: "503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 5",
        ..LATER
    };
    let again = || ALL.into_iter().filter(|answer| answer.again == Some(0));
    let both = [&[][..], &["--hold", "on"]];
    let all = both.into_iter().flat_map(|flags| {
        let answers = again().chain([AT_ONCE]);
        answers.map(move |answer| (flags, answer))
    });
    join_all(all.map(async |(flags, answer)| {
        let scene = Scene::with(&[&["--share", "on"], flags].concat()).await;
        let client = Client::send(&scene.gateway, &get(&[])).await;
        let (_, mut server) = scene.asked().await;
        if flags.is_empty() {
            server.open_stream().await;
            server.numbers_with_ids([1]).await;
            drop(server);
        } else {
            answer.send(server).await;
        }
        let _client = Client::opened(client).await;

        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let upstream = scene.upstream;
        let answering = tokio::spawn(async move {
            loop {
                let mut server = upstream.accept().await;
                server.head().await;
                count.fetch_add(1, Ordering::Relaxed);
                answer.send(server).await;
            }
        });
        let began = Instant::now();
        admin_until(&scene.gateway, "/streams", |_| {
            began.elapsed() >= WATCHED && asked.load(Ordering::Relaxed) >= 2
        })
        .await;
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked <= MOST, "{asked} requests: {flags:?}");
        answering.abort();
    }))
    .await;
}

/// A POST in a scene, and the upstream's side of it.
async fn posted(scene: &Scene) -> (BufReader<TcpStream>, Wire) {
    let client = Client::send(&scene.gateway, &post(&[CLOSE], "question")).await;
    let (head, mut server) = scene.asked().await;
    assert!(head.starts_with("POST "));
    server.until("question").await;
    (client, server)
}

#[tokio::test]
async fn a_post_is_made_once_whatever_the_answer() {
    for answer in &ALL {
        let scene = Scene::with(&["--resume", "on"]).await;
        let (client, server) = posted(&scene).await;
        answer.send(server).await;
        let mut client = Client::opened(client).await;
        answer.check_head(&client);
        if answer.meaning == Meaning::Stream {
            if answer.head == DEAD.head {
                // A clean end would be that of an answer.
                let rest = client.broken().await;
                assert!(rest.contains(": closing: upstream_error\n"), "{rest:?}");
            } else {
                assert_eq!(client.next().await, None, "{answer:?}");
            }
        } else if !answer.head.is_empty() {
            assert_eq!(client.rest().await, answer.body, "{answer:?}");
        }
        assert_eq!(all_upstream_requests(&scene.gateway).await, 1);

        // The same question is another one.
        let (client, mut server) = posted(&scene).await;
        server.open_stream().await;
        server.numbers([1]).await;
        server.end_stream().await;
        let mut client = Client::opened(client).await;
        assert_eq!(told(&mut client, 1).await, [plain("1")], "{answer:?}");
        assert_eq!(client.next().await, None);
        assert_eq!(all_upstream_requests(&scene.gateway).await, 2);
    }
}

#[tokio::test]
async fn a_held_post_is_made_once_and_its_client_is_told_that_there_is_no_answer() {
    for answer in &ALL {
        let scene = Scene::with(&["--resume", "on", "--hold", "on"]).await;
        let (client, server) = posted(&scene).await;
        let mut client = Client::opened(client).await;
        assert_eq!(client.status(), "200");
        answer.send(server).await;
        // That there is nothing, and that it has ended, is an answer too.
        if ![NO_CONTENT.head, EMPTY.head].contains(&answer.head) {
            let rest = client.broken().await;
            assert!(
                rest.contains(": closing: upstream_error\n"),
                "{answer:?}: {rest:?}"
            );
        } else {
            assert_eq!(client.next().await, None, "{answer:?}");
        }
        assert_eq!(all_upstream_requests(&scene.gateway).await, 1);
    }
}
