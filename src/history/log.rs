//! One stream's events in memory, and those who wait for more.

use std::fmt;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use tokio::time::Instant;

use super::follower::MemoryFollower;
use super::memory::{Cause, Limits, Store};
use super::ring::{Place, Ring};
use super::{Appended, Draft, Evictions, Found, Joined, Log, Seal, Start, Stats};
use crate::wire::Epoch;

/// A log of a [`MemoryHistory`](super::MemoryHistory).
pub struct MemoryLog {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    store: Arc<Store>,
    limits: Limits,
    number: u64,
    /// What the ring and the joined bytes cost, to be read without the lock.
    size: AtomicUsize,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) ring: Ring,
    pub(super) closed: bool,
    /// One place a follower; a waker while it waits.
    waiting: Vec<Option<Waker>>,
    free: Vec<usize>,
    /// What was dropped.
    evicted: Evictions,
    /// What was joined last, and from where to where: those who are behind are so by the same events.
    pub(super) joined: Option<(u64, u64, Bytes)>,
}

impl MemoryLog {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        MemoryLog { inner }
    }
}

impl Log for MemoryLog {
    type Follower = MemoryFollower;

    fn append(&self, events: Vec<Draft>, now: Instant) -> impl Future<Output = Appended> + Send {
        let (appended, wakers) = self.inner.change(|state, inner| {
            let position = state.ring.next();
            for event in events {
                state.ring.push(event, now);
            }
            state.trim(inner, now);
            let sequence = state.ring.sequence();
            (Appended { position, sequence }, state.take_wakers())
        });
        if self.inner.store.is_over_budget() {
            self.inner.store.enforce_budget();
        }
        for waker in wakers {
            waker.wake();
        }
        ready(appended)
    }

    fn follow(
        &self,
        start: Start,
        now: Instant,
    ) -> impl Future<Output = (MemoryFollower, Joined)> + Send {
        let (slot, position, joined, live, read_up_to) = self.inner.change(|state, inner| {
            state.trim(inner, now);
            let ring = &state.ring;
            let (position, found) = match &start {
                Start::After(id) => match ring.position_after(id) {
                    Ok(Place::At(position)) => (position, Found::All),
                    Ok(Place::Evicted(sequence)) => {
                        let missed = ring.sequence_before(ring.base()) - sequence;
                        (
                            ring.base(),
                            Found::Some(ring.gap(Some(missed), ring.base())),
                        )
                    }
                    Err(()) => (ring.next(), Found::Unknown(ring.gap(None, ring.next()))),
                },
                other => (ring.position_of(other), Found::NotAsked),
            };
            let ahead = ring.ahead(position);
            let live = ring.next();
            let read_up_to = match position {
                0 => 0,
                position if position < ring.base() => u64::MAX,
                position => ring.sequence_before(position),
            };
            let joined = Joined { found, ahead };
            (state.enter(), position, joined, live, read_up_to)
        });
        let follower = MemoryFollower::new(self.inner.clone(), slot, position, live, read_up_to);
        ready((follower, joined))
    }

    fn find_same(&self, draft: &Draft) -> impl Future<Output = Option<u64>> + Send {
        ready(self.inner.lock().ring.find_same(draft))
    }

    fn find_next_same(&self, from: u64, draft: &Draft) -> impl Future<Output = Option<u64>> + Send {
        ready(self.inner.lock().ring.find_next_same(from, draft))
    }

    fn close(&self) {
        let wakers = {
            let mut state = self.inner.lock();
            state.closed = true;
            state.take_wakers()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        self.inner.change(|state, inner| {
            state.trim(inner, now);
            state.ring.oldest_until(inner.limits.age)
        })
    }

    fn stats(&self) -> Stats {
        let state = self.inner.lock();
        Stats {
            events: state.ring.len(),
            bytes: state.ring.cost(),
            last_id: state.ring.last_id(),
            evictions: state.evicted,
            dropped_up_to: state.ring.sequence_before(state.ring.base()),
            appended: state.ring.next(),
        }
    }
}

impl Inner {
    pub(super) fn new(
        store: Arc<Store>,
        limits: Limits,
        number: u64,
        (epoch, seal): (Epoch, Seal),
        behind: Option<Bytes>,
    ) -> Self {
        Inner {
            store,
            limits,
            number,
            size: AtomicUsize::new(0),
            state: Mutex::new(State {
                ring: Ring::new(epoch, seal, behind),
                closed: false,
                waiting: Vec::new(),
                free: Vec::new(),
                evicted: Evictions::default(),
                joined: None,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Drops the oldest events until they cost at most this.
    pub(super) fn evict_to(&self, most: usize) {
        self.change(|state, inner| {
            if state.cost() > most {
                state.joined = None;
            }
            while state.ring.cost() > most && state.ring.pop() {
                state.evicted.count(Cause::Budget);
                inner.store.count(Cause::Budget);
            }
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut State, &Inner) -> T) -> T {
        let mut state = self.lock();
        let base = state.ring.base();
        let result = change(&mut state, self);
        if state.ring.base() != base {
            // It would keep bytes that were given up.
            state.joined = None;
        }
        self.count(&state);
        result
    }

    /// Tells the store how much the log costs now. The caller has its lock.
    pub(super) fn count(&self, state: &State) {
        let after = state.cost();
        let before = self.size.swap(after, Ordering::Relaxed);
        self.store.resized(before, after);
    }
}

impl State {
    fn trim(&mut self, inner: &Inner, now: Instant) {
        let State { ring, evicted, .. } = self;
        ring.trim(&inner.limits, now, |cause| {
            evicted.count(cause);
            inner.store.count(cause);
        });
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        self.waiting.iter_mut().filter_map(Option::take).collect()
    }

    fn enter(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.waiting.push(None);
            self.waiting.len() - 1
        })
    }

    fn cost(&self) -> usize {
        let joined = self.joined.as_ref().map_or(0, |(_, _, bytes)| bytes.len());
        self.ring.cost() + joined
    }

    pub(super) fn followers(&self) -> usize {
        self.waiting.len() - self.free.len()
    }

    pub(super) fn leave(&mut self, slot: usize) {
        self.waiting[slot] = None;
        self.free.push(slot);
        if self.followers() <= 1 {
            self.joined = None;
        }
        if self.free.len() == self.waiting.len() {
            self.free = Vec::new();
            self.waiting = Vec::new();
        }
    }

    pub(super) fn wait(&mut self, slot: usize, waker: &Waker) {
        match &mut self.waiting[slot] {
            Some(known) => known.clone_from(waker),
            empty => *empty = Some(waker.clone()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.store.resized(self.size(), 0);
        self.store.closed(self.number);
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryLog").field(&self.stats()).finish()
    }
}
