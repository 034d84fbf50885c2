//! Exactly once, and in order: random schedules of events, failures, drops, reconnects, evictions and restarts.
//!
//! The seed of a schedule that fails is printed; `SEED=… cargo test --features relay --test relay schedules` runs it alone.
//! It is the schedule that a seed fixes, not the chance in the waits of a relay.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Key, RelayInfo, RelayLayer, SlowClient, UpstreamState};

use crate::client::{App, Client, app, get, send};
use crate::random::Random;
use crate::upstream::{Call, Fake, Stream, upstream};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Sets ids and resumes behind the one it is given.
    Resumes,
    /// Sets ids and begins anew with each connection.
    BeginsAnew,
    /// Sets no ids and goes on with what comes next.
    Forgets,
}

struct World {
    random: Random,
    kind: Kind,
    fake: Fake,
    calls: Receiver<Call>,
    streams: Vec<Stream>,
    /// The number of the last event.
    sent: u64,
    layer: RelayLayer,
    app: App,
    clients: Vec<Slot>,
    gaps: u64,
    seed: u64,
}

#[derive(Default)]
struct Slot {
    open: Option<Client>,
    last_id: String,
    seen: Option<u64>,
    told: bool,
}

impl World {
    fn new(seed: u64, kind: Kind) -> Self {
        let mut random = Random::new(seed);
        let (fake, calls) = upstream();
        let layer = layer(&mut random, kind);
        let app = app(&layer, &fake);
        World {
            random,
            kind,
            fake,
            calls,
            streams: Vec::new(),
            sent: 0,
            layer,
            app,
            clients: (0..4).map(|_| Slot::default()).collect(),
            gaps: 0,
            seed,
        }
    }

    async fn step(&mut self) {
        let slot = self.random.below(4) as usize;
        // Somebody stays, or an upstream that begins anew would rightly be read anew.
        let stays = self.kind == Kind::BeginsAnew && slot == 0;
        match self.random.below(20) {
            0..=5 => self.emit().await,
            6 => self.fail().await,
            7 => self.streams.clear(),
            8..=12 => self.read(slot).await,
            13 if !stays => self.drop_in_the_middle(slot).await,
            14..=16 => self.connect(slot).await,
            17 => sleep(Duration::from_millis(self.random.below(3_000))).await,
            18 if self.kind != Kind::BeginsAnew => sleep(Duration::from_secs(15)).await,
            19 if self.kind != Kind::BeginsAnew && self.random.below(4) == 0 => self.restart(),
            _ => {}
        }
        self.answer().await;
    }

    /// Sends some events, cut anywhere.
    async fn emit(&mut self) {
        let first = self.sent + 1;
        self.sent += self.random.below(6);
        let bytes = self.events(first, self.sent);
        self.streams.retain(|stream| !stream.is_cancelled());
        for stream in &self.streams {
            send_cut(&mut self.random, stream, bytes.clone()).await;
        }
    }

    async fn fail(&mut self) {
        for stream in self.streams.drain(..) {
            if self.random.below(2) == 0 {
                stream.try_send("id: 99999\ndata: half an ev").await;
            }
            stream.try_fail().await;
        }
    }

    fn events(&self, first: u64, last: u64) -> Bytes {
        let mut all = String::new();
        for number in first..=last {
            if self.kind != Kind::Forgets {
                all += &format!("id: {number}\n");
            }
            all += &format!("data: {number}\n\n");
        }
        all.into()
    }

