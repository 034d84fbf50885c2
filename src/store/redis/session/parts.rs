//! The partitions that a primary has here, and their heartbeats.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::silent::Silent;
use crate::store::outside::{Hub, Senders, Session, Stream, Ticket};
use crate::store::redis::{Connection, Keys, StoreError};
use crate::store::{BEAT, Beats, InstanceId, SESSION};

/// Between two looks at the time.
const TICK: Duration = Duration::from_millis(100);
/// So long a partition is left alone that is about to move to another node.
const MOVING: Duration = Duration::from_millis(200);
/// How many streams one heartbeat names.
const NAMED: usize = 1_000;

/// The partitions that a primary has here, for as long as there are connections to it.
pub(super) struct Parts<'a> {
    pub(super) hub: &'a Arc<Hub>,
    pub(super) keys: &'a Keys,
    senders: Senders,
    hears: mpsc::Sender<(Vec<usize>, oneshot::Sender<()>)>,
    held: Mutex<Vec<Part>>,
    /// Those that were lost while the connections are there.
    moving: Mutex<HashMap<usize, Instant>>,
    lost: &'a Notify,
    /// Whether the user may ask who hears what.
    pub(super) may_ask: AtomicBool,
}

struct Part {
    session: Arc<Session>,
    beats: Beats,
    /// Whether heartbeats are sent.
    is_used: bool,
}

/// Partitions whose heartbeats are to be heard, and who is told when they are.
pub(super) type ToHear = mpsc::Receiver<(Vec<usize>, oneshot::Sender<()>)>;

type Beating<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

impl<'a> Parts<'a> {
    pub(super) fn new(
        hub: &'a Arc<Hub>,
        keys: &'a Keys,
        lost: &'a Notify,
        senders: Senders,
    ) -> (Self, ToHear) {
        let (hears, to_hear) = mpsc::channel(1);
        let parts = Parts {
            hub,
            keys,
            senders,
            hears,
            held: Mutex::default(),
            moving: Mutex::default(),
            lost,
            may_ask: AtomicBool::new(true),
        };
        (parts, to_hear)
    }

    /// Whether it is still this that is there.
    pub(super) fn holds(&self, ticket: Ticket) -> bool {
        let held = self.held();
        held.iter().any(|part| part.session.ticket == ticket)
    }

    /// The session of a partition.
    pub(super) fn session_of(&self, partition: usize) -> Option<u64> {
        let held = self.held();
        let mut tickets = held.iter().map(|part| part.session.ticket);
        let ticket = tickets.find(|ticket| ticket.partition == partition)?;
        Some(ticket.session)
    }

    /// A partition cannot be used now: it is about to move to another node, or has.
    pub(super) fn lose(&self, ticket: Ticket) {
        let mut held = self.held();
        let before = held.len();
        held.retain(|part| part.session.ticket != ticket);
        let was_held = held.len() < before;
        drop(held);
        if was_held {
            let mut moving = lock(&self.moving);
            moving.insert(ticket.partition, Instant::now());
            drop(moving);
            self.hub.disconnected(ticket);
            self.lost.notify_one();
        }
    }

    /// What has failed: nothing that goes on, a partition, or all.
    pub(super) fn failed(&self, ticket: Ticket, error: StoreError) -> Result<(), StoreError> {
        match error.is_of_partition() {
            true => self.lose(ticket),
            false => return Err(error),
        }
        Ok(())
    }

    /// Takes up the partitions that are wanted, and gives up those that are not.
    pub(super) async fn hold(
        &self,
        mut connection: Connection,
        wanted: &mut watch::Receiver<Vec<usize>>,
    ) -> StoreError {
        loop {
            let all = wanted.borrow_and_update().clone();
            for ticket in self.tickets() {
                if !all.contains(&ticket.partition) {
                    self.lose(ticket);
                }
            }
            let missing = self.missing(&all);
            if !missing.is_empty() {
                if let Err(error) = self.take_up(&mut connection, &missing).await {
                    return error;
                }
            }
            let mut again = pin!(sleep(MOVING));
            let mut changed = pin!(wanted.changed());
            let is_over = poll_fn(|cx| match changed.as_mut().poll(cx) {
                Poll::Ready(changed) => Poll::Ready(changed.is_err()),
                Poll::Pending => again.as_mut().poll(cx).map(|()| false),
            });
            if is_over.await {
                return StoreError::behind();
            }
        }
    }

    async fn take_up(
        &self,
        connection: &mut Connection,
        missing: &[usize],
    ) -> Result<(), StoreError> {
        let partitions = self.keys.partitions();
        let mut there = missing.to_vec();
        if connection.is_cluster() {
            let node = connection.node().await?;
            there.retain(|at| node.has(partitions.tag(*at)));
        }
        self.hear_beats(&there).await?;
        let mut reign = connection.reign();
        if connection.is_cluster() {
            // Behind the subscription, which ends when a slot moves: it may have been elsewhere meanwhile.
            reign = connection.node().await?.reign(reign);
        }
        if there.len() < missing.len() {
            self.lost.notify_one();
        }
        for partition in there {
            let session = self.hub.connected(partition, reign, self.senders.clone());
            self.held().push(Part {
                session,
                beats: Beats::new(self.hub.me, self.hub.now()),
                is_used: false,
            });
        }
        Ok(())
    }

    async fn hear_beats(&self, partitions: &[usize]) -> Result<(), StoreError> {
        let (sender, heard) = oneshot::channel();
        let sent = self.hears.send((partitions.to_vec(), sender)).await;
        sent.map_err(|_| StoreError::deaf())?;
        heard.await.map_err(|_| StoreError::deaf())
    }

