//! All streams of this process that other gateways share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{Job, Look, Opening, Senders, Session, Stream, Ticket};
use crate::store::redis::{Name, Secret};
use crate::store::{Appended, InstanceId, Reign};

/// Of more streams it is not remembered that they are to be released.
const MOST_OWED: usize = 16_384;

/// So long others are waited for who may have lost their connections too.
pub(super) const RETURN: Duration = Duration::from_secs(5);

/// What the store has under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A stream, of which this was told last; nothing where it has only begun.
    There(Bytes),
    Nothing,
    /// Nothing, but whoever has a stream under it may be about to write it again.
    NotYet,
    /// The store is away.
    Away,
}

/// All streams of this process that other gateways share.
pub(crate) struct Hub {
    pub(crate) me: InstanceId,
    pub(crate) secret: Secret,
    /// How long the store keeps what nobody touches.
    pub(crate) lifetime: Duration,
    began: Instant,
    chance: AtomicU64,
    partitions: Vec<Partition>,
    sessions: AtomicU64,
    /// Streams that are not followed any more, and may still be owned by this process: it lives, so nobody takes its place.
    owed: Mutex<HashSet<Name>>,
    pub(crate) counts: Counts,
}

/// The streams whose keys are together at one primary, and the connections to it.
#[derive(Default)]
struct Partition {
    streams: Mutex<HashMap<Name, Arc<Stream>>>,
    session: Mutex<Option<Arc<Session>>>,
    was_connected: AtomicBool,
}

impl Partition {
    fn streams(&self) -> MutexGuard<'_, HashMap<Name, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) appended: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) terms: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) left_alone: AtomicU64,
    pub(crate) unacknowledged: AtomicU64,
}

impl Counts {
    /// What came of an append.
    pub(crate) fn count(&self, appended: Appended) {
        let count = match appended {
            Appended::Done => &self.appended,
            Appended::At(_) | Appended::Fenced => &self.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Hub {
    /// With random bits, of which all that has to be unique is made.
    pub(crate) fn new(random: u128, secret: Secret, lifetime: Duration, partitions: usize) -> Self {
        Hub {
            me: InstanceId((random >> 64) as u64),
            secret,
            lifetime,
            began: Instant::now(),
            chance: AtomicU64::new(random as u64),
            partitions: (0..partitions.max(1))
                .map(|_| Partition::default())
                .collect(),
            sessions: AtomicU64::new(0),
            owed: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// Follows a stream; none where it is followed already, by another relay of this process.
    pub(crate) fn open(self: &Arc<Self>, name: Name, opening: Opening) -> Option<Arc<Stream>> {
        if let Some(known) = self.stream(&name) {
            // Whoever comes now need not wait until its end is settled.
            known.is_ending().then(|| known.detach())?;
        }
        let mut streams = self.partition(&name).streams();
        if streams.contains_key(&name) {
            return None;
        }
        let stream = Arc::new(Stream::new(self.clone(), name, opening));
        streams.insert(name, stream.clone());
        drop(streams);
        if let Some(session) = self.session(&name) {
            session.begin_to_use(name);
            stream.connected(&session);
        }
        Some(stream)
    }

    /// The stream is not followed any more.
    pub(super) fn forget(&self, stream: &Arc<Stream>) {
        let mut streams = self.partition(&stream.name).streams();
        let is_it = |known: &Arc<Stream>| Arc::ptr_eq(known, stream);
        if streams.get(&stream.name).is_some_and(is_it) {
            streams.remove(&stream.name);
        }
    }

    pub(crate) fn stream(&self, name: &Name) -> Option<Arc<Stream>> {
        self.partition(name).streams().get(name).cloned()
    }

    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        let partitions = 0..self.partitions.len();
        partitions.flat_map(|at| self.streams_in(at)).collect()
    }

    pub(crate) fn streams_in(&self, partition: usize) -> Vec<Arc<Stream>> {
        let streams = self.partitions[partition].streams();
        streams.values().cloned().collect()
    }

    fn partition(&self, name: &Name) -> &Partition {
        &self.partitions[name.partition(self.partitions.len())]
    }

    /// That of the stream's partition.
    pub(crate) fn session(&self, name: &Name) -> Option<Arc<Session>> {
        self.partition(name).session().clone()
    }

    /// Whether all of the store is connected to.
    pub(crate) fn is_up(&self) -> bool {
        let mut partitions = self.partitions.iter();
        partitions.all(|partition| partition.session().is_some())
    }

    /// There are connections to the primary of a partition.
    pub(crate) fn connected(
        &self,
        partition: usize,
        reign: Reign,
        senders: Senders,
    ) -> Arc<Session> {
        let ticket = Ticket {
            session: self.sessions.fetch_add(1, Ordering::Relaxed),
            partition,
        };
        let its = &self.partitions[partition];
        let is_first = !its.was_connected.swap(true, Ordering::Relaxed);
        let session = Arc::new(Session::new(ticket, reign, is_first, senders));
        *its.session() = Some(session.clone());
        for name in self.owed().iter() {
            if name.partition(self.partitions.len()) == partition {
                session.job(Job::Release(*name));
            }
        }
        for stream in self.streams_in(partition) {
            session.begin_to_use(stream.name);
            stream.connected(&session);
        }
        session
    }

    /// The stream is to be released once there are connections.
    pub(super) fn owe(&self, name: Name) {
        let mut owed = self.owed();
        if owed.len() < MOST_OWED {
            owed.insert(name);
        }
    }

    /// It is.
    pub(crate) fn released(&self, name: &Name) {
        self.owed().remove(name);
    }

    fn owed(&self) -> MutexGuard<'_, HashSet<Name>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They are lost.
    pub(crate) fn disconnected(&self, ticket: Ticket) {
        let its = &self.partitions[ticket.partition];
        let is_it = |now: &mut Arc<Session>| now.ticket == ticket;
        drop(its.session().take_if(is_it));
        for stream in self.streams_in(ticket.partition) {
            stream.disconnected(ticket.session);
        }
    }

    /// Whether there is a stream of this name.
    pub(crate) async fn find(&self, name: Name) -> Found {
        let Some(session) = self.session(&name) else {
            return Found::Away;
        };
        let (sender, found) = oneshot::channel();
        session.look(Look::Find(name, sender));
        // Whoever has it may have lost the store as well.
        match found.await {
            Ok((Some(note), _)) => Found::There(note),
            Ok((None, has_session)) if session.may_return(has_session, RETURN) => Found::NotYet,
            Ok((None, _)) => Found::Nothing,
            Err(_) => Found::Away,
        }
    }

    /// Waits until what is to be done by now is done, for at most this long.
    pub(crate) async fn flush(&self, at_most: Duration) {
        let sessions: Vec<_> = self
            .partitions
            .iter()
            .filter_map(|its| its.session().clone())
            .collect();
        let flush = async {
            for session in sessions {
                session.flush().await;
            }
        };
        let _ = timeout(at_most, flush).await;
    }

    /// Milliseconds, by a clock that never goes back.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Bits that are given once (SplitMix64, whose outputs are all different).
    pub(crate) fn chance(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.chance.fetch_add(STEP, Ordering::Relaxed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}
