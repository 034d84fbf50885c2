//! A log that others write: what is here is a copy, and where a client goes on is theirs to say.

use bytes::Bytes;
use tokio::time::Instant;

use super::{Limits, MemoryLog};
use crate::history::memory::follower::Follower;
use crate::history::{Found, Given, Hold, Joined, Keep};

impl MemoryLog {
    /// Appends events that have their numbers, all of them. What is too much is dropped as far as it may be, and what keeps
    /// the rest is told.
    pub(crate) fn give(&self, events: Vec<Given>, keep: Keep, now: Instant) -> Hold {
        let (hold, wakers) = self.inner.change(|state, inner| {
            state.readers.set_keep(keep);
            state.expire(inner, now);
            let mut hold = Hold::Free;
            for event in events {
                state.ring.push_given(event, now);
                hold = state.trim(inner);
            }
            if hold != Hold::Free {
                state.readers.begin_to_wait();
            }
            (hold, inner.take_wakers(state))
        });
        if self.inner.store.is_over_budget() {
            self.inner.store.enforce_budget();
        }
        for waker in wakers {
            waker.wake();
        }
        hold
    }

    /// Begins to read at a position, or where the log begins if that is not kept or some in front of it is lost.
    pub(crate) fn follow_at(&self, position: u64, is_lost: bool) -> (Follower, Joined) {
        self.enter(Instant::now(), |ring| {
            if is_lost || position < ring.base() {
                let position = position.max(ring.base());
                (position, Found::Some(ring.gap(None, position)))
            } else {
                (position, Found::All)
            }
        })
    }

    /// Begins to read with what comes next, for a client whose id nobody knows.
    pub(crate) fn follow_unknown(&self) -> (Follower, Joined) {
        self.enter(Instant::now(), |ring| {
            let next = ring.next();
            (next, Found::Unknown(ring.gap(None, next)))
        })
    }

    /// Goes on at this position, whatever was in front of it.
    pub(crate) fn skip_to(&self, position: u64) {
        self.inner.change(|state, _| state.ring.skip_to(position));
    }

    /// From here on, events are numbered here, and not by others: as they are counted here, and so many more.
    pub(crate) fn count_alone(&self, more: u64) {
        self.inner.change(|state, _| state.ring.count_alone(more));
    }

    /// The oldest position that is kept, and the next one.
    pub(crate) fn span(&self) -> (u64, u64) {
        let state = self.inner.lock();
        (state.ring.base(), state.ring.next())
    }

    /// Where what is behind the last event begins that has set this id of the upstream.
    pub(crate) fn behind(&self, upstream: &[u8]) -> Option<u64> {
        self.inner.lock().ring.behind(upstream)
    }

    /// The upstream's last event ID by the last event.
    pub(crate) fn last_upstream(&self) -> Option<Bytes> {
        self.inner.lock().ring.last_upstream()
    }

    /// The last position from this one on that has set an id of the upstream.
    pub(crate) fn last_id_from(&self, from: u64) -> Option<u64> {
        self.inner.lock().ring.last_id_from(from)
    }

    /// How many events it keeps.
    pub(crate) fn limit(&self) -> usize {
        let Limits { events, .. } = self.inner.limits;
        events
    }
}
