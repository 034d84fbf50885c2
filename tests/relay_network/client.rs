//! A client that does as an `EventSource` does: it comes back with its last event ID. It is cut at any byte, leaves
//! when it likes, and is slow at times.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::gateway::SILENCE;
use crate::oracle::{self, Effect, Seen};
use crate::plan::{Asks, CLIENTS, ClientPlan, Host, pick};
use crate::random::Random;
use crate::socket::Socket;
use crate::world::World;

/// A client from its first request to the one that says that there is no more.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) asks: Asks,
    pub(crate) connections: Vec<Connection>,
    pub(crate) is_over: bool,
}

/// A response to a client that was an event stream.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sent_id: String,
    pub(crate) bytes: Vec<u8>,
    /// It ended with an end, rather than being cut.
    pub(crate) ended: bool,
}

impl Connection {
    /// What a client makes of it, which keeps its last event ID from before.
    pub(crate) fn read(&self) -> Seen {
        let before = match self.sent_id.as_str() {
            "" => String::new(),
            id => format!("id: {id}\n\n"),
        };
        oracle::read_unmarked(&[before.as_bytes(), &self.bytes].concat())
    }
}

pub(crate) async fn run(world: Arc<World>, number: u64) -> turmoil::Result {
    let mut client = Client {
        random: world.random(),
        cuts: world.cuts.subscribe(),
        plan: world.plan.client(number).clone(),
        in_crowd: number >= CLIENTS,
        world,
        number: number as usize,
        reconnection: Duration::from_millis(300),
    };
    sleep(Duration::from_millis(client.random.below(2_000))).await;
    for life in 0.. {
        client.live(life).await;
    }
    Ok(())
}

