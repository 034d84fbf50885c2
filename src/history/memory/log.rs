//! One stream's events in memory, and those who wait for more.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, ready};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::follower::Follower;
use super::readers::Readers;
use super::ring::{Resume, Ring};
use super::{Cause, Evictions, Limits, Spare, Store};
use crate::history::{Appended, Draft, Found, Hold, Joined, Keep, Log, Seal, Start, Stats};
use crate::wire::Epoch;

#[cfg(feature = "redis")]
mod given;

/// A log of a [`MemoryHistory`](super::MemoryHistory). Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    store: Arc<Store>,
    limits: Limits,
    number: u64,
    /// What the ring and the joined bytes cost, to be read without the lock.
    size: AtomicUsize,
    /// How often those who wait were woken, to be read without the lock.
    pub(super) woken: AtomicU64,
    state: Mutex<State>,
}

pub(super) struct State {
    pub(super) ring: Ring,
    pub(super) closed: bool,
    pub(super) readers: Readers,
    /// Since when it is full and waits for somebody.
    held_since: Option<Instant>,
    /// How long it was so before. Events grow no older meanwhile.
    held_for: Duration,
    /// What was dropped.
    evicted: Evictions,
    /// What was joined last, and from where to where: those who are behind are so by the same events.
    pub(super) joined: Option<(u64, u64, Bytes)>,
}

