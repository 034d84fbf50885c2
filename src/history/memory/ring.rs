//! The events of one log in the order they came, and where each id is.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Cause, Limits};
use crate::history::{Draft, Gap, Seal, Start, order};
use crate::wire::{Epoch, Event, EventId, LineEnding, SequentialId};

#[cfg(feature = "redis")]
mod given;

/// An event that is kept.
#[derive(Debug)]
pub(super) struct Entry {
    /// The number of the last event with data, this one included.
    pub(super) sequence: u64,
    /// All of the event with its id, copied: a slice of a chunk would pin all of it.
    pub(super) bytes: Bytes,
    /// Where what the upstream sent begins, behind an id line of ours.
    body: usize,
    upstream: Option<Bytes>,
    sets_id: bool,
    pub(super) has_data: bool,
    is_gap: bool,
    at: Instant,
    /// What all events up to this one have cost.
    spent: u64,
}

/// See the [module docs](self). Positions count entries, and never begin anew.
#[derive(Debug)]
pub(super) struct Ring {
    epoch: Epoch,
    seal: Seal,
    entries: VecDeque<Entry>,
    /// The position of the oldest entry.
    base: u64,
    /// As of the entry in front of `base`.
    base_sequence: u64,
    base_upstream: Option<Bytes>,
    /// The number of the last event that told of a gap and is not kept any more.
    base_gap: u64,
    /// As of before the first entry of all.
    behind: Option<Bytes>,
    /// From the ids that the upstream set to the position of the last entry that did.
    index: HashMap<Bytes, u64>,
    cost: usize,
    /// What all events have cost so far, also those that were dropped.
    spent: u64,
    ending: LineEnding,
    last_id: Option<EventId>,
    /// Where the numbers in ids are others than those that count here, the latest last. Empty but for a log that others write.
    counts: Vec<Count>,
}

/// From a position on, ids have this epoch, and numbers that are larger by this much, or less where it wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    from: u64,
    epoch: Epoch,
    more: u64,
}

/// What an entry takes beside its bytes: itself, its entry in the index, and two allocations.
const OVERHEAD: usize = 192;

/// A longer id of the upstream is not carried behind the dot: it would come back in a header.
pub(crate) const MAX_UPSTREAM_ID: usize = 256;