    fn tickets(&self) -> Vec<Ticket> {
        let held = self.held();
        held.iter().map(|part| part.session.ticket).collect()
    }

    fn missing(&self, wanted: &[usize]) -> Vec<usize> {
        let mut moving = lock(&self.moving);
        moving.retain(|_, since| since.elapsed() < MOVING);
        let held = self.tickets();
        let is_held = |at: &usize| held.iter().any(|ticket| ticket.partition == *at);
        let missing = wanted.iter().copied();
        missing
            .filter(|at| !is_held(at) && !moving.contains_key(at))
            .collect()
    }

    /// A heartbeat was heard.
    pub(super) fn hear_beat(&self, partition: usize, from: InstanceId) {
        let mut held = self.held();
        let mut parts = held.iter_mut();
        if let Some(part) = parts.find(|part| part.session.ticket.partition == partition) {
            part.beats.hear(from, self.hub.now());
        }
    }

    /// Sends heartbeats, and has streams look at the time.
    pub(super) async fn keep_time(&self, connection: Connection) -> StoreError {
        let mut beating: Option<Beating<'_>> = None;
        loop {
            let tickets = self.tickets();
            for ticket in &tickets {
                for stream in self.hub.streams_in(ticket.partition) {
                    stream.tick();
                }
            }
            if self.is_deaf(&tickets) {
                return StoreError::deaf();
            }
            if beating.is_none() {
                let (due, silent) = (self.due(), self.silent());
                let is_idle = due.is_empty() && silent.is_empty();
                beating = (!is_idle).then(|| self.beat(connection.clone(), due, silent));
            }
            let mut tick = pin!(sleep(TICK));
            let done = poll_fn(|cx| {
                if let Some(running) = &mut beating {
                    if let Poll::Ready(done) = running.as_mut().poll(cx) {
                        beating = None;
                        return Poll::Ready(done);
                    }
                }
                tick.as_mut().poll(cx).map(Ok)
            });
            if let Err(error) = done.await {
                return error;
            }
        }
    }

    /// Sees where there are streams, and whether one's own heartbeats are heard there. Where there are none the first partition is
    /// as if there were, so that a primary that hangs is noticed.
    fn is_deaf(&self, tickets: &[Ticket]) -> bool {
        let now = self.hub.now();
        let has_streams = |ticket: &Ticket| !self.hub.streams_in(ticket.partition).is_empty();
        let used: Vec<bool> = tickets.iter().map(has_streams).collect();
        let mut held = self.held();
        for (index, part) in held.iter_mut().enumerate() {
            let at = tickets
                .iter()
                .position(|ticket| *ticket == part.session.ticket);
            let is_used = index == 0 || at.is_some_and(|at| used[at]);
            part.session.use_while(is_used);
            if is_used != part.is_used {
                part.is_used = is_used;
                part.beats.tail(is_used, now);
            }
        }
        held.iter().any(|part| part.beats.is_deaf(now))
    }

    fn due(&self) -> Vec<Ticket> {
        let now = self.hub.now();
        let mut held = self.held();
        let used = held.iter_mut().filter(|part| part.is_used);
        let due = used.filter_map(|part| part.beats.is_due(now).then_some(part.session.ticket));
        due.collect()
    }

    fn silent(&self) -> Vec<Silent> {
        let now = self.hub.now();
        let mut held = self.held();
        let used = held.iter_mut().filter(|part| part.is_used);
        let silent = used.map(|part| (part.session.ticket, part.beats.silent(now)));
        silent.filter(|(_, silent)| !silent.is_empty()).collect()
    }

    fn beat(
        &self,
        mut connection: Connection,
        due: Vec<Ticket>,
        silent: Vec<Silent>,
    ) -> Beating<'_> {
        Box::pin(async move {
            for ticket in due {
                let streams = self.hub.streams_in(ticket.partition);
                let named = |stream: &Arc<Stream>| Some((stream.name, stream.moved()?));
                let moved: Vec<_> = streams.iter().filter_map(named).collect();
                let tag = self.keys.partitions().tag(ticket.partition);
                let mut parts = moved.chunks(NAMED);
                let mut beat = connection
                    .beat(tag, parts.next().unwrap_or_default().to_vec())
                    .await;
                for part in parts {
                    if let Ok(was_there) = beat {
                        let more = connection.beat(tag, part.to_vec()).await;
                        beat = more.map(|_| was_there);
                    }
                }
                match beat {
                    Ok(was_there) if self.wrote(ticket, was_there) => {
                        // Who owns a silent stream would not notice for long.
                        streams.iter().for_each(|stream| stream.look_again());
                    }
                    Ok(_) => {}
                    Err(error) => self.failed(ticket, error)?,
                }
            }
            self.ask_for(&mut connection, silent).await;
            Ok(())
        })
    }

    /// A heartbeat has written the session, which was there or not. Whether the store was emptied before.
    fn wrote(&self, ticket: Ticket, was_there: bool) -> bool {
        let held = self.held();
        let mut sessions = held.iter().map(|part| &part.session);
        let session = sessions.find(|session| session.ticket == ticket);
        session.is_some_and(|session| session.wrote(was_there))
    }

    fn held(&self) -> MutexGuard<'_, Vec<Part>> {
        lock(&self.held)
    }
}

impl Drop for Parts<'_> {
    fn drop(&mut self) {
        for ticket in self.tickets() {
            self.hub.disconnected(ticket);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// A session outlives several heartbeats.
const _: () = assert!(BEAT * 3 < SESSION);
