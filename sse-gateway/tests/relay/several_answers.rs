//! `--resume` with several gateways: answers that go on at any of them, while those that read them are killed.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::client::{get, post};
use crate::gateway::{Gateway, PATIENCE};
use crate::redis::Redis;

/// Unless `ROUNDS` says otherwise.
const ROUNDS: usize = 10;
/// Events that a client reads from one gateway.
const HOP: usize = 10;
const PACE: Duration = Duration::from_millis(2);
/// An answer that does not end while it is looked at.
pub(crate) const LONG: u32 = 1_000_000;

/// An upstream that counts from 1 to each that asks: with ids to a GET, and without to a POST.
pub(crate) struct Counter {
    pub(crate) url: String,
    pub(crate) counts: Arc<Counts>,
}

#[derive(Default)]
pub(crate) struct Counts {
    until: AtomicU32,
    /// What each event has beside its number, in bytes.
    pub(crate) padding: AtomicUsize,
    gets: AtomicUsize,
    posts: AtomicUsize,
}

impl Counter {
    pub(crate) async fn start(until: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let counts = Arc::new(Counts::default());
        counts.until.store(until, Ordering::Relaxed);
        let served = counts.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counts = served.clone();
                // It fails when whoever asked has left.
                tokio::spawn(async move { count(stream, &counts).await });
            }
        });
        Counter { url, counts }
    }

    pub(crate) fn gets(&self) -> usize {
        self.counts.gets.load(Ordering::Relaxed)
    }

    fn posts(&self) -> usize {
        self.counts.posts.load(Ordering::Relaxed)
    }
}

async fn count(stream: TcpStream, counts: &Counts) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut first, mut sent, mut length) = (String::new(), 0, 0);
    stream.read_line(&mut first).await?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(": ") {
            Some(("last-event-id", id)) => sent = id.parse().expect("one of ours"),
            Some(("content-length", bytes)) => length = bytes.parse().expect("a number"),
            Some(_) => {}
            None => break,
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    let is_post = first.starts_with("POST");
    let count = if is_post { &counts.posts } else { &counts.gets };
    count.fetch_add(1, Ordering::Relaxed);
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    while sent < counts.until.load(Ordering::Relaxed) {
        sent += 1;
        let id = match is_post {
            true => String::new(),
            false => format!("id: {sent}\n"),
        };
        let padding = "x".repeat(counts.padding.load(Ordering::Relaxed));
        let event = format!("{id}x: {padding}\ndata: {sent}\n\n");
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await?;
        sleep(PACE).await;
    }
    stream.write_all(b"0\r\n\r\n").await
}

/// How the answer ended when it was read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client left, or its gateway did.
    Open,
    Whole,
    /// In the middle, as who sent it says by its last words.
    BrokenOff,
    NoContent,
}

/// Asks once, and comes back with its last event ID.
#[derive(Clone)]
pub(crate) struct Asker {
    is_post: bool,
    credentials: &'static str,
    last_id: Option<String>,
    numbers: Vec<u32>,
    /// How many numbers there were in front of each gap.
    pub(crate) gaps: Vec<usize>,
    end: End,
}

impl Asker {
    pub(crate) fn new(is_post: bool) -> Self {
        Asker {
            is_post,
            credentials: "Authorization: mine",
            last_id: None,
            numbers: Vec::new(),
            gaps: Vec::new(),
            end: End::Open,
        }
    }

    pub(crate) fn last(&self) -> u32 {
        self.numbers.last().copied().unwrap_or(0)
    }

    /// Reads so many events, or to the end.
    pub(crate) async fn read(&mut self, gateway: SocketAddr, events: usize) {
        // A gateway may be killed at any moment.
        let reading = timeout(PATIENCE, self.visit(gateway, events)).await;
        let _ = reading.unwrap_or_else(|_| panic!("it waits behind {}", self.last()));
    }

