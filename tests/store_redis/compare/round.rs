//! A store and its model, side by side.

use std::collections::VecDeque;
use std::time::Duration;

use tower_sse::store::redis::{Beat, Connection, Heard, Name, Secret, Tail};
use tower_sse::store::{Acquired, Answer, Appended, Command, InstanceId, Model, Rules, SESSION};

use super::choose::{Operation, operation};
use crate::random::Random;
use crate::server::{Admin, HOUR, Server};

const INSTANCES: u64 = 3;
/// The streams that are used, and behind them as many where those are put that have ended.
const STREAMS: u64 = 2;
const TAG: &str = "0";

pub(super) struct Round<'a> {
    server: &'a Server,
    seed: u64,
    random: Random,
    admin: Admin,
    connections: Vec<Connection>,
    tail: Tail,
    names: Vec<Name>,
    model: Model,
    saved: Option<(Model, [bool; INSTANCES as usize])>,
    now: u64,
    is_alive: [bool; INSTANCES as usize],
    /// The last one of each stream.
    last: Vec<Option<Command>>,
    expected: VecDeque<Heard>,
    history: Vec<String>,
}

impl<'a> Round<'a> {
    pub(super) async fn begin(server: &'a Server, seed: u64) -> Self {
        let secret = Secret::new(&[7; 32]).unwrap();
        let mut admin = server.admin().await;
        let () = admin.run("FLUSHALL").await;
        let (connections, tail) = connect(server).await;
        let names = (0..2 * STREAMS).map(|stream| secret.name(b"", &stream.to_be_bytes()));
        let mut round = Round {
            server,
            seed,
            random: Random::new(seed),
            admin,
            model: Model::new(connections[0].reign(), Rules::default()),
            connections,
            tail,
            names: names.collect(),
            saved: None,
            now: 0,
            is_alive: [false; INSTANCES as usize],
            last: vec![None; STREAMS as usize],
            expected: VecDeque::new(),
            history: Vec::new(),
        };
        round.subscribe().await;
        round
    }

