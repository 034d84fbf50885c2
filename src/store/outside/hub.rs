//! All streams of this process that other gateways share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{Job, Look, Opening, Session, Stream};
use crate::store::redis::{Name, Secret};
use crate::store::{Appended, InstanceId};

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
    streams: Mutex<HashMap<Name, Arc<Stream>>>,
    session: Mutex<Option<Arc<Session>>>,
    /// Streams that are not followed any more, and may still be owned by this process: it lives, so nobody takes its place.
    owed: Mutex<HashSet<Name>>,
    pub(crate) counts: Counts,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) appended: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) terms: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) left_alone: AtomicU64,
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
    pub(crate) fn new(random: u128, secret: Secret, lifetime: Duration) -> Self {
        Hub {
            me: InstanceId((random >> 64) as u64),
            secret,
            lifetime,
            began: Instant::now(),
            chance: AtomicU64::new(random as u64),
            streams: Mutex::default(),
            session: Mutex::default(),
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
        let mut streams = self.lock();
        if streams.contains_key(&name) {
            return None;
        }
        let stream = Arc::new(Stream::new(self.clone(), name, opening));
        streams.insert(name, stream.clone());
        drop(streams);
        if let Some(session) = self.session() {
            stream.connected(&session);
        }
        Some(stream)
    }

    /// The stream is not followed any more.
    pub(super) fn forget(&self, stream: &Arc<Stream>) {
        let mut streams = self.lock();
        let is_it = |known: &Arc<Stream>| Arc::ptr_eq(known, stream);
        if streams.get(&stream.name).is_some_and(is_it) {
            streams.remove(&stream.name);
        }
    }

    pub(crate) fn stream(&self, name: &Name) -> Option<Arc<Stream>> {
        self.lock().get(name).cloned()
    }

    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        self.current().clone()
    }

    /// There are connections to the store.
    pub(crate) fn connected(&self, session: &Arc<Session>) {
        self.counts.sessions.fetch_add(1, Ordering::Relaxed);
        *self.current() = Some(session.clone());
        for name in self.owed().iter() {
            session.job(Job::Release(*name));
        }
        for stream in self.streams() {
            stream.connected(session);
        }
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
    pub(crate) fn disconnected(&self) {
        *self.current() = None;
        for stream in self.streams() {
            stream.disconnected();
        }
    }

    /// Whether there is a stream of this name.
    pub(crate) async fn find(&self, name: Name) -> Found {
        let Some(session) = self.session() else {
            return Found::Away;
        };
        let (sender, found) = oneshot::channel();
        session.look(Look::Find(name, sender));
        // Whoever has it may have lost the store as well.
        let is_first = self.counts.sessions.load(Ordering::Relaxed) <= 1;
        match found.await {
            Ok(Some(note)) => Found::There(note),
            Ok(None) if !is_first && session.began.elapsed() < RETURN => Found::NotYet,
            Ok(None) => Found::Nothing,
            Err(_) => Found::Away,
        }
    }

    /// Waits until what is to be done by now is done, for at most this long.
    pub(crate) async fn flush(&self, at_most: Duration) {
        let (sender, done) = oneshot::channel();
        if let Some(session) = self.session() {
            session.job(Job::Flush(sender));
            let _ = timeout(at_most, done).await;
        }
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

    fn current(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