    /// Answers what was asked for, mostly well.
    async fn answer(&mut self) {
        sleep(Duration::from_millis(1)).await;
        while let Ok(call) = self.calls.try_recv() {
            match self.random.below(8) {
                0 => drop(call.answer(503, &[])),
                1 => call.open().try_fail().await,
                _ => self.open(call).await,
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn open(&mut self, call: Call) {
        let from = match (self.kind, call.last_event_id()) {
            (Kind::Resumes, Some(id)) => id.parse::<u64>().unwrap() + 1,
            (Kind::BeginsAnew, _) => 1,
            (Kind::Forgets, Some(id)) => panic!("it knows no {id}"),
            _ => self.sent + 1,
        };
        let stream = call.open();
        let bytes = self.events(from, self.sent);
        send_cut(&mut self.random, &stream, bytes).await;
        self.streams.push(stream);
    }

    async fn connect(&mut self, slot: usize) {
        if self.clients[slot].open.is_some() {
            return;
        }
        let mut request = get("/");
        let id = &self.clients[slot].last_id;
        if !id.is_empty() {
            request = request.header("last-event-id", id);
        }
        let waiting = send(&self.app, request, "");
        self.answer().await;
        let answer = waiting.answer().await;
        if answer.status() == 200 {
            self.clients[slot].open = Some(Client::of(answer));
        }
    }

    /// Reads all there is.
    async fn read(&mut self, slot: usize) {
        let Some(mut client) = self.clients[slot].open.take() else {
            return;
        };
        loop {
            match timeout(Duration::from_millis(2_100), client.next()).await {
                Ok(Some(event)) => self.check(slot, event),
                Ok(None) => break,
                Err(_) => {
                    self.clients[slot].open = Some(client);
                    return;
                }
            }
            self.clients[slot].last_id.clone_from(&client.last_id);
        }
    }

    async fn drop_in_the_middle(&mut self, slot: usize) {
        let Some(mut client) = self.clients[slot].open.take() else {
            return;
        };
        let Ok(Some(chunk)) = timeout(Duration::from_millis(10), client.chunk()).await else {
            return;
        };
        let cut = self.random.below(chunk.len() as u64 + 1) as usize;
        for event in client.dispatched(chunk.slice(..cut)) {
            self.check(slot, event);
            self.clients[slot].last_id.clone_from(&client.last_id);
        }
    }

    /// Another process, which knows nothing of what was.
    fn restart(&mut self) {
        self.layer = layer(&mut self.random, self.kind);
        self.app = app(&self.layer, &self.fake);
        for slot in &mut self.clients {
            slot.open = None;
        }
    }

    fn check(&mut self, slot: usize, event: tower_sse::wire::Event) {
        let seed = self.seed;
        let slot = &mut self.clients[slot];
        let data = String::from_utf8(event.data().unwrap().to_vec()).unwrap();
        if event.event_type() == b"stream-gap" {
            slot.told = true;
            self.gaps += 1;
            return;
        }
        let number: u64 = data.parse().expect("no half event is given");
        if let Some(seen) = slot.seen {
            assert!(number > seen, "seed {seed}: {number} behind {seen}");
            assert!(
                number == seen + 1 || slot.told,
                "seed {seed}: {number} behind {seen}, and nothing was said"
            );
        }
        slot.seen = Some(number);
        slot.told = false;
    }

    /// When all is well again, everybody gets what comes.
    async fn settle(&mut self) {
        // What was held up comes when it is read: also that the upstream has ended.
        let mut calm = 0;
        for _ in 0..300 {
            let is_calm = self.round().await;
            calm = if is_calm { calm + 1 } else { 0 };
            if calm == 3 {
                break;
            }
        }
        self.streams.retain(|stream| !stream.is_cancelled());
        self.sent += 1;
        for stream in &self.streams {
            stream.try_send(self.events(self.sent, self.sent)).await;
        }
        // They read one after the other, and the fastest of them may leave the others behind.
        for _ in 0..10 {
            self.round().await;
            if self.clients.iter().all(|slot| slot.seen == Some(self.sent)) {
                return;
            }
        }
        let seen: Vec<_> = self.clients.iter().map(|slot| slot.seen).collect();
        panic!("seed {}: {seen:?} of {}", self.seed, self.sent);
    }

    /// Everybody comes back and reads. Whether all are there, and nothing waits to be read.
    async fn round(&mut self) -> bool {
        sleep(Duration::from_secs(1)).await;
        self.answer().await;
        for slot in 0..4 {
            self.connect(slot).await;
        }
        for slot in 0..4 {
            self.read(slot).await;
        }
        self.streams.retain(|stream| !stream.is_cancelled());
        let relays = self.layer.relays();
        let is_up = |relay: &RelayInfo| relay.upstream == UpstreamState::Connected;
        relays.iter().any(is_up)
            && self.streams.iter().all(|stream| stream.untaken() == 0)
            && self.clients.iter().all(|slot| slot.open.is_some())
    }
}

fn layer(random: &mut Random, kind: Kind) -> RelayLayer {
    let events = match kind {
        Kind::BeginsAnew => 10_000,
        _ => [3, 10, 1000][random.below(3) as usize],
    };
    let slow = [SlowClient::Disconnect, SlowClient::Skip, SlowClient::Latest];
    RelayLayer::shared_in(Key::default(), MemoryHistory::new().with_events(events))
        .with_slow_client(slow[random.below(3) as usize])
}

async fn send_cut(random: &mut Random, stream: &Stream, mut bytes: Bytes) {
    while !bytes.is_empty() {
        let len = (1 + random.below(60) as usize).min(bytes.len());
        stream.try_send(bytes.split_to(len)).await;
        if random.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn run(kind: Kind, schedules: u64) {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..schedules).collect::<Vec<u64>>(),
    };
    let mut gaps = 0;
    let mut events = 0;
    for seed in seeds {
        println!("{kind:?}: seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new(seed, kind);
            for _ in 0..80 {
                world.step().await;
            }
            world.settle().await;
            gaps += world.gaps;
            events += world.sent;
            let layer = world.layer.clone();
            drop(world);
            sleep(Duration::from_secs(100)).await;
            assert!(layer.relays().is_empty(), "seed {seed}");
            assert_eq!((layer.history().bytes(), layer.history().logs()), (0, 0));
            let tasks = tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks();
            assert_eq!(tasks, 0, "seed {seed}: a task is left");
        });
    }
    println!("{kind:?}: {events} events, {gaps} gaps");
}

#[test]
fn exactly_once_with_an_upstream_that_resumes() {
    run(Kind::Resumes, 1000);
}

#[test]
fn exactly_once_with_an_upstream_that_begins_anew() {
    run(Kind::BeginsAnew, 500);
}

#[test]
fn exactly_once_with_an_upstream_without_ids() {
    run(Kind::Forgets, 1000);
}
