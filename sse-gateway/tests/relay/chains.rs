//! Two gateways, one behind the other: each takes off the ids that it has given itself, and hands on those of the other.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::client::{Client, Event, get};
use crate::gateway::Gateway;
use crate::upstream::numbers;

/// The settings that decide about ids.
const SETTINGS: [&[&str]; 6] = [
    &["--ids", "fill"],
    &["--ids", "replace"],
    &["--ids", "off"],
    &["--share", "on"],
    &["--share", "on", "--ids", "keep"],
    &["--resume", "on"],
];

/// Those with which a gateway keeps what was sent while its client is away.
const KEEPS: [&[&str]; 3] = [
    &["--share", "on"],
    &["--share", "on", "--ids", "keep"],
    &["--resume", "on"],
];

/// Which events of an upstream have ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    All,
    EveryThird,
    None,
}

impl Ids {
    fn has(self, number: u32) -> bool {
        match self {
            Ids::All => true,
            Ids::EveryThird => number % 3 == 0,
            Ids::None => false,
        }
    }
}

/// An upstream with one stream, whose events are numbered.
pub(crate) struct Feed {
    pub(crate) url: String,
    last: watch::Sender<u32>,
    /// Ids that it was asked to go on behind and never gave.
    foreign: Arc<Mutex<Vec<String>>>,
    requests: Arc<AtomicUsize>,
}

impl Feed {
    /// With ids it goes on behind the one it is given, and begins with what comes next otherwise.
    pub(crate) async fn start(ids: Ids) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let feed = Feed {
            url: format!("http://{}", listener.local_addr().expect("bound")),
            last: watch::Sender::new(0),
            foreign: Arc::default(),
            requests: Arc::default(),
        };
        let (last, foreign) = (feed.last.clone(), Arc::clone(&feed.foreign));
        let requests = Arc::clone(&feed.requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                requests.fetch_add(1, Ordering::Relaxed);
                let (last, foreign) = (last.subscribe(), Arc::clone(&foreign));
                // It fails when whoever asked has left.
                tokio::spawn(async move { serve(stream, last, &foreign, ids).await });
            }
        });
        feed
    }

    pub(crate) fn publish(&self, events: u32) {
        self.last.send_modify(|last| *last += events);
    }
}

async fn serve(
    stream: TcpStream,
    mut last: watch::Receiver<u32>,
    foreign: &Mutex<Vec<String>>,
    ids: Ids,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut sent = *last.borrow();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some(("last-event-id", id)) = line.split_once(": ") else {
            continue;
        };
        match id.strip_prefix("row-").filter(|_| ids != Ids::None) {
            Some(number) => sent = number.parse().expect("a number"),
            None => foreign.lock().expect("ids").push(id.to_owned()),
        }
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 10\n\n";
    stream.write_all(head.as_bytes()).await?;
    loop {
        while sent < *last.borrow_and_update() {
            sent += 1;
            let id = match ids.has(sent) {
                true => format!("id: row-{sent}\n"),
                false => String::new(),
            };
            let event = format!("{id}data: {sent}\n\n");
            stream.write_all(event.as_bytes()).await?;
        }
        tokio::select! {
            changed = last.changed() => if changed.is_err() { return Ok(()) },
            _ = stream.read_u8() => return Ok(()),
        }
    }
}

/// A client that comes back, and what it is to be given next.
struct Reader<'a> {
    feed: &'a Feed,
    client: Option<Client>,
    last: Option<Event>,
    seen: u32,
    what: String,
}

impl Reader<'_> {
    async fn come(&mut self, gateway: &Gateway) {
        let back = self
            .last
            .as_ref()
            .map(|last| format!("Last-Event-ID: {}", last.id));
        let lines: Vec<&str> = back.iter().map(String::as_str).collect();
        self.client = Some(Client::open(gateway, &get(&lines)).await);
    }

    fn leave(&mut self) {
        self.client = None;
    }

    /// Reads all that there is.
    async fn read(&mut self) {
        let client = self.client.as_mut().expect("a client");
        while self.seen < *self.feed.last.borrow() {
            let event = client.next().await.expect("an event");
            self.seen += 1;
            let (what, seen) = (&self.what, self.seen);
            assert_eq!(event.data, seen.to_string(), "{what}: {event:?}");
            self.last = Some(event);
        }
    }

    /// Is away while something comes.
    async fn miss(&mut self, gateway: &Gateway) {
        self.feed.publish(3);
        self.come(gateway).await;
        self.read().await;
        self.feed.publish(1);
        self.read().await;
    }
}

async fn chain(outer: &[&str], inner: &[&str], has_ids: bool) {
    let ids = if has_ids { Ids::All } else { Ids::None };
    let feed = Feed::start(ids).await;
    let mut b = Gateway::with(&feed.url, inner, &[]);
    let behind = format!("http://{}", b.address);
    let mut a = Gateway::with(&behind, outer, &[]);
    let mut reader = Reader {
        feed: &feed,
        client: None,
        last: None,
        seen: 0,
        what: format!("{outer:?} {inner:?} {has_ids}"),
    };
    reader.come(&a).await;
    feed.publish(3);
    reader.read().await;
    for _ in 0..2 {
        reader.leave();
        reader.miss(&a).await;
    }

    reader.leave();
    a = a.succeeded_by(&behind, outer);
    reader.miss(&a).await;

    if has_ids {
        reader.leave();
        b = b.succeeded_by(&feed.url, inner);
        reader.miss(&a).await;
    }
    let foreign = feed.foreign.lock().expect("ids").clone();
    assert!(foreign.is_empty(), "{}: {foreign:?}", reader.what);
    drop(b);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_before_an_upstream_that_resumes() {
    for outer in SETTINGS {
        for inner in SETTINGS {
            chain(outer, inner, true).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_where_only_the_inner_gateway_can_resume() {
    for outer in SETTINGS {
        for inner in KEEPS {
            chain(outer, inner, false).await;
        }
    }
}

#[tokio::test]
async fn many_who_come_back_to_a_successor_are_caught_up_by_few_requests() {
    const SHARE: &[&str] = &["--share", "on"];
    let feed = Feed::start(Ids::All).await;
    let gateway = Gateway::with(&feed.url, SHARE, &[]);
    let mut client = Client::open(&gateway, &get(&[])).await;
    feed.publish(20);
    let had = client.take(20).await;
    let gateway = gateway.succeeded_by(&feed.url, SHARE);
    feed.publish(10);

    let before = feed.requests.load(Ordering::Relaxed);
    let mut waiting = Vec::new();
    for number in 0..300 {
        let last = &had[10 + number % 5];
        let back = get(&[&format!("Last-Event-ID: {}", last.id)]);
        waiting.push((11 + number as u32 % 5, Client::send(&gateway, &back).await));
    }
    let mut clients = Vec::new();
    for (had, waiting) in waiting {
        let mut client = Client::opened(waiting).await;
        let count = 30 - had as usize;
        assert_eq!(client.data(count).await, numbers(had + 1..=30));
        clients.push(client);
    }
    feed.publish(5);
    for client in &mut clients {
        assert_eq!(client.data(5).await, numbers(31..=35));
    }
    let requests = feed.requests.load(Ordering::Relaxed) - before;
    assert_eq!(requests, 6, "one of the relay, and one for each place");
}