impl Ring {
    pub(super) fn new(epoch: Epoch, seal: Seal, behind: Option<Bytes>) -> Self {
        Ring {
            epoch,
            seal,
            entries: VecDeque::new(),
            base: 0,
            base_sequence: 0,
            base_upstream: behind.clone(),
            base_gap: 0,
            behind,
            index: HashMap::new(),
            cost: 0,
            spent: 0,
            ending: LineEnding::default(),
            last_id: None,
            counts: Vec::new(),
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// What is kept from this position on costs so much.
    pub(super) fn cost_from(&self, position: u64) -> usize {
        let before = position.checked_sub(1).and_then(|last| self.entry(last));
        before.map_or(self.cost, |last| (self.spent - last.spent) as usize)
    }

    pub(super) fn last_id(&self) -> Option<EventId> {
        self.last_id.clone()
    }

    pub(super) fn entry(&self, position: u64) -> Option<&Entry> {
        let index = position.checked_sub(self.base)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    pub(super) fn push(&mut self, draft: Draft, now: Instant) {
        let has_data = draft.event.has_data();
        let sequence = self.sequence() + u64::from(has_data);
        self.ending = draft.event.line_ending();
        let keep = draft.keep_id && draft.sets_id;
        let (bytes, body) = if keep || !(has_data || draft.sets_id) {
            if keep {
                let id = draft.upstream.as_deref().map(EventId::new);
                self.last_id = id.and_then(Result::ok);
            }
            (draft.event.to_bytes(), 0)
        } else {
            let id = self.id(self.next(), sequence, draft.upstream.as_deref());
            let event = draft.event.with_id(id.clone());
            self.last_id = Some(id);
            let bytes = event.to_bytes();
            let body = bytes.len() - event.block().len();
            (bytes, body)
        };
        self.add(Entry {
            sequence,
            bytes: Bytes::copy_from_slice(&bytes),
            body,
            upstream: draft.upstream,
            sets_id: draft.sets_id,
            has_data,
            is_gap: draft.is_gap,
            at: now,
            spent: 0,
        });
    }

    #[inline]
    fn add(&mut self, mut entry: Entry) {
        self.cost += entry.cost();
        self.spent += entry.cost() as u64;
        entry.spent = self.spent;
        if let (true, Some(id)) = (entry.sets_id, &entry.upstream) {
            self.index.insert(id.clone(), self.next());
        }
        self.entries.push_back(entry);
    }

    /// Drops the oldest.
    pub(super) fn pop(&mut self) -> bool {
        let Some(entry) = self.entries.pop_front() else {
            return false;
        };
        self.cost -= entry.cost();
        if let (true, Some(id)) = (entry.sets_id, &entry.upstream) {
            if self.index.get(id) == Some(&self.base) {
                self.index.remove(id);
            }
        }
        self.base += 1;
        self.base_sequence = entry.sequence;
        self.base_upstream = entry.upstream;
        if entry.is_gap {
            self.base_gap = entry.sequence;
        }
        if self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
            self.index.shrink_to(self.index.len() * 2);
        }
        true
    }

    /// Why the oldest is to be dropped, but for its age. The newest stays, whatever its size, for those who wait for it.
    pub(super) fn is_over(&self, limits: &Limits) -> Option<Cause> {
        if self.entries.len() <= 1 {
            None
        } else if self.entries.len() > limits.events {
            Some(Cause::Events)
        } else {
            (self.cost > limits.bytes).then_some(Cause::Bytes)
        }
    }

    /// Drops what is too old, and tells how much that was.
    pub(super) fn expire(&mut self, age: Duration, now: Instant) -> u64 {
        let before = self.base;
        while let Some(oldest) = self.entries.front() {
            if now.saturating_duration_since(oldest.at) < age {
                break;
            }
            self.pop();
        }
        self.base - before
    }

    pub(super) fn oldest_until(&self, age: Duration) -> Option<Instant> {
        self.entries.front()?.at.checked_add(age)
    }

    /// The number of the last event with data.
    pub(super) fn sequence(&self) -> u64 {
        self.entries
            .back()
            .map_or(self.base_sequence, |entry| entry.sequence)
    }

    /// The number of the last event with data in front of this position.
    pub(super) fn sequence_before(&self, position: u64) -> u64 {
        if position <= self.base {
            return self.base_sequence;
        }
        self.entry(position - 1)
            .map_or(self.sequence(), |entry| entry.sequence)
    }

    /// How many events with data somebody has missed who has had all up to this number, and goes on at this position. Not
    /// known where one of them told of a gap.
    pub(super) fn missed(&self, read_up_to: u64, position: u64) -> Option<u64> {
        let kept = self.entries.iter().take((position - self.base) as usize);
        let is_told = |entry: &Entry| entry.is_gap && entry.sequence > read_up_to;
        let is_known = self.base_gap <= read_up_to && !kept.into_iter().any(is_told);
        let missed = self.sequence_before(position).checked_sub(read_up_to);
        missed.filter(|_| is_known)
    }

    /// How many events with data there are from here on.
    pub(super) fn ahead(&self, position: u64) -> u64 {
        self.sequence() - self.sequence_before(position)
    }

    /// The position behind the event that gave this last event ID: it may be one that is not kept any more.
    ///
    /// # Errors
    ///
    /// When it is not known; with how many were missed, where that is.
    pub(super) fn position_after(&self, id: &[u8]) -> Result<Resume, ()> {
        let ours = SequentialId::parse(id);
        if let Some(ours) = ours.filter(|id| id.epoch == self.epoch) {
            return if ours.sequence > self.sequence() {
                Err(())
            } else if ours.sequence < self.base_sequence {
                Ok(Resume::Evicted(ours.sequence))
            } else {
                // The first that a client with this number has not had, comments behind it left out.
                let seen = self
                    .entries
                    .partition_point(|e| e.sequence <= ours.sequence);
                Ok(Resume::At(self.base + seen as u64))
            };
        }
        if id.is_empty() {
            return Err(());
        }
        let found = self.index.get(id).or_else(|| {
            let upstream = ours?.upstream?;
            self.index.get(upstream)
        });
        if let Some(position) = found {
            return Ok(Resume::At(position + 1));
        }
        let behind = self.behind.as_deref().ok_or(())?;
        if id != behind && ours.and_then(|id| id.upstream) != Some(behind) {
            return Err(());
        }
        Ok(if self.base_sequence == 0 {
            Resume::At(self.base)
        } else {
            Resume::Evicted(0)
        })
    }

    /// The position of the first event whose id comes behind this one, as far as that can be seen.
    pub(super) fn position_past(&self, upstream: &[u8]) -> Option<u64> {
        let is_past = |entry: &Entry| {
            let id = entry.upstream.as_deref().filter(|_| entry.sets_id);
            id.and_then(|id| order(id, upstream)) == Some(Ordering::Greater)
        };
        let index = self.entries.iter().position(is_past)?;
        Some(self.base + index as u64)
    }

    pub(super) fn position_of(&self, start: &Start) -> u64 {
        match start {
            Start::Live | Start::After(_) => self.next(),
            Start::All => self.base,
            Start::At(position) => *position,
            Start::Last(events) => {
                let skipped = self.sequence().saturating_sub(*events);
                self.base + self.entries.partition_point(|e| e.sequence <= skipped) as u64
            }
        }
    }

    pub(super) fn find_same(&self, draft: &Draft) -> Option<u64> {
        let position = *self.index.get(draft.upstream.as_ref()?)?;
        self.is_same(position, draft).then_some(position)
    }

    pub(super) fn find_next_same(&self, from: u64, draft: &Draft) -> Option<u64> {
        // What has no data is not sent again with the rest.
        let mut position = from;
        while self.entry(position).is_some_and(|entry| !entry.has_data) {
            position += 1;
        }
        let next = self.entry(position)?;
        (!next.sets_id && self.is_same(position, draft)).then_some(position)
    }

    /// Whether a client dispatches the same. The bytes may be others: comment and `retry` lines in front of an event
    /// are one with it or apart from it, and a CR is followed by LF or not, by where a chunk ended.
    fn is_same(&self, position: u64, draft: &Draft) -> bool {
        let Some(entry) = self.entry(position) else {
            return false;
        };
        let kept = Event::unfinished(entry.bytes.slice(entry.body..), self.ending);
        kept.event_type() == draft.event.event_type() && kept.data() == draft.event.data()
    }

    /// What to tell a client that goes on at this position.
    pub(super) fn gap(&self, missed: Option<u64>, position: u64) -> Gap {
        let upstream = if position <= self.base {
            self.base_upstream.as_deref()
        } else {
            let before = self.entry(position - 1).or(self.entries.back());
            before.and_then(|entry| entry.upstream.as_deref())
        };
        Gap {
            missed,
            id: self.id(
                position.saturating_sub(1),
                self.sequence_before(position),
                upstream,
            ),
            ending: self.ending,
        }
    }

    /// That of an event at this position.
    fn id(&self, position: u64, sequence: u64, upstream: Option<&[u8]>) -> EventId {
        let count = self.counts.iter().rfind(|count| count.from <= position);
        let (epoch, more) = count.map_or((self.epoch, 0), |count| (count.epoch, count.more));
        let id = SequentialId {
            epoch,
            sequence: sequence.wrapping_add(more),
            upstream: upstream.filter(|id| !id.is_empty() && id.len() <= MAX_UPSTREAM_ID),
        };
        self.seal.write(&id)
    }
}

/// Where a client goes on that comes with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    At(u64),
    /// It has had the event with this number, and some behind it are not kept.
    Evicted(u64),
}

impl Entry {
    fn cost(&self) -> usize {
        self.bytes.len() + self.upstream.as_ref().map_or(0, Bytes::len) + OVERHEAD
    }
}