    /// Reads to the end, from one gateway or, where that is killed, from the next.
    async fn read_all(&mut self, gateways: &[SocketAddr]) {
        for gateway in gateways.iter().cycle() {
            self.read(*gateway, usize::MAX).await;
            if self.end != End::Open {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn visit(&mut self, gateway: SocketAddr, events: usize) -> io::Result<()> {
        self.end = End::Open;
        let mut stream = TcpStream::connect(gateway).await?;
        let id = self.last_id.iter().map(|id| format!("Last-Event-ID: {id}"));
        let mut lines = vec!["Connection: close".to_owned(), self.credentials.to_owned()];
        lines.extend(id);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let request = match self.is_post {
            true => post(&lines, "why?"),
            false => get(&lines),
        };
        stream.write_all(request.as_bytes()).await?;
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await?.unwrap_or_default();
        let is_empty = status.contains(" 204 ");
        while lines
            .next_line()
            .await?
            .is_some_and(|line| !line.is_empty())
        {}
        if is_empty {
            self.end = End::NoContent;
            return Ok(());
        }
        let (mut id, mut kind, mut data) = (None, None, None);
        let mut taken = 0;
        while taken < events {
            let Some(line) = lines.next_line().await? else {
                break;
            };
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("event", value)) => kind = Some(value.to_owned()),
                Some(("data", value)) => data = Some(value.to_owned()),
                Some(("", "closing: upstream_error" | "closing: gap")) => self.end = End::BrokenOff,
                _ if line == "0" => self.end = End::Whole,
                _ => {}
            }
            if !line.is_empty() {
                continue;
            }
            let Some(data) = data.take() else { continue };
            self.last_id = id.take().or(self.last_id.take());
            taken += 1;
            match kind.take() {
                None => self.numbers.push(data.parse().expect("a number")),
                Some(_) => self.gaps.push(self.numbers.len()),
            }
        }
        Ok(())
    }

    /// It has each number up to its last once and in order.
    #[track_caller]
    pub(crate) fn assert_in_order(&self) {
        let expected: Vec<u32> = (1..=self.last()).collect();
        assert_eq!(self.numbers, expected);
    }
}

pub(crate) fn gateway(redis: &Redis, upstream: &Counter, more: &[&str]) -> Gateway {
    let flags = redis.flags(&["--resume", "on"]);
    let flags = flags.iter().map(String::as_str);
    let flags: Vec<_> = flags.chain(more.iter().copied()).collect();
    Gateway::with_admin(&upstream.url, &flags)
}

fn addresses(gateways: &[Gateway]) -> Vec<SocketAddr> {
    gateways.iter().map(|gateway| gateway.address).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_read_answers_are_killed_again_and_again_and_no_post_is_sent_twice() {
    let rounds = std::env::var("ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    // What takes its time is to find that a gateway is dead.
    let half = rounds / 2;
    tokio::join!(kill("answers", 0..half), kill("answers-too", half..rounds));
}

async fn kill(name: &str, rounds: Range<usize>) {
    const TOLD: &[&str] = &["--gap-event", "stream-gap"];
    let redis = Redis::start(name).await;
    let upstream = Counter::start(LONG).await;
    let mut gateways: Vec<_> = (0..3).map(|_| gateway(&redis, &upstream, TOLD)).collect();
    for (posts, round) in (1..).zip(rounds) {
        let all = addresses(&gateways);
        let (mut client, mut other) = (Asker::new(true), Asker::new(false));
        for hop in 0..=round % 4 {
            client.read(all[hop % 3], HOP).await;
            other.read(all[hop % 3], HOP).await;
        }
        let from = client.clone();
        let rest = [all[1], all[2]];
        let reading = tokio::spawn(async move {
            client.read_all(&rest).await;
            client
        });
        // In some rounds nobody follows by the time that it is killed.
        if round % 2 == 0 {
            sleep(Duration::from_millis(100)).await;
        }
        // The one that both have asked first.
        drop(gateways.remove(0));
        let client = reading.await.expect("an answer that ends");
        client.assert_in_order();
        assert_eq!(client.gaps, [client.numbers.len()], "round {round}");
        assert_eq!((client.end, upstream.posts()), (End::BrokenOff, posts));
        gateways.push(gateway(&redis, &upstream, TOLD));
        // A GET is made once more, and goes on.
        let made = 2 * posts;
        for gateway in all[1..].iter().cycle() {
            other.read(*gateway, 50 * HOP).await;
            if upstream.gets() >= made {
                break;
            }
        }
        other.read(all[1], HOP).await;
        assert_eq!(upstream.gets(), made);
        other.assert_in_order();
        assert_eq!(other.gaps.len(), 0);
        // All of them say the same of what has ended, the new one too.
        for gateway in addresses(&gateways) {
            let mut again = from.clone();
            again.read_all(&[gateway]).await;
            assert_eq!(
                (again.numbers, again.gaps),
                (client.numbers.clone(), client.gaps.clone())
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_event_tells_of_gaps_an_answer_is_broken_off_at_each_gateway() {
    let redis = Redis::start("broken").await;
    let upstream = Counter::start(LONG).await;
    let mut gateways: Vec<_> = (0..2).map(|_| gateway(&redis, &upstream, &[])).collect();
    let all = addresses(&gateways);
    let mut client = Asker::new(true);
    client.read(all[0], HOP).await;
    client.read(all[1], HOP).await;
    let from = client.clone();
    drop(gateways.remove(0));
    client.read_all(&all[1..]).await;
    client.assert_in_order();
    assert_eq!((client.end, client.gaps.len()), (End::BrokenOff, 0));
    gateways.push(gateway(&redis, &upstream, &[]));
    for gateway in addresses(&gateways) {
        let mut again = from.clone();
        again.read_all(&[gateway]).await;
        assert_eq!(
            (again.end, &again.numbers),
            (End::BrokenOff, &client.numbers)
        );
        let mut stranger = from.clone();
        stranger.credentials = "Authorization: yours";
        stranger.read_all(&[gateway]).await;
        assert_eq!(
            (stranger.end, &stranger.numbers),
            (End::BrokenOff, &from.numbers)
        );
    }
    assert_eq!(upstream.posts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_has_ended_outlives_all_gateways() {
    let redis = Redis::start("outlives").await;
    let upstream = Counter::start(100).await;
    let gateways: Vec<_> = (0..2).map(|_| gateway(&redis, &upstream, &[])).collect();
    let all = addresses(&gateways);
    let mut client = Asker::new(true);
    client.read(all[0], HOP).await;
    let from = client.clone();
    client.read_all(&all[1..]).await;
    assert_eq!((client.end, client.last()), (End::Whole, 100));
    for gateway in gateways {
        drop(gateway);
    }
    let gateways: Vec<_> = (0..2).map(|_| gateway(&redis, &upstream, &[])).collect();
    for gateway in addresses(&gateways) {
        let mut again = from.clone();
        again.read_all(&[gateway]).await;
        assert_eq!((again.end, &again.numbers), (End::Whole, &client.numbers));
        again.read_all(&[gateway]).await;
        assert_eq!(again.end, End::NoContent);
    }
    assert_eq!(upstream.posts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_reads_its_answers_to_the_end_and_leaves_them_to_the_others() {
    let redis = Redis::start("answers-stop").await;
    let upstream = Counter::start(200).await;
    let mut gateways: Vec<_> = (0..2).map(|_| gateway(&redis, &upstream, &[])).collect();
    let all = addresses(&gateways);
    let mut client = Asker::new(true);
    client.read(all[0], HOP).await;
    let mut away = client.clone();
    let place = all[0];
    let reading = tokio::spawn(async move {
        client.read(place, usize::MAX).await;
        client
    });
    // It reads from there.
    let clients = |text: &str| text.contains("\"clients\":1");
    crate::admin::admin_until(&gateways[0], "/streams", clients).await;
    gateways[0].terminate();
    let client = reading.await.expect("a client that has read all");
    assert_eq!((client.end, client.last()), (End::Whole, 200));
    assert!(gateways[0].exit().success());
    away.read_all(&all[1..]).await;
    assert_eq!((away.end, &away.numbers), (End::Whole, &client.numbers));
    assert_eq!(upstream.posts(), 1);
}

/// A gateway that is told to stop while the client of its answer reads that at another.
struct Stopping {
    upstream: Counter,
    first: Gateway,
    second: Gateway,
    client: Asker,
    _redis: Redis,
}

impl Stopping {
    async fn begin(name: &str, deadline: &str) -> Self {
        let redis = Redis::start(name).await;
        let upstream = Counter::start(LONG).await;
        let flags = [
            "--gap-event",
            "stream-gap",
            "--drain-window",
            "1ms",
            "--drain-deadline",
            deadline,
        ];
        let [first, second] = [(); 2].map(|()| gateway(&redis, &upstream, &flags));
        let mut client = Asker::new(true);
        client.read(first.address, HOP).await;
        client.read(second.address, HOP).await;
        // Nobody is connected with it any more.
        first.terminate();
        let closes = async { while TcpStream::connect(first.address).await.is_ok() {} };
        timeout(PATIENCE, closes).await.expect("it lets nobody in");
        client.read(second.address, 10 * HOP).await;
        assert_eq!(client.gaps.len(), 0);
        Stopping {
            upstream,
            first,
            second,
            client,
            _redis: redis,
        }
    }

    /// The client reads to the end, which is the first gateway's too.
    async fn read_all(&mut self) -> End {
        self.client.read_all(&[self.second.address]).await;
        self.client.assert_in_order();
        assert!(self.first.exit().success());
        assert_eq!(self.upstream.posts(), 1);
        self.client.end
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_reads_to_its_end_what_its_client_reads_elsewhere() {
    let mut stopping = Stopping::begin("answers-elsewhere", "20s").await;
    let until = stopping.client.last() + 100;
    stopping
        .upstream
        .counts
        .until
        .store(until, Ordering::Relaxed);
    assert_eq!(stopping.read_all().await, End::Whole);
    assert_eq!(stopping.client.gaps.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_that_stops_cannot_read_to_its_end_is_told_to_be_broken_off() {
    let mut stopping = Stopping::begin("answers-deadline", "1s").await;
    assert_eq!(stopping.read_all().await, End::BrokenOff);
    assert_eq!(stopping.client.gaps, [stopping.client.numbers.len()]);
}
