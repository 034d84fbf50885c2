//! Reads a log of a memory history.

use std::fmt;
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, RawWakerVTable, Waker};

use bytes::{Bytes, BytesMut};

use super::level::Place;
use super::log::{Inner, State};
use super::ring::{Entry, Resume, Ring};
use crate::history::{Gap, Read, Skip};

/// Reads a [`MemoryLog`](super::MemoryLog) from some position on. No event is queued for it.
pub struct Follower {
    log: Arc<Inner>,
    /// Where it is, as its log knows.
    slot: usize,
    /// What is in front of this position was there before the follower.
    live: u64,
    /// The number of the last event with data that was read, or that the follower began behind. `u64::MAX` when it
    /// began at a position that was not kept any more, and nobody knows.
    read_up_to: u64,
    /// It has read all that there was.
    waits: Option<Waits>,
    /// Others may have read for it.
    is_level: bool,
}

/// How a follower waits. As long as its log wakes nobody there is no news, and the log need not be locked to see that.
struct Waits {
    /// How often the log had woken those who wait.
    woken: u64,
    /// The waker that the log holds. Until it has woken it, no other can be in its place.
    waker: usize,
    vtable: &'static RawWakerVTable,
}

impl Waits {
    #[inline]
    fn are_kept(&self, log: &Inner, waker: &Waker) -> bool {
        self.woken == log.woken.load(Ordering::Acquire)
            && self.waker == waker.data().addr()
            && ptr::eq(self.vtable, waker.vtable())
    }
}

/// As many bytes are joined into one read for those who are behind.
const JOIN_UP_TO: usize = 64 * 1024;

/// For fewer it is not worth it to have one read for all of them.
const MANY: usize = 8;

impl Follower {
    pub(super) fn new(log: Arc<Inner>, slot: usize, live: u64, read_up_to: u64) -> Self {
        Follower {
            log,
            slot,
            live,
            read_up_to,
            waits: None,
            is_level: false,
        }
    }

    /// Whether it has read all that there is, and its log is going to wake this waker when there is more. Then there is no need
    /// for [`poll_read`](Self::poll_read), which locks the log.
    #[inline]
    pub fn waits(&self, waker: &Waker) -> bool {
        let waits = self.waits.as_ref();
        waits.is_some_and(|waits| waits.are_kept(&self.log, waker))
    }

