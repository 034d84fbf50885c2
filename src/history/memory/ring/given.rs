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

    /// From here on, events are numbered here, and not by others: as they are counted here, and so many more.
    pub(in super::super) fn count_alone(&mut self, more: u64) {
        self.count(self.epoch, more);
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::history::Seal;
    use crate::history::memory::Limits;
    use crate::wire::SequentialId;

    const THEIRS: u64 = 7;

    fn given(number: u64) -> Given {
        let epoch = Epoch::from_bits(THEIRS);
        let id = SequentialId {
            epoch,
            sequence: number,
            upstream: None,
        };
        let line = format!("id: {}\n", id.to_event_id());
        Given {
            has_data: true,
            sets_id: false,
            is_gap: false,
            upstream: None,
            body: line.len(),
            bytes: Bytes::from(line + "data: x\n\n"),
            epoch,
            number,
        }
    }

    fn ring() -> Ring {
        Ring::new(Epoch::from_bits(1), Seal::new([0; 32]), None)
    }

    fn told(ring: &Ring, position: u64) -> (Epoch, u64) {
        let gap = ring.gap(None, position);
        let id = SequentialId::parse(gap.id.as_bytes()).unwrap();
        (id.epoch, id.sequence)
    }

    #[test]
    fn a_gap_has_the_number_of_what_is_in_front_of_it_and_events_are_counted_without_holes() {
        let (mut ring, now) = (ring(), Instant::now());
        for number in [5, 6, 1_000, 1_001] {
            ring.push_given(given(number), now);
        }
        ring.count_alone(0);
        let theirs = Epoch::from_bits(THEIRS);
        let positions = (1..=4).map(|position| told(&ring, position));
        let expected = [5, 6, 1_000, 1_001].map(|number| (theirs, number));
        assert_eq!(positions.collect::<Vec<_>>(), expected);
        assert_eq!(ring.sequence(), 4);
        assert_eq!(ring.missed(1, 3), Some(2));
        assert!(ring.last_id().is_some());
    }

    #[test]
    fn what_was_dropped_says_how_what_is_left_is_counted() {
        let (mut ring, now) = (ring(), Instant::now());
        let limits = Limits {
            events: 2,
            bytes: usize::MAX,
            age: Duration::MAX,
        };
        for number in [1, 10, 20, 30, 40] {
            ring.push_given(given(number), now);
            while ring.is_over(&limits).is_some() {
                ring.pop();
            }
        }
        assert_eq!(told(&ring, ring.base()).1, 20);
        assert_eq!(told(&ring, ring.next()).1, 40);
        assert!(ring.counts.len() <= 4);
    }

    #[test]
    fn who_has_read_all_is_lost_behind_a_skip() {
        let (mut ring, now) = (ring(), Instant::now());
        ring.push_given(given(1), now);
        let read = ring.sequence();
        ring.skip_to(10);
        ring.push_given(given(9), now);
        assert_eq!((ring.base(), ring.next()), (10, 11));
        assert_ne!(ring.sequence_before(10), read);
        assert_eq!(told(&ring, 11).1, 9);
    }
}
