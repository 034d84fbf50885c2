//! Keeps the connections of a process to the store: opens them, serves its streams by them, and opens them again.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::find::Finder;
use super::{Beat, Connection, Heard, Keys, Lifetimes, StoreError, Tail};
use crate::store::outside::{Hub, Job, Look, Queues, Session, Stream, Subscription};
use crate::store::{Answer, BEAT, Beats, Command, Message};

/// Between two looks at the time.
const TICK: Duration = Duration::from_millis(100);
/// Between two attempts to connect, at least and at most. With half of it more, that is shorter than a session: who owns
/// streams is back before another takes its place.
const AGAIN: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(500);
/// How many commands may be without an answer.
const UNDER_WAY: usize = 1_024;
/// How many streams one heartbeat names.
const NAMED: usize = 1_000;
/// How many channels are subscribed to at once.
const AT_ONCE: usize = 256;

/// Where the store is, and how it is used.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) finder: Finder,
    pub(super) keys: Keys,
    pub(super) lifetimes: Lifetimes,
    pub(super) tag: String,
}

/// The connections, before anything was asked of them.
pub(super) struct Links {
    commands: Connection,
    looks: Connection,
    tail: Tail,
}

impl Place {
    pub(super) async fn connect(&self, hub: &Hub) -> Result<Links, StoreError> {
        let server = self.finder.primary().await?;
        let open = || {
            let (keys, lifetimes) = (self.keys.clone(), self.lifetimes);
            Connection::open(&server, hub.me, keys, lifetimes)
        };
        let mut commands = open().await?;
        commands.check_rights(&self.tag).await?;
        let looks = open().await?;
        let mut tail = Tail::open(&server, self.keys.clone()).await?;
        if looks.reign() != commands.reign() || tail.reign() != commands.reign() {
            return Err(StoreError::changed());
        }
        // A session first: without one nothing can be owned.
        commands.beat(&self.tag, Vec::new()).await?;
        tail.subscribe_beats(&self.tag).await?;
        Ok(Links {
            commands,
            looks,
            tail,
        })
    }
}

/// Serves the streams of a process, until nobody has the store any more.
pub(super) async fn serve(
    hub: Arc<Hub>,
    place: Place,
    mut links: Option<Links>,
    mut users: mpsc::Receiver<()>,
) {
    let mut wait = AGAIN;
    let mut number = 0;
    let mut is_known = false;
    while !users.is_closed() {
        let connected = match links.take() {
            Some(links) => Ok(links),
            None => place.connect(&hub).await,
        };
        let error = match connected {
            Ok(links) => {
                if std::mem::take(&mut is_known) {
                    tracing::info!("the store is back");
                }
                number += 1;
                let began = Instant::now();
                let error = run(&hub, &place, number, links, &mut users).await;
                if began.elapsed() > LONGEST / 2 {
                    wait = AGAIN;
                }
                error
            }
            Err(error) => error,
        };
        if !is_known && !users.is_closed() {
            is_known = true;
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "the store is away");
        }
        let spread = hub.chance() % 50;
        sleep(wait + wait.mul_f64(spread as f64 / 100.0)).await;
        wait = (wait * 2).min(LONGEST);
    }
}

