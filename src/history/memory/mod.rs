//! Events kept in this process.

mod follower;
mod level;
mod log;
mod readers;
mod ring;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;

use log::Inner;

use super::{History, Logs, Reserved, Seal};
use crate::wire::Epoch;

pub use follower::Follower;
pub use level::{Batch, Next, Place, Reader, Reading};
pub use log::MemoryLog;
pub(crate) use ring::MAX_UPSTREAM_ID;

/// Keeps events in memory, bounded for each log, and with one budget for all logs. Clones are the same history,
/// and may have other bounds for the logs that they open.
///
/// What it costs to keep an event counts beside its bytes. When all logs together are over the budget, the largest
/// gives way first, and what nobody has yet to read before what somebody has.
#[derive(Clone)]
pub struct MemoryHistory {
    store: Arc<Store>,
    limits: Limits,
}

/// Events that were dropped, by what made them be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Evictions {
    /// The log had too many events.
    pub events: u64,
    /// The log had too many bytes.
    pub bytes: u64,
    /// They were too old.
    pub age: u64,
    /// All logs together had too many bytes.
    pub budget: u64,
}

impl Evictions {
    pub(super) fn count(&mut self, cause: Cause, events: u64) {
        *match cause {
            Cause::Events => &mut self.events,
            Cause::Bytes => &mut self.bytes,
            Cause::Age => &mut self.age,
            Cause::Budget => &mut self.budget,
        } += events;
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

#[derive(Clone, Copy)]
pub(super) enum Cause {
    Events,
    Bytes,
    Age,
    Budget,
}

/// What is not dropped for the budget.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spare {
    Nothing,
    /// What the reader that is furthest ahead has yet to read.
    Unread,
}

/// What the logs of one history share.
///
/// Locks are taken in one order: that of `logs` before that of a log, and never the other way round.
pub(super) struct Store {
    budget: usize,
    /// Of logs and of what was reserved.
    total: AtomicUsize,
    reserved: AtomicUsize,
    evictions: [AtomicU64; 4],
    logs: Mutex<HashMap<u64, Weak<Inner>>>,
    next: AtomicU64,
}

impl MemoryHistory {
    /// At most 1000 events, 1 MiB and 5 minutes for each log, and 256 MiB for all.
    pub fn new() -> Self {
        MemoryHistory {
            store: Arc::new(Store::new(256 * 1024 * 1024)),
            limits: Limits {
                events: 1000,
                bytes: 1024 * 1024,
                age: Duration::from_secs(300),
            },
        }
    }

    /// Sets how many events a log keeps that is opened from here on. It stays under the budget of the others.
    #[must_use]
    pub fn with_events(mut self, events: usize) -> Self {
        self.limits.events = events;
        self
    }

    /// Sets how many bytes a log keeps, in the same way. Its newest event stays even when it is larger.
    #[must_use]
    pub fn with_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// Sets how long a log keeps an event, in the same way.
    #[must_use]
    pub fn with_age(mut self, age: Duration) -> Self {
        self.limits.age = age;
        self
    }

    /// Begins a new history, whose logs keep so many bytes together.
    #[must_use]
    pub fn with_budget(self, bytes: usize) -> Self {
        MemoryHistory {
            store: Arc::new(Store::new(bytes)),
            limits: self.limits,
        }
    }

    /// How many bytes all logs keep together.
    pub fn bytes(&self) -> usize {
        self.held() - self.reserved()
    }

    /// How many bytes are reserved for what relays hold beside events: keys, heads, and the bodies of requests.
    pub fn reserved(&self) -> usize {
        self.store.reserved.load(Ordering::Relaxed)
    }

    /// All bytes that count against the budget: those of logs, and those that are reserved.
    pub fn held(&self) -> usize {
        self.store.total.load(Ordering::Relaxed)
    }

    /// How many logs are open.
    pub fn logs(&self) -> usize {
        self.store.lock().len()
    }

    /// Events that were dropped so far to stay within the bounds.
    pub fn evictions(&self) -> Evictions {
        let [events, bytes, age, budget] =
            [0, 1, 2, 3].map(|cause: usize| self.store.evictions[cause].load(Ordering::Relaxed));
        Evictions {
            events,
            bytes,
            age,
            budget,
        }
    }
}

impl Default for MemoryHistory {
    fn default() -> Self {
        Self::new()
    }
}

impl History for MemoryHistory {}

impl Logs for MemoryHistory {
    type Log = MemoryLog;

    fn open(&self, epoch: Epoch, seal: Seal, behind: Option<Bytes>) -> MemoryLog {
        let number = self.store.next.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(Inner::new(
            self.store.clone(),
            self.limits,
            number,
            (epoch, seal),
            behind,
        ));
        self.store.lock().insert(number, Arc::downgrade(&inner));
        MemoryLog::new(inner)
    }