/// Runs the clients of the crowd, which are on one host.
pub(crate) async fn run_crowd(world: Arc<World>) -> turmoil::Result {
    let mut clients = JoinSet::new();
    for number in CLIENTS..world.plan.count_clients() {
        clients.spawn_local(run(world.clone(), number));
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(())
}

struct Client {
    world: Arc<World>,
    plan: ClientPlan,
    in_crowd: bool,
    /// Told when the crowd is cut.
    cuts: watch::Receiver<u64>,
    number: usize,
    random: Random,
    reconnection: Duration,
}

enum Answer {
    Stream(Response<Incoming>),
    /// There is no more, or there never was.
    Over,
    Again,
}

impl Client {
    async fn live(&mut self, life: u64) {
        let asks = self.plan.asks;
        self.world.state().lives[self.number].push(Life {
            asks,
            connections: Vec::new(),
            is_over: false,
        });
        // What is asked for once.
        let name = format!("client-{}-{life}", self.number);
        let mut last_id = String::new();
        loop {
            let slow_one_in = self.plan.slow_one_in;
            let is_slow =
                !self.world.is_calm() && slow_one_in > 0 && self.random.below(slow_one_in) == 0;
            match self.ask(asks, &name, &last_id, is_slow).await {
                Answer::Stream(response) => {
                    self.read(&last_id, response, is_slow).await;
                    last_id = self.learn();
                }
                Answer::Over => break,
                Answer::Again => {}
            }
            let ended = self.is_answered(asks);
            // Without an id it would be asked for anew.
            if ended || (asks == Asks::Answer && last_id.is_empty()) {
                break;
            }
            // The crowd comes back all at once.
            let more = if self.in_crowd {
                0
            } else {
                self.random.below(400)
            };
            sleep(self.reconnection + Duration::from_millis(more)).await;
        }
        self.note("is done");
        self.world.state().lives[self.number]
            .last_mut()
            .unwrap()
            .is_over = true;
        sleep(Duration::from_millis(200 + self.random.below(2_000))).await;
    }

    async fn ask(&mut self, asks: Asks, name: &str, last_id: &str, is_slow: bool) -> Answer {
        let Ok(mut socket) = Socket::connect(&Host::Gateway(0).name(), SILENCE).await else {
            self.note("is not let in");
            return Answer::Again;
        };
        let cut_one_in = self.plan.cut_one_in;
        if !self.world.is_calm() && cut_one_in > 0 && self.random.below(cut_one_in) == 0 {
            let most = pick(&mut self.random, &[400, 2_000, 10_000]);
            socket.reads = Some(self.random.below(most) as usize);
        }
        if is_slow {
            socket.pause = Some(Duration::from_millis(30 + self.random.below(300)));
        }
        let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(socket)).await else {
            return Answer::Again;
        };
        tokio::spawn(connection);
        let request = match asks {
            Asks::Shared => Request::get("/shared"),
            Asks::Own => Request::get("/own"),
            Asks::Answer => Request::post("/own").header("x-request", name),
        };
        let request = match last_id {
            "" => request,
            id => request.header("last-event-id", id),
        };
        let request = request
            .header("host", "gateway")
            .header("accept", "text/event-stream");
        self.note(&format!(
            "asks {asks:?} {name}, behind {last_id:?}, slow {is_slow}"
        ));
        let body = match asks {
            Asks::Answer => "what it is about",
            Asks::Shared | Asks::Own => "",
        };
        let request = request.body(Full::<Bytes>::from(body)).unwrap();
        let Ok(response) = sender.send_request(request).await else {
            self.note("gets no answer");
            return Answer::Again;
        };
        self.note(&format!("is answered {}", response.status()));
        match response.status() {
            StatusCode::OK => Answer::Stream(response),
            StatusCode::NO_CONTENT => Answer::Over,
            _ => Answer::Again,
        }
    }

    async fn read(&mut self, sent_id: &str, response: Response<Incoming>, is_slow: bool) {
        let connection = Connection {
            sent_id: sent_id.into(),
            bytes: Vec::new(),
            ended: false,
        };
        self.with_life(|life| life.connections.push(connection));
        let leaves = match self.random.below(4) {
            0 if !self.world.is_calm() && !self.in_crowd => self.random.below(4_000),
            _ => 1_000_000,
        };
        let leaves = Instant::now() + Duration::from_millis(leaves);
        let mut body = response.into_body();
        self.cuts.mark_unchanged();
        while Instant::now() < leaves && !(is_slow && self.world.is_calm()) {
            let frame = tokio::select! {
                biased;
                _ = self.cuts.changed(), if self.in_crowd => return,
                frame = timeout(Duration::from_millis(200), body.frame()) => frame,
            };
            let Ok(frame) = frame else { continue };
            match frame {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap();
                    self.with_connection(|connection| connection.bytes.extend_from_slice(&data));
                }
                Some(Err(_)) => return self.note("is cut"),
                None => {
                    self.with_connection(|connection| connection.ended = true);
                    return self.note("has read to the end");
                }
            }
        }
        self.note("leaves");
    }

    /// What it has learned from what it has read last.
    fn learn(&mut self) -> String {
        let mut seen = Seen::default();
        self.with_connection(|connection| seen = connection.read());
        for effect in &seen.effects {
            if let Effect::Reconnection(millis) = effect {
                self.reconnection = Duration::from_millis(*millis);
            }
        }
        seen.last_event_id
    }

    /// Whether the end of the answer was read.
    fn is_answered(&self, asks: Asks) -> bool {
        let mut ended = false;
        self.with_life(|life| ended = life.connections.last().is_some_and(|last| last.ended));
        asks == Asks::Answer && ended
    }

    fn with_life(&self, then: impl FnOnce(&mut Life)) {
        then(self.world.state().lives[self.number].last_mut().unwrap());
    }

    fn with_connection(&self, then: impl FnOnce(&mut Connection)) {
        self.with_life(|life| then(life.connections.last_mut().unwrap()));
    }

    fn note(&self, what: &str) {
        self.world.note(format!("client {} {what}", self.number));
    }
}