    /// The next events, joined up to 64 KiB; a single one is shared, not copied.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        self.waits = None;
        let log = &*self.log;
        let mut state = log.lock();
        if std::mem::take(&mut self.is_level) {
            self.read_up_to = state.readers.read_up_to(self.slot);
        }
        let before = state.readers.position(self.slot);
        let mut begin = before;
        if begin < state.ring.base() {
            if state.ring.sequence_before(state.ring.base()) != self.read_up_to {
                return Poll::Ready(Read::Lost);
            }
            // Comments alone have gone.
            begin = state.ring.base();
        }
        // Comments and the like were for those who were there.
        while begin < self.live && state.ring.entry(begin).is_some_and(|e| !e.has_data) {
            begin += 1;
        }
        let Some(first) = state.ring.entry(begin) else {
            if state.closed {
                return Poll::Ready(Read::End);
            }
            self.waits = Some(wait(log, &mut state, self.slot, cx.waker()));
            if begin != before {
                move_to(state, self.slot, begin);
            }
            return Poll::Pending;
        };
        let sequence_before = first.sequence - u64::from(first.has_data);
        let next = state.ring.next();
        let (bytes, end) = if begin + 1 == next {
            // The newest, as for all who waited for it.
            self.read_up_to = first.sequence;
            (first.bytes.clone(), next)
        } else if let Some(bytes) = state.joined_from(begin, self.live) {
            self.read_up_to = state.ring.sequence();
            (bytes, next)
        } else {
            let (end, len) = span(&state.ring, begin, self.live, first);
            if end - begin == 1 {
                self.read_up_to = first.sequence;
                (first.bytes.clone(), end)
            } else {
                self.read_up_to = state.ring.sequence_before(end);
                (joined(log, &mut state, begin, end, len), end)
            }
        };
        if end == next && !state.closed {
            // Who reads asks once more, to be told to wait.
            self.waits = Some(wait(log, &mut state, self.slot, cx.waker()));
        }
        move_to(state, self.slot, end);
        let events = end - begin;
        Poll::Ready(Read::Events {
            bytes,
            events,
            with_data: self.read_up_to - sequence_before,
            replayed: if begin < self.live { events } else { 0 },
        })
    }

    /// Lets others read for this one from now on until it reads again, if it is one of many that have read all that there is.
    pub fn level(&mut self) -> Option<Place> {
        let mut state = self.log.lock();
        let position = state.readers.position(self.slot);
        if state.readers.len() < MANY || position != state.ring.next() || state.closed {
            return None;
        }
        state.readers.begin_level(self.slot, self.read_up_to);
        self.is_level = true;
        self.waits = None;
        Some(Place::new(
            self.log.clone(),
            self.slot,
            position,
            self.read_up_to,
        ))
    }

    /// Where it is.
    pub(super) fn position(&self) -> u64 {
        self.log.lock().readers.position(self.slot)
    }

    /// Waits for the event with this last event ID, and goes on behind it. Gives what a client is to be told that may have
    /// had some of what follows.
    pub fn poll_seek(&mut self, cx: &mut Context<'_>, id: &[u8]) -> Poll<Gap> {
        self.waits = None;
        let mut state = self.log.lock();
        let Ok(Resume::At(position)) = state.ring.position_after(id) else {
            state.readers.wait(self.slot, cx.waker());
            state.readers.seek(self.slot);
            return Poll::Pending;
        };
        let gap = state.ring.gap(None, position);
        self.read_up_to = state.ring.sequence_before(position);
        move_to(state, self.slot, position);
        Poll::Ready(gap)
    }

    /// Goes on at the first event that the upstream gave an id that is seen to come behind this one of it, if there is one:
    /// `row-8` comes behind `row-7`. Not every id tells.
    pub fn seek_past(&mut self, upstream: &[u8]) -> Option<Gap> {
        let state = self.log.lock();
        let position = state.ring.position_past(upstream)?;
        self.waits = None;
        let gap = state.ring.gap(None, position);
        self.read_up_to = state.ring.sequence_before(position);
        move_to(state, self.slot, position);
        Some(gap)
    }

    /// The number of the last event with data that was read, or in front of the position where it began. `u64::MAX` when that
    /// is not known.
    pub fn read_up_to(&self) -> u64 {
        match self.is_level {
            true => self.log.lock().readers.read_up_to(self.slot),
            false => self.read_up_to,
        }
    }

    /// After [`Read::Lost`]: goes on at the oldest event that is kept, or behind the newest.
    pub fn skip(&mut self, to: Skip) -> Gap {
        self.waits = None;
        let state = self.log.lock();
        let ring = &state.ring;
        let position = match to {
            Skip::ToOldest => ring.base(),
            Skip::ToLatest => ring.next(),
        };
        let gap = ring.gap(ring.missed(self.read_up_to, position), position);
        self.read_up_to = ring.sequence_before(position);
        move_to(state, self.slot, position);
        gap
    }
}

/// Has the log wake this waker when there is more.
#[inline]
fn wait(log: &Inner, state: &mut State, slot: usize, waker: &Waker) -> Waits {
    state.readers.wait(slot, waker);
    Waits {
        woken: log.woken.load(Ordering::Relaxed),
        waker: waker.data().addr(),
        vtable: waker.vtable(),
    }
}

/// Gives the log free, and wakes its writer if that waits.
#[inline(always)]
fn move_to(mut state: MutexGuard<'_, State>, slot: usize, position: u64) {
    let writer = state.readers.move_to(slot, position);
    drop(state);
    if let Some(writer) = writer {
        writer.wake();
    }
}

/// Up to where a follower reads that begins with this entry, and how many bytes that is.
#[inline]
fn span(ring: &Ring, begin: u64, live: u64, first: &Entry) -> (u64, usize) {
    let until = if begin < live { live } else { u64::MAX };
    let mut end = begin + 1;
    let mut len = first.bytes.len();
    while let Some(entry) = ring.entry(end).filter(|_| end < until) {
        let skipped = begin < live && !entry.has_data;
        if skipped || len + entry.bytes.len() > JOIN_UP_TO {
            break;
        }
        len += entry.bytes.len();
        end += 1;
    }
    (end, len)
}

fn joined(log: &Inner, state: &mut State, begin: u64, end: u64, len: usize) -> Bytes {
    if let Some((from, to, bytes)) = &state.joined {
        if (*from, *to) == (begin, end) {
            return bytes.clone();
        }
    }
    let mut joined = BytesMut::with_capacity(len);
    for position in begin..end {
        if let Some(entry) = state.ring.entry(position) {
            joined.extend_from_slice(&entry.bytes);
        }
    }
    let joined = joined.freeze();
    // For one alone it would only be kept, beside the budget.
    if state.readers.len() > 1 {
        state.joined = Some((begin, end, joined.clone()));
        log.count(state);
    }
    joined
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.log.lock();
        let had_joined = state.joined.is_some();
        state.leave(self.slot);
        if had_joined {
            self.log.count(&state);
        }
        let writer = state.readers.take_writer();
        drop(state);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("read_up_to", &self.read_up_to)
            .finish_non_exhaustive()
    }
}