impl MemoryLog {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        MemoryLog { inner }
    }

    /// Begins to read. What is appended afterwards is never missed.
    pub fn follow(&self, start: &Start, now: Instant) -> (Follower, Joined) {
        self.enter(now, |ring| match start {
            Start::After(id) => match ring.position_after(id) {
                Ok(Resume::At(position)) => (position, Found::All),
                Ok(Resume::Evicted(sequence)) => {
                    let missed = ring.missed(sequence, ring.base());
                    (ring.base(), Found::Some(ring.gap(missed, ring.base())))
                }
                Err(()) => (ring.next(), Found::Unknown(ring.gap(None, ring.next()))),
            },
            other => (ring.position_of(other), Found::NotAsked),
        })
    }

    /// Begins to read at the position that is found.
    fn enter(&self, now: Instant, find: impl FnOnce(&Ring) -> (u64, Found)) -> (Follower, Joined) {
        let (slot, joined, live, read_up_to) = self.inner.change(|state, inner| {
            state.expire(inner, now);
            let ring = &state.ring;
            let (position, found) = find(ring);
            let ahead = ring.ahead(position);
            let live = ring.next();
            let read_up_to = match position {
                0 => 0,
                position if position < ring.base() => u64::MAX,
                position => ring.sequence_before(position),
            };
            let joined = Joined { found, ahead };
            let slot = state.readers.enter(position);
            (slot, joined, live, read_up_to)
        });
        self.inner.wake_writer();
        let follower = Follower::new(self.inner.clone(), slot, live, read_up_to);
        (follower, joined)
    }

    /// Whether this event, sent again by the upstream, is the one appended last under its id, and
    /// where that stands. It is if a client dispatches the same.
    pub fn find_same(&self, draft: &Draft) -> Option<u64> {
        self.inner.lock().ring.find_same(draft)
    }

    /// Whether the next event with data from this position on is the same as this one, which has no id of its own either,
    /// and where that stands.
    pub fn find_next_same(&self, from: u64, draft: &Draft) -> Option<u64> {
        self.inner.lock().ring.find_next_same(from, draft)
    }

    /// Waits until the log is full for another reason than this one, or has room.
    pub fn poll_hold(&self, cx: &mut Context<'_>, known: Hold) -> Poll<Hold> {
        let mut state = self.inner.lock();
        let hold = state.hold(&self.inner);
        state.readers.poll_hold(cx, known, hold)
    }

    /// Gives up waiting: for readers that have not read since they were found to hold the log, until they do; or, where
    /// there are none, for one to come, until one has. Says what holds the log then.
    pub fn pass_over(&self) -> Hold {
        let mut state = self.inner.lock();
        let hold = state.hold(&self.inner);
        state.readers.pass_over(hold);
        state.hold(&self.inner)
    }

    /// Drops what is too old, and tells when it should be asked again.
    pub fn expire(&self, now: Instant) -> Option<Instant> {
        self.inner.change(|state, inner| {
            state.expire(inner, now);
            let until = state.ring.oldest_until(inner.limits.age)?;
            until.checked_add(state.held_for)
        })
    }

    /// What is in it.
    pub fn stats(&self) -> Stats {
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

impl Log for MemoryLog {
    fn replica(&self) -> &MemoryLog {
        self
    }

    fn append(&self, events: Vec<Draft>, now: Instant) -> impl Future<Output = Appended> + Send {
        ready(self.write(&mut events.into(), Keep::Nothing, now))
    }

    fn append_within(
        &self,
        events: &mut VecDeque<Draft>,
        keep: Keep,
        now: Instant,
    ) -> impl Future<Output = Appended> + Send {
        ready(self.write(events, keep, now))
    }

    fn close(&self) {
        let wakers = {
            let mut state = self.inner.lock();
            state.closed = true;
            self.inner.take_wakers(&mut state)
        };
        for waker in wakers {
            waker.wake();
        }
    }
}

impl MemoryLog {
    fn write(&self, events: &mut VecDeque<Draft>, keep: Keep, now: Instant) -> Appended {
        let (appended, wakers) = self.inner.change(|state, inner| {
            if let Some(since) = state.held_since.take() {
                state.held_for += now.saturating_duration_since(since);
            }
            state.readers.set_keep(keep);
            state.expire(inner, now);
            let position = state.ring.next();
            let at = state.clock(now);
            let mut last_id = None;
            let mut hold = state.trim(inner);
            while hold == Hold::Free {
                let Some(event) = events.pop_front() else {
                    break;
                };
                if event.sets_id {
                    last_id = Some(state.ring.next());
                }
                state.ring.push(event, at);
                // The one that was too much stays, until there is room for it.
                hold = state.trim(inner);
            }
            if hold != Hold::Free {
                state.held_since = Some(now);
                state.readers.begin_to_wait();
            }
            let appended = Appended {
                position,
                sequence: state.ring.sequence(),
                last_id,
                hold,
            };
            (appended, inner.take_wakers(state))
        });
        if self.inner.store.is_over_budget() {
            self.inner.store.enforce_budget();
        }
        for waker in wakers {
            waker.wake();
        }
        appended
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
            woken: AtomicU64::new(0),
            state: Mutex::new(State {
                ring: Ring::new(epoch, seal, behind),
                closed: false,
                readers: Readers::default(),
                held_since: None,
                held_for: Duration::ZERO,
                evicted: Evictions::default(),
                joined: None,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All who wait, to be woken. The caller has the lock.
    fn take_wakers(&self, state: &mut State) -> Vec<Waker> {
        self.woken.fetch_add(1, Ordering::Release);
        state.readers.take_wakers()
    }

    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Drops the oldest events until they cost at most this.
    pub(super) fn evict_to(&self, most: usize, spare: Spare) {
        let dropped = self.change(|state, inner| {
            if state.cost() > most {
                state.joined = None;
            }
            let before = state.ring.base();
            while state.ring.cost() > most {
                let oldest = state.ring.base();
                let is_spared =
                    spare == Spare::Unread && state.readers.is_unread(oldest) == Some(true);
                if is_spared || !state.ring.pop() {
                    break;
                }
            }
            let dropped = state.ring.base() - before;
            state.count(inner, Cause::Budget, dropped);
            dropped
        });
        if dropped > 0 {
            self.wake_writer();
        }
    }

    /// To be called behind what may have made room, or brought a reader.
    fn wake_writer(&self) {
        let writer = self.lock().readers.take_writer();
        if let Some(writer) = writer {
            writer.wake();
        }
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
    /// Drops what is too old.
    fn expire(&mut self, inner: &Inner, now: Instant) {
        let now = self.clock(now);
        let dropped = self.ring.expire(inner.limits.age, now);
        self.count(inner, Cause::Age, dropped);
    }

    /// Drops what is too much, as far as it may. Says for whom the rest is kept.
    fn trim(&mut self, inner: &Inner) -> Hold {
        while let Some(cause) = self.ring.is_over(&inner.limits) {
            let hold = self.readers.hold(self.ring.base());
            if hold != Hold::Free {
                return hold;
            }
            self.ring.pop();
            self.count(inner, cause, 1);
        }
        self.hold(inner)
    }

    /// What keeps the next event from being appended.
    fn hold(&self, inner: &Inner) -> Hold {
        let oldest = self.ring.base();
        if self.ring.is_over(&inner.limits).is_some() {
            return self.readers.hold(oldest);
        }
        // What was appended since it was counted is not in the store's sum yet.
        let more = self.cost().saturating_sub(inner.size());
        let left = inner.store.left(more);
        if self.ring.cost() <= left {
            return Hold::Free;
        }
        // No more may be unread than is left for all, and what was read gives way to it.
        self.readers.hold_if(oldest, |from| {
            let unread = self.ring.cost_from(from);
            unread > left + (self.ring.cost() - unread)
        })
    }

    /// The time by which events grow old: it stands still while somebody is waited for.
    fn clock(&self, now: Instant) -> Instant {
        let now = self.held_since.unwrap_or(now);
        now.checked_sub(self.held_for).unwrap_or(now)
    }

    fn count(&mut self, inner: &Inner, cause: Cause, events: u64) {
        if events > 0 {
            self.evicted.count(cause, events);
            inner.store.count(cause, events);
        }
    }

    fn cost(&self) -> usize {
        let joined = self.joined.as_ref().map_or(0, |(_, _, bytes)| bytes.len());
        self.ring.cost() + joined
    }

    /// All from this position on, if another follower has joined it already, and none of it is to be skipped.
    #[inline]
    pub(super) fn joined_from(&self, begin: u64, live: u64) -> Option<Bytes> {
        let (from, to, bytes) = self.joined.as_ref()?;
        let is_all = (*from, *to) == (begin, self.ring.next());
        (is_all && begin >= live).then(|| bytes.clone())
    }

    pub(super) fn leave(&mut self, slot: usize) {
        self.readers.leave(slot);
        if self.readers.len() <= 1 {
            self.joined = None;
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