/// Until one of the connections is lost, by which all of them are.
async fn run(
    hub: &Arc<Hub>,
    place: &Place,
    number: u64,
    links: Links,
    users: &mut mpsc::Receiver<()>,
) -> StoreError {
    let Links {
        commands,
        looks,
        tail,
    } = links;
    let (session, queues) = Session::new(number, commands.reign());
    let Queues {
        jobs,
        looks: to_look,
        subscriptions,
    } = queues;
    let session = Arc::new(session);
    let _connected = Connected::new(hub, &session);
    let mut beats = Beats::new(hub.me, hub.now());
    beats.tail(true, hub.now());
    let beats = std::sync::Mutex::new(beats);
    let tasks: [Pin<Box<dyn Future<Output = StoreError> + Send + '_>>; 6] = [
        Box::pin(carry_out(hub, number, commands.clone(), jobs)),
        Box::pin(look(number, looks, to_look)),
        Box::pin(hear(hub, &beats, tail, subscriptions)),
        Box::pin(keep_time(hub, place, &beats, commands)),
        Box::pin(async {
            users.recv().await;
            StoreError::behind()
        }),
        Box::pin(async {
            session.broken().await;
            StoreError::behind()
        }),
    ];
    let mut tasks = pin!(tasks);
    poll_fn(|cx| {
        for task in tasks.iter_mut() {
            if let Poll::Ready(error) = task.as_mut().poll(cx) {
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    })
    .await
}

/// The streams know of the connections, until it is dropped.
struct Connected<'a>(&'a Hub);

impl<'a> Connected<'a> {
    fn new(hub: &'a Hub, session: &Arc<Session>) -> Self {
        hub.connected(session);
        Connected(hub)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

type Boxed = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What came of a job.
enum Done {
    Answer(Arc<Stream>, u64, Result<Answer, StoreError>),
    Anew(Arc<Stream>, Result<(), StoreError>),
    Other(Result<(), StoreError>),
}

/// A job that was begun.
enum Begun {
    Running(Boxed),
    Done(Done),
}

/// Carries out commands in their order. Who does not wait for one answer before the next command must not poll them in another.
async fn carry_out(
    hub: &Arc<Hub>,
    session: u64,
    connection: Connection,
    mut jobs: mpsc::Receiver<Job>,
) -> StoreError {
    let mut under_way: VecDeque<Begun> = VecDeque::new();
    poll_fn(|cx| {
        loop {
            let mut is_idle = true;
            while under_way.len() < UNDER_WAY {
                let Poll::Ready(Some(job)) = jobs.poll_recv(cx) else {
                    break;
                };
                is_idle = false;
                let mut running = begin(hub, connection.clone(), job);
                under_way.push_back(match running.as_mut().poll(cx) {
                    Poll::Ready(done) => Begun::Done(done),
                    Poll::Pending => Begun::Running(running),
                });
            }
            while let Some(front) = under_way.front_mut() {
                if let Begun::Running(running) = front {
                    match running.as_mut().poll(cx) {
                        Poll::Ready(done) => *front = Begun::Done(done),
                        Poll::Pending => break,
                    }
                }
                is_idle = false;
                if let Some(Begun::Done(done)) = under_way.pop_front() {
                    if let Err(error) = finish(session, done) {
                        return Poll::Ready(error);
                    }
                }
            }
            if is_idle {
                return Poll::Pending;
            }
        }
    })
    .await
}

fn begin(hub: &Arc<Hub>, mut connection: Connection, job: Job) -> Boxed {
    match job {
        Job::Command(stream, number, command) => Box::pin(async move {
            let is_append = matches!(command, Command::Append { .. });
            let answer = connection.execute(&stream.name, command).await;
            if let (true, Ok(Answer::Appended(appended))) = (is_append, &answer) {
                stream.hub.counts.count(*appended);
            }
            Done::Answer(stream, number, answer)
        }),
        Job::Tell(name, fence, note) => Box::pin(async move {
            let told = connection.tell_all(&name, fence, &note).await;
            Done::Other(told)
        }),
        Job::Crowd(name, is_in) => {
            Box::pin(async move { Done::Other(connection.crowd(&name, is_in).await) })
        }
        Job::CrowdOf(name, sender) => Box::pin(async move {
            let crowd = connection.crowd_of(&name).await;
            Done::Other(crowd.map(|crowd| drop(sender.send(crowd))))
        }),
        Job::Anew(stream) => {
            let aside = hub.secret.name(b"aside", &hub.chance().to_be_bytes());
            Box::pin(async move {
                let anew = connection.anew(&stream.name, &aside).await;
                Done::Anew(stream, anew.map(drop))
            })
        }
        Job::Flush(sender) => Box::pin(async move {
            // It is answered behind all that is under way.
            let reached = connection.reach().await;
            let _ = sender.send(());
            Done::Other(reached)
        }),
        Job::Release(name) => {
            let hub = hub.clone();
            Box::pin(async move {
                // Another relay of this process may follow it by now, and own it.
                let released = match hub.stream(&name) {
                    Some(_) => Ok(()),
                    None => connection.release(&name).await,
                };
                if released.is_ok() {
                    hub.released(&name);
                }
                Done::Other(released)
            })
        }
    }
}

fn finish(session: u64, done: Done) -> Result<(), StoreError> {
    match done {
        Done::Answer(stream, number, answer) => answered(session, &stream, number, answer),
        Done::Anew(stream, Ok(())) => {
            stream.gave_way(session);
            Ok(())
        }
        Done::Anew(stream, Err(error)) => blame(&stream, error),
        // It is of no stream that is followed any more, or is said again.
        Done::Other(Err(error)) if error.is_of_stream() => Ok(()),
        Done::Other(done) => done,
    }
}

fn answered(
    session: u64,
    stream: &Arc<Stream>,
    number: u64,
    answer: Result<Answer, StoreError>,
) -> Result<(), StoreError> {
    match answer {
        Ok(answer) => {
            stream.answered(session, number, answer);
            Ok(())
        }
        Err(error) => blame(stream, error),
    }
}

/// What is wrong with one stream is no reason to give up the connections.
fn blame(stream: &Arc<Stream>, error: StoreError) -> Result<(), StoreError> {
    if !error.is_of_stream() {
        return Err(error);
    }
    stream.leave_alone(&error);
    Ok(())
}

/// Reads logs one by one, on a connection of its own, so that no append waits for it.
async fn look(
    session: u64,
    mut connection: Connection,
    mut looks: mpsc::Receiver<Look>,
) -> StoreError {
    while let Some(look) = looks.recv().await {
        let done = match look {
            Look::Read(stream, number, from) => {
                let read = connection.read_pages(&stream.name, from).await;
                answered(session, &stream, number, read.map(Answer::Read))
            }
            Look::Find(name, sender) => match connection.find(&name).await {
                Ok(found) => {
                    let _ = sender.send(found);
                    Ok(())
                }
                Err(error) if error.is_of_stream() => {
                    let _ = sender.send(None);
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Look::Told(stream) => match connection.told(&stream.name).await {
                Ok(note) => {
                    stream.told(session, note);
                    Ok(())
                }
                Err(error) => blame(&stream, error),
            },
        };
        if let Err(error) = done {
            return error;
        }
    }
    StoreError::behind()
}

enum Next {
    Heard(Option<Heard>),
    Subscription(Option<Subscription>),
}

async fn hear(
    hub: &Arc<Hub>,
    beats: &std::sync::Mutex<Beats>,
    mut tail: Tail,
    mut subscriptions: mpsc::Receiver<Subscription>,
) -> StoreError {
    loop {
        let next = poll_fn(|cx| {
            if let Poll::Ready(first) = subscriptions.poll_recv(cx) {
                return Poll::Ready(Next::Subscription(first));
            }
            pin!(tail.next()).poll(cx).map(Next::Heard)
        });
        match next.await {
            Next::Heard(None) | Next::Subscription(None) => return StoreError::deaf(),
            Next::Heard(Some(heard)) => take_in(hub, beats, heard),
            Next::Subscription(Some(first)) => {
                let mut all = vec![first];
                while let (true, Ok(more)) = (all.len() < AT_ONCE, subscriptions.try_recv()) {
                    all.push(more);
                }
                if let Err(error) = subscribe(hub, &mut tail, all).await {
                    return error;
                }
            }
        }
    }
}

async fn subscribe(
    hub: &Arc<Hub>,
    tail: &mut Tail,
    all: Vec<Subscription>,
) -> Result<(), StoreError> {
    let (mut begun, mut ended) = (Vec::new(), Vec::new());
    for subscription in all {
        match subscription {
            Subscription::Begin(name) => begun.push(name),
            // Another relay may follow it by now.
            Subscription::End(name) if hub.stream(&name).is_none() => ended.push(name),
            Subscription::End(_) => {}
        }
    }
    tail.unsubscribe(&ended).await?;
    tail.subscribe(&begun).await?;
    for name in begun {
        if let Some(stream) = hub.stream(&name) {
            stream.subscribed();
        }
    }
    Ok(())
}

fn take_in(hub: &Hub, beats: &std::sync::Mutex<Beats>, heard: Heard) {
    match heard {
        Heard::Message(name, message) => {
            if let Some(stream) = hub.stream(&name) {
                match message {
                    Message::Told => stream.hear_of_note(),
                    message => stream.hear(&message),
                }
            }
        }
        Heard::Beat(Beat { instance, moved }) => {
            lock(beats).hear(instance, hub.now());
            let moved: HashMap<_, _> = moved.into_iter().collect();
            for stream in hub.streams() {
                stream.beat(instance, moved.get(&stream.name).copied());
            }
        }
    }
}

async fn keep_time(
    hub: &Arc<Hub>,
    place: &Place,
    beats: &std::sync::Mutex<Beats>,
    connection: Connection,
) -> StoreError {
    let mut beating: Option<Boxed> = None;
    loop {
        let now = hub.now();
        if lock(beats).is_deaf(now) {
            return StoreError::deaf();
        }
        for stream in hub.streams() {
            stream.tick();
        }
        if beating.is_none() && lock(beats).is_due(now) {
            let moved: Vec<_> = hub.streams().iter().filter_map(named).collect();
            let (tag, mut connection) = (place.tag.clone(), connection.clone());
            beating = Some(Box::pin(async move {
                let mut parts = moved.chunks(NAMED);
                let mut beat = connection
                    .beat(&tag, parts.next().unwrap_or_default().to_vec())
                    .await;
                for part in parts {
                    if beat.is_ok() {
                        beat = connection.beat(&tag, part.to_vec()).await;
                    }
                }
                Done::Other(beat)
            }));
        }
        let mut tick = pin!(sleep(TICK));
        let done = poll_fn(|cx| {
            if let Some(running) = &mut beating {
                if let Poll::Ready(done) = running.as_mut().poll(cx) {
                    beating = None;
                    return Poll::Ready(Some(done));
                }
            }
            tick.as_mut().poll(cx).map(|()| None)
        });
        if let Some(Done::Other(Err(error))) = done.await {
            return error;
        }
    }
}

fn named(stream: &Arc<Stream>) -> Option<(super::Name, u64)> {
    Some((stream.name, stream.moved()?))
}

fn lock(beats: &std::sync::Mutex<Beats>) -> std::sync::MutexGuard<'_, Beats> {
    beats
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

// A session outlives several heartbeats.
const _: () = assert!(BEAT * 3 < crate::store::SESSION);
