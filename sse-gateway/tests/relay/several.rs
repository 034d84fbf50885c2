//! Several gateways that share streams by a real Redis server, and clients that hop between them while gateways are killed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::admin::{admin, admin_until, metric};
use crate::chains::{Feed, Ids};
use crate::client::get;
use crate::gateway::{Gateway, PATIENCE, refusal_with};
use crate::redis::Redis;

const CLIENTS: usize = 20;
const ROUNDS: usize = 10;
/// Events that come while a client reads from one gateway, about.
const HOP: usize = 10;

/// Where gateways are.
type Places = Arc<Mutex<Vec<SocketAddr>>>;

/// Comes back with its last event ID, each time to another gateway.
struct Hopper {
    number: usize,
    places: Places,
    visits: usize,
    last_id: Option<String>,
    last: u32,
    is_told: bool,
    told: usize,
}

impl Hopper {
    fn new(number: usize, places: &Places) -> Self {
        Hopper {
            number,
            places: places.clone(),
            visits: number,
            last_id: None,
            last: 0,
            is_told: false,
            told: 0,
        }
    }

    /// Reads up to the event with this number.
    async fn read(&mut self, number: u32) {
        let reading = async {
            while self.last < number {
                // A gateway may be killed at any moment.
                if self.visit(number).await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
            }
        };
        if timeout(PATIENCE, reading).await.is_err() {
            panic!("client {} waits behind {}", self.number, self.last);
        }
    }