    /// At most half of the budget may be reserved: the rest is for events. They give way.
    fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let most = self.store.budget / 2;
        let reserved = &self.store.reserved;
        reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                now.checked_add(bytes).filter(|after| *after <= most)
            })
            .ok()?;
        self.store.resized(0, bytes);
        let reserved = Reserved::of(self.store.clone(), bytes);
        if self.store.is_over_budget() {
            self.store.enforce_budget();
        }
        Some(reserved)
    }
}

impl Store {
    fn new(budget: usize) -> Self {
        Store {
            budget,
            total: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            evictions: Default::default(),
            logs: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    pub(super) fn count(&self, cause: Cause, events: u64) {
        self.evictions[cause as usize].fetch_add(events, Ordering::Relaxed);
    }

    /// How many bytes are left for one log to be ahead of its reader by, when so many more are kept than was told. As in the
    /// buffer of a switch, what is left for each falls while others fill it; a part stays for one event of each log.
    pub(super) fn left(&self, more: usize) -> usize {
        let total = self.total.load(Ordering::Relaxed) + more;
        (self.budget - self.budget / 16).saturating_sub(total)
    }

    /// A log's size has changed.
    pub(super) fn resized(&self, before: usize, after: usize) {
        if after >= before {
            self.total.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.total.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// What was reserved is not held any more.
    pub(super) fn give_back(&self, bytes: usize) {
        self.resized(bytes, 0);
        self.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn closed(&self, number: u64) {
        self.lock().remove(&number);
    }

    pub(super) fn is_over_budget(&self) -> bool {
        self.total.load(Ordering::Relaxed) > self.budget
    }

    /// Drops events until all logs are within the budget: first those of the largest that nobody has yet to read, then any
    /// log's, and only then those of the largest that somebody has yet to read. No log may be locked by the caller.
    #[cold]
    pub(super) fn enforce_budget(&self) {
        // Somewhat more than needed, so that the logs are not looked through for each event.
        let goal = self.budget - self.budget / 64;
        let logs = self.lock();
        let logs: Vec<Arc<Inner>> = {
            // To be dropped behind the lock: the last of its kind wants the lock as well.
            let all = logs.values().filter_map(Weak::upgrade).collect();
            drop(logs);
            all
        };
        let logs = self.level(logs, goal, Spare::Unread);
        for log in &logs {
            match self.over(goal) {
                0 => return,
                over => log.evict_to(log.size().saturating_sub(over), Spare::Unread),
            }
        }
        self.level(logs, goal, Spare::Nothing);
    }

    /// Makes the largest as small as the others, until it is enough. Gives the logs, the largest first.
    fn level(&self, mut logs: Vec<Arc<Inner>>, goal: usize, spare: Spare) -> Vec<Arc<Inner>> {
        logs.retain(|log| log.size() > 0);
        // Not sorted by what changes meanwhile.
        logs.sort_by_cached_key(|log| std::cmp::Reverse(log.size()));
        let sizes: Vec<usize> = logs.iter().map(|log| log.size()).collect();
        let (count, level) = level(&sizes, self.over(goal));
        for log in &logs[..count] {
            if self.over(goal) == 0 {
                break;
            }
            log.evict_to(level, spare);
        }
        logs
    }

    fn over(&self, goal: usize) -> usize {
        self.total.load(Ordering::Relaxed).saturating_sub(goal)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Weak<Inner>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the largest must be made how small, so that all together are smaller by this. The sizes fall.
fn level(sizes: &[usize], over: usize) -> (usize, usize) {
    let mut sum = 0_usize;
    for (index, size) in sizes.iter().enumerate() {
        sum = sum.saturating_add(*size);
        let count = index + 1;
        let next = sizes.get(count).copied().unwrap_or(0);
        if sum.saturating_sub(next.saturating_mul(count)) >= over {
            return (count, sum.saturating_sub(over) / count);
        }
    }
    (sizes.len(), 0)
}

impl fmt::Debug for MemoryHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHistory")
            .field("limits", &self.limits)
            .field("budget", &self.store.budget)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_made_as_small_as_it_takes() {
        assert_eq!(level(&[100, 40, 30], 50), (1, 50));
        assert_eq!(level(&[100, 40, 30], 60), (1, 40));
        assert_eq!(level(&[100, 40, 30], 70), (2, 35));
        assert_eq!(level(&[100, 40, 30], 110), (3, 20));
        assert_eq!(level(&[100, 40, 30], 1000), (3, 0));
        assert_eq!(level(&[], 1), (0, 0));
        assert_eq!(level(&[10; 10_000], 20_000), (10_000, 8));
    }
}
