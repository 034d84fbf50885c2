//! Events that are not numbered here.

use bytes::Bytes;
use tokio::time::Instant;

use super::{Count, Entry, Ring};
use crate::history::Given;
use crate::wire::{Epoch, EventId, LineEnding, id_of};

impl Ring {
    /// Appends an event that has its number. What counts events here goes on without holes.
    pub(in super::super) fn push_given(&mut self, given: Given, now: Instant) {
        let sequence = self.sequence() + u64::from(given.has_data);
        self.count(given.epoch, given.number.wrapping_sub(sequence));
        let block = &given.bytes[given.body..];
        self.ending = LineEnding::of_last(block);
        if given.has_data || given.sets_id {
            let id = id_of(&given.bytes[..given.body]).map(EventId::new);
            self.last_id = id.and_then(Result::ok).or(self.last_id.take());
        }
        self.add(Entry {
            sequence,
            bytes: given.bytes,
            body: given.body,
            upstream: given.upstream,
            sets_id: given.sets_id,
            has_data: given.has_data,
            is_gap: given.is_gap,
            at: now,
            spent: 0,
        });
    }

    /// Where what is behind the last event begins that has set this id of the upstream.
    pub(in super::super) fn behind(&self, upstream: &[u8]) -> Option<u64> {
        Some(self.index.get(upstream)? + 1)
    }

    pub(in super::super) fn last_upstream(&self) -> Option<Bytes> {
        let last = self.entries.back().map(|entry| &entry.upstream);
        last.unwrap_or(&self.base_upstream).clone()
    }

    /// The last position from this one on that has set an id.
    pub(in super::super) fn last_id_from(&self, from: u64) -> Option<u64> {
        let from = from.max(self.base);
        (from..self.next())
            .rev()
            .find(|position| self.entry(*position).is_some_and(|entry| entry.sets_id))
    }

    /// Goes on at this position. What is kept in front of it would not be next to it, and goes.
    pub(in super::super) fn skip_to(&mut self, position: u64) {
        while self.pop() {}
        if self.base > 0 {
            // Who has had all so far is not at the same place as who has read on.
            self.base_sequence += 1;
        }
        self.base = position.max(self.base);
    }

    /// From here on, events are numbered here, and not by others.
    pub(in super::super) fn count_alone(&mut self) {
        self.count(self.epoch, 0);
    }

    fn count(&mut self, epoch: Epoch, more: u64) {
        let last = self.counts.last();
        if last.is_some_and(|last| (last.epoch, last.more) == (epoch, more)) {
            return;
        }
        // Of those that are over, only the last says how what was dropped was counted.
        let over = self.counts.iter().rposition(|count| count.from < self.base);
        self.counts.drain(..over.unwrap_or(0));
        self.counts.push(Count {
            from: self.next(),
            epoch,
            more,
        });
    }
}