    async fn visit(&mut self, number: u32) -> std::io::Result<()> {
        self.visits += 1;
        let place = {
            let places = self.places.lock().expect("places");
            places[self.visits % places.len()]
        };
        let mut stream = TcpStream::connect(place).await?;
        let id = self.last_id.iter().map(|id| format!("Last-Event-ID: {id}"));
        let mut lines = vec!["Connection: close".to_owned()];
        lines.extend(id);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        stream.write_all(get(&lines).as_bytes()).await?;
        let mut lines = BufReader::new(stream).lines();
        let (mut id, mut kind, mut data) = (None, None, None);
        let mut events = 0;
        while events < HOP && self.last < number {
            let Some(line) = lines.next_line().await? else {
                break;
            };
            match line.split_once(": ") {
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("event", value)) => kind = Some(value.to_owned()),
                Some(("data", value)) => data = Some(value.to_owned()),
                _ => {}
            }
            if line.is_empty() {
                self.last_id = id.take().or(self.last_id.take());
                if let Some(data) = data.take() {
                    self.take(kind.take(), &data);
                    events += 1;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, kind: Option<String>, data: &str) {
        if kind.is_some() {
            self.is_told = true;
            self.told += 1;
            return;
        }
        let number: u32 = data.parse().expect("a number");
        let is_told = std::mem::take(&mut self.is_told);
        let is_first = self.last == 0;
        let follows = number == self.last + 1 || is_first || is_told && number > self.last;
        assert!(
            follows,
            "client {}: {number} behind {}",
            self.number, self.last
        );
        self.last = number;
    }
}

async fn gateways(redis: &Redis, feed: &Feed, count: usize) -> Vec<Gateway> {
    (0..count).map(|_| gateway(redis, feed)).collect()
}

fn gateway(redis: &Redis, feed: &Feed) -> Gateway {
    let flags = redis.flags(&["--share", "on"]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Gateway::with_admin(&feed.url, &flags)
}

async fn owner(gateways: &[Gateway]) -> usize {
    let find = async {
        loop {
            for (at, gateway) in gateways.iter().enumerate() {
                if metric(gateway, "sse_store_owned").await > 0 {
                    return at;
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, find).await.expect("an owner")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_that_reads_the_upstream_is_killed_again_and_again_and_nothing_is_lost() {
    let redis = Redis::start("killed").await;
    let feed = Feed::start(Ids::All).await;
    let mut gateways = gateways(&redis, &feed, 3).await;
    let places: Places = Arc::default();
    let set = |gateways: &[Gateway]| {
        *places.lock().expect("places") = gateways.iter().map(|one| one.address).collect();
    };
    set(&gateways);
    let mut last = 0;
    let mut hoppers: Vec<_> = (0..CLIENTS)
        .map(|number| Hopper::new(number, &places))
        .collect();
    for _ in 0..ROUNDS {
        let reading: Vec<_> = hoppers
            .drain(..)
            .map(|mut hopper| {
                let until = last + 100;
                tokio::spawn(async move {
                    hopper.read(until).await;
                    hopper
                })
            })
            .collect();
        for step in 0..10 {
            if step == 5 {
                let killed = owner(&gateways).await;
                gateways.remove(killed);
                set(&gateways);
            }
            feed.publish(10);
            sleep(Duration::from_millis(20)).await;
        }
        last += 100;
        gateways.push(gateway(&redis, &feed));
        set(&gateways);
        for reading in reading {
            hoppers.push(reading.await.expect("a client that has read all"));
        }
    }
    for hopper in &hoppers {
        assert_eq!(
            (hopper.last, hopper.told),
            (last, 0),
            "client {}",
            hopper.number
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_streams_says_where_the_upstream_is_read() {
    let redis = Redis::start("list").await;
    let feed = Feed::start(Ids::All).await;
    let gateways = gateways(&redis, &feed, 2).await;
    let places: Places = Arc::default();
    *places.lock().expect("places") = gateways.iter().map(|one| one.address).collect();
    let mut hoppers = [Hopper::new(0, &places), Hopper::new(1, &places)];
    for hopper in &mut hoppers {
        let publish = async {
            loop {
                feed.publish(1);
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = hopper.read(30) => {}
            () = publish => {}
        }
    }
    let at = owner(&gateways).await;
    admin_until(&gateways[at], "/streams", |text| {
        text.contains("\"connected\"")
    })
    .await;
    let other = admin(&gateways[1 - at], "/streams").await;
    assert!(other.contains("\"elsewhere\""), "{other}");
    let named = |text: &str, key: &str| {
        let (_, rest) = text.split_once(&format!("\"{key}\":\""))?;
        rest.split_once('"').map(|(name, _)| name.to_owned())
    };
    let own = admin(&gateways[at], "/streams").await;
    let instance = named(&own, "instance").expect("its name");
    assert_eq!(named(&own, "owner"), Some(instance.clone()));
    assert_eq!(named(&other, "owner"), Some(instance.clone()));
    assert_ne!(named(&other, "instance"), Some(instance.clone()));
    gateways[at].log_with(&instance);
    for gateway in &gateways {
        assert_eq!(metric(gateway, "sse_store_up").await, 1);
        assert_eq!(metric(gateway, "sse_store_streams").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_streams_need_no_store_starts_without_it_and_uses_it_once_it_is_there() {
    let mut redis = Redis::start("late").await;
    redis.kill();
    let feed = Feed::start(Ids::All).await;
    let mut flags = redis.flags(&["--share", "on"]);
    flags.extend(["--store-down", "local"].map(str::to_owned));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let gateway = Gateway::with_admin(&feed.url, &flags);
    assert_eq!(metric(&gateway, "sse_store_up").await, 0);
    gateway.log_with("the store is away");
    redis.process = Redis::run(&redis.directory);
    admin_until(&gateway, "/metrics", |text| text.contains("sse_store_up 1")).await;
    gateway.log_with("the store is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_waits_a_while_for_a_store_that_starts_with_it_and_says_so_where_none_comes() {
    let mut redis = Redis::start("together").await;
    redis.kill();
    let feed = Feed::start(Ids::All).await;
    let starting = tokio::task::spawn_blocking({
        let (url, flags) = (feed.url.clone(), redis.flags(&["--share", "on"]));
        move || {
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            Gateway::with_admin(&url, &flags)
        }
    });
    sleep(Duration::from_millis(300)).await;
    redis.process = Redis::run(&redis.directory);
    let gateway = starting.await.expect("it starts");
    assert_eq!(metric(&gateway, "sse_store_up").await, 1);
    drop(gateway);

    redis.kill();
    let (url, flags) = (feed.url.clone(), redis.flags(&["--share", "on"]));
    let refused = tokio::task::spawn_blocking(move || refusal_with(&url, &flags)).await;
    let told = refused.expect("it ends");
    assert!(
        told.contains("--store: the store cannot be reached"),
        "{told}"
    );
    assert!(told.contains("--store-down local"), "{told}");
    assert_eq!(told.matches("the store").count(), 1, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_was_paused_finds_another_in_its_place_and_follows_it() {
    let redis = Redis::start("paused").await;
    let feed = Feed::start(Ids::All).await;
    let gateways = gateways(&redis, &feed, 2).await;
    let places: Places = Arc::default();
    let set = |some: &[SocketAddr]| *places.lock().expect("places") = some.to_vec();
    let all: Vec<_> = gateways.iter().map(|one| one.address).collect();
    set(&all);
    let mut hoppers: Vec<_> = (0..4).map(|number| Hopper::new(number, &places)).collect();
    let mut last = 0;
    for _ in 0..3 {
        last = read_on(&feed, &mut hoppers, last).await;
        let paused = owner(&gateways).await;
        gateways[paused].signal("-STOP");
        set(&[all[1 - paused]]);
        last = read_on(&feed, &mut hoppers, last).await;
        assert_eq!(metric(&gateways[1 - paused], "sse_store_owned").await, 1);
        gateways[paused].signal("-CONT");
        set(&all);
        last = read_on(&feed, &mut hoppers, last).await;
        assert_eq!(metric(&gateways[paused], "sse_store_owned").await, 0);
    }
    assert!(hoppers.iter().all(|hopper| hopper.told == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_stops_hands_its_streams_over() {
    let redis = Redis::start("stops").await;
    let feed = Feed::start(Ids::All).await;
    let mut gateways = gateways(&redis, &feed, 2).await;
    let places: Places = Arc::default();
    let set = |some: &[SocketAddr]| *places.lock().expect("places") = some.to_vec();
    set(&[gateways[0].address]);
    let mut hoppers = [Hopper::new(0, &places), Hopper::new(1, &places)];
    let last = read_on(&feed, &mut hoppers, 0).await;
    set(&[gateways[1].address]);
    let last = read_on(&feed, &mut hoppers, last).await;
    assert_eq!(metric(&gateways[0], "sse_store_owned").await, 1);
    gateways[0].terminate();
    assert!(gateways[0].exit().success());
    read_on(&feed, &mut hoppers, last).await;
    assert_eq!(metric(&gateways[1], "sse_store_owned").await, 1);
    assert!(hoppers.iter().all(|hopper| hopper.told == 0));
}

/// Events come until all clients have read so many more. Gives the last one's number.
async fn read_on(feed: &Feed, hoppers: &mut [Hopper], last: u32) -> u32 {
    const MORE: u32 = 50;
    let mut published = last;
    let publishing = async {
        loop {
            feed.publish(1);
            published += 1;
            sleep(Duration::from_millis(5)).await;
        }
    };
    let reading = hoppers.iter_mut().map(|hopper| hopper.read(last + MORE));
    tokio::select! {
        _ = join_all(reading) => {}
        () = publishing => {}
    }
    published
}