    /// Does something, and says what came of it.
    pub(super) async fn step(&mut self) -> &'static str {
        let stream = self.random.below(STREAMS);
        let instance = self.random.below(INSTANCES);
        let snapshot = self.model.read(stream, u64::MAX);
        let last = self.last[stream as usize].as_ref();
        let operation = operation(&mut self.random, &snapshot, last);
        let said = format!("stream {stream}, instance {instance}: {operation:?}");
        self.history.push(said);
        let outcome = self.carry_out(stream, instance, operation).await;
        self.hear().await;
        outcome
    }

    /// Whatever was published has been heard, and nothing else.
    pub(super) async fn end(mut self) {
        self.carry_out(0, 0, Operation::Execute(Command::Ask)).await;
        self.hear().await;
    }

    async fn carry_out(
        &mut self,
        stream: u64,
        instance: u64,
        operation: Operation,
    ) -> &'static str {
        let id = InstanceId(instance);
        let name = self.names[stream as usize];
        let connection = &mut self.connections[instance as usize];
        match operation {
            Operation::Execute(command) => {
                if !matches!(command, Command::Read { .. }) {
                    self.last[stream as usize] = Some(command.clone());
                }
                let real = connection.execute(&name, command.clone()).await.unwrap();
                let (model, published) = self.model.execute((stream, id), command, self.now);
                let heard = published.map(|it| Heard::Message(name, it.message));
                self.expected.extend(heard);
                let outcome = outcome(&model);
                self.compare(real, model);
                outcome
            }
            Operation::Tell(fence, note) => {
                let real = connection.tell(&name, fence, &note).await.unwrap();
                let model = self.model.tell(stream, fence, note);
                self.compare(real, model);
                "tell"
            }
            Operation::Told => {
                let real = connection.told(&name).await.unwrap();
                let model = self.model.told(stream).filter(|note| !note.is_empty());
                let model = model.cloned();
                self.compare(real, model);
                "told"
            }
            Operation::Crowd(is_in) => {
                connection.crowd(&name, is_in).await.unwrap();
                self.model.crowd(stream, id, is_in);
                "crowd"
            }
            Operation::CrowdOf => {
                let mut real = connection.crowd_of(&name).await.unwrap();
                real.sort();
                let model = self.model.crowd_of(stream, self.now);
                self.compare(real, model);
                "crowd of"
            }
            Operation::Anew => {
                let aside = STREAMS + self.random.below(STREAMS);
                let aside_name = self.names[aside as usize];
                let real = connection.anew(&name, &aside_name).await.unwrap();
                let model = self.model.anew(stream, aside);
                self.compare(real, model);
                self.compare_aside(aside, id).await;
                if model {
                    "anew: done"
                } else {
                    "anew: not ended"
                }
            }
            Operation::Beat => {
                self.beat(instance).await;
                "beat"
            }
            Operation::Lapse => {
                self.lapse(instance).await;
                "lapse"
            }
            Operation::Save => {
                let () = self.admin.run("SAVE").await;
                self.saved = Some((self.model.clone(), self.is_alive));
                "save"
            }
            Operation::Restart => {
                self.restart().await;
                "restart"
            }
        }
    }

    async fn compare_aside(&mut self, aside: u64, id: InstanceId) {
        let name = self.names[aside as usize];
        let connection = &mut self.connections[id.0 as usize];
        let all = Command::Read { from: 0 };
        let read = connection.execute(&name, all.clone()).await.unwrap();
        let mut crowd = connection.crowd_of(&name).await.unwrap();
        crowd.sort();
        let (model, _) = self.model.execute((aside, id), all, self.now);
        self.compare(read, model);
        self.compare(crowd, self.model.crowd_of(aside, self.now));
    }

    /// The session is made to last, so that it ends when the test says so and not when the machine is slow.
    async fn beat(&mut self, instance: u64) {
        let id = InstanceId(instance);
        let session = self.server.keys().session(TAG, id);
        let mut lasts = false;
        while !lasts {
            let moved = vec![(self.names[0], self.random.below(u64::MAX))];
            let connection = &mut self.connections[instance as usize];
            connection.beat(TAG, moved.clone()).await.unwrap();
            self.expected.push_back(Heard::Beat(
                0,
                Beat {
                    instance: id,
                    moved,
                },
            ));
            let command = format!("PEXPIRE {session} {}", HOUR.as_millis());
            lasts = self.admin.run(&command).await;
        }
        self.model.beat(id, self.now);
        self.is_alive[instance as usize] = true;
    }

    async fn lapse(&mut self, instance: u64) {
        let session = self.server.keys().session(TAG, InstanceId(instance));
        let _: bool = self.admin.run(&format!("PEXPIRE {session} 1")).await;
        while self.admin.run(&format!("EXISTS {session}")).await {}
        self.is_alive[instance as usize] = false;
        self.now += SESSION;
        self.keep_alive();
    }

    /// Those live in the model that live in the store.
    fn keep_alive(&mut self) {
        for other in (0..INSTANCES).filter(|other| self.is_alive[*other as usize]) {
            self.model.beat(InstanceId(other), self.now);
        }
    }

    async fn restart(&mut self) {
        let saved = self.saved.take().filter(|_| self.random.below(4) > 0);
        match saved {
            Some((model, is_alive)) => {
                let () = self.admin.run("DEBUG RELOAD NOSAVE").await;
                self.model = model;
                self.is_alive = is_alive;
            }
            None => {
                let () = self.admin.run("FLUSHALL").await;
                self.model.restart_empty(self.model.reign());
                self.is_alive = [false; INSTANCES as usize];
            }
        }
        // As if a replica had taken over.
        let () = self.admin.run("DEBUG CHANGE-REPL-ID").await;
        (self.connections, self.tail) = connect(self.server).await;
        let reign = self.connections[0].reign();
        assert_ne!(reign, self.model.reign());
        self.model.forget(0, reign);
        self.keep_alive();
        self.subscribe().await;
    }

    async fn subscribe(&mut self) {
        self.tail.subscribe(&self.names).await.unwrap();
        self.tail.subscribe_beats(&[TAG]).await.unwrap();
    }

    async fn hear(&mut self) {
        while let Some(expected) = self.expected.pop_front() {
            let heard = tokio::time::timeout(Duration::from_secs(60), self.tail.next()).await;
            self.compare(heard.expect("what was published is heard"), Some(expected));
        }
    }

    #[track_caller]
    fn compare<T: PartialEq + std::fmt::Debug>(&self, real: T, model: T) {
        if real != model {
            for step in &self.history {
                println!("{step}");
            }
            panic!(
                "SEED={}: the store says\n{real:?}\nand the model\n{model:?}",
                self.seed
            );
        }
    }
}

async fn connect(server: &Server) -> (Vec<Connection>, Tail) {
    let mut connections = Vec::new();
    for instance in 0..INSTANCES {
        connections.push(server.connect(instance).await);
    }
    (connections, server.tail().await)
}

fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Read(snapshot) if snapshot.meta.is_none() => "read: no log",
        Answer::Read(snapshot) if snapshot.frames.is_empty() => "read: no frames",
        Answer::Read(_) => "read: frames",
        Answer::Acquired(Acquired::Own(_)) => "acquire: own",
        Answer::Acquired(Acquired::Changed(..)) => "acquire: changed",
        Answer::Acquired(Acquired::Busy(_)) => "acquire: busy",
        Answer::Acquired(Acquired::Ended) => "acquire: ended",
        Answer::Acquired(Acquired::Dead) => "acquire: dead",
        Answer::Appended(Appended::Done) => "append, finish: done",
        Answer::Appended(Appended::At(_)) => "append, finish: at",
        Answer::Appended(Appended::Fenced) => "append, finish: fenced",
        Answer::Done => "leave, ask",
    }
}
