//! All that a member has of a log: what its clients read, and which of it the log has.
//!
//! There are two orders. *Entries* are in the order in which clients here are given them, and are counted by places, which
//! have no holes and never change. The *chain* is the log as it was read last. They differ where the store has forgotten
//! what was published: entries that are not in the chain any more, *orphans*, stay, since clients have had them.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::{Frame, Rules, Stored, Was};
use crate::wire::{Epoch, SequentialId};

mod merge;

pub(super) use merge::Merged;

/// All that a member has of a log: what its clients read, and which of it the log has.
#[derive(Debug)]
pub struct Replica {
    epoch: Option<u64>,
    /// All that there were, the latest last.
    epochs: VecDeque<u64>,
    entries: VecDeque<Entry>,
    /// The place of the oldest entry.
    base: u64,
    chain: VecDeque<Link>,
    /// The position and the sequence in front of the chain.
    root: (u64, u64),
    /// By epoch and position: the place.
    positions: HashMap<(u64, u64), u64>,
    /// By epoch and sequence: the place of the last entry that has it.
    numbers: HashMap<(u64, u64), u64>,
    /// The place of the last entry that has set this id.
    index: HashMap<Bytes, u64>,
    limit: usize,
    closed: bool,
    /// The chain begins somewhere else, and nothing in it was known yet.
    strange: bool,
    rules: Rules,
}

#[derive(Debug)]
struct Entry {
    /// None where something was lost.
    event: Option<Stored>,
    /// By the fence under which it came, to know it again by an earlier number.
    fence: super::Fence,
    /// Epoch, position and sequence, once for each number it has had.
    names: Vec<(u64, u64, u64)>,
    /// How many links of the chain are this entry.
    links: u32,
}

/// An event of the log.
#[derive(Clone, Debug)]
struct Link {
    position: u64,
    /// Of the last event with data.
    sequence: u64,
    /// The position in front of it.
    base: u64,
    fence: super::Fence,
    was: Vec<Was>,
    event: Stored,
    place: u64,
}

/// Where a client goes on that comes with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With the entry at this place.
    At(u64),
    /// With the oldest one, and some are not kept any more.
    Evicted(u64),
    /// It has a number of this log that was not read yet, or of another log.
    Ahead,
}

impl Replica {
    /// One that keeps this many events at most.
    pub(super) fn new(limit: usize, rules: Rules) -> Self {
        Replica {
            epoch: None,
            epochs: VecDeque::new(),
            entries: VecDeque::new(),
            base: 0,
            chain: VecDeque::new(),
            root: (0, 0),
            positions: HashMap::new(),
            numbers: HashMap::new(),
            index: HashMap::new(),
            limit: limit.max(1),
            closed: false,
            strange: false,
            rules,
        }
    }

    /// Where the numbers belong to, once that is known.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// The last position of the log and its sequence.
    pub fn tip(&self) -> (u64, u64) {
        self.chain
            .back()
            .map_or(self.root, |link| (link.position, link.sequence))
    }

    /// Whether the log has ended.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the last event of the log says that something may be missing.
    pub fn ends_with_gap(&self) -> bool {
        self.chain.back().is_some_and(|link| link.event.is_gap)
    }

    /// Whether it has nothing of the log.
    pub(super) fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// The place of the entry to come.
    pub fn next(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// The place of the oldest entry.
    pub fn oldest(&self) -> u64 {
        self.base
    }

    /// The entry at this place, if it is kept. `Some(None)` is a loss: nobody knows what is missing there.
    pub fn entry(&self, place: u64) -> Option<Option<&Stored>> {
        let entry = self.entries.get(place.checked_sub(self.base)? as usize)?;
        Some(entry.event.as_ref())
    }

    /// The names of the entry at this place: epoch, position and sequence.
    pub fn names(&self, place: u64) -> &[(u64, u64, u64)] {
        let entry = place.checked_sub(self.base);
        let entry = entry.and_then(|index| self.entries.get(index as usize));
        entry.map_or(&[], |entry| &entry.names)
    }

    /// Where a client goes on that has had this id last.
    pub fn place(&self, id: &SequentialId<'_>) -> Place {
        let known = self
            .epochs
            .iter()
            .find(|bits| Epoch::from_bits(**bits) == id.epoch);
        let number = known.and_then(|epoch| self.numbers.get(&(*epoch, id.sequence)));
        let upstream = || self.index.get(id.upstream?);
        if let Some(place) = number.or_else(upstream) {
            return Place::At(place + 1);
        }
        let is_old = known.is_some() && known == self.epoch.as_ref() && id.sequence <= self.root.1;
        match is_old && id.sequence > 0 {
            true => Place::Evicted(self.base),
            false => Place::Ahead,
        }
    }

    /// Where a client goes on that has had an event with this id of the upstream last.
    pub(super) fn behind(&self, upstream: &[u8]) -> Option<u64> {
        Some(self.index.get(upstream)? + 1)
    }

    /// Whether it has a number of this log, or of one that was there before.
    pub fn knows(&self, epoch: Epoch) -> bool {
        let mut epochs = self.epochs.iter();
        epochs.any(|bits| Epoch::from_bits(*bits) == epoch)
    }

    /// Whether it has a number of the log that is there now.
    pub(super) fn is_of(&self, id: &SequentialId<'_>) -> bool {
        self.epoch
            .is_some_and(|bits| Epoch::from_bits(bits) == id.epoch)
    }

    /// The last id of the upstream in the log.
    pub(super) fn last_upstream(&self) -> Option<Bytes> {
        self.chain.back()?.event.upstream.clone()
    }

    /// Whether what has set this id last is a block without data.
    pub(super) fn is_bare(&self, upstream: &Bytes) -> bool {
        self.last_link(upstream)
            .is_some_and(|link| !link.event.has_data)
    }

    /// The last of the log that has set this id.
    fn last_link(&self, upstream: &Bytes) -> Option<&Link> {
        let sets =
            |link: &&Link| link.event.sets_id && link.event.upstream.as_ref() == Some(upstream);
        self.chain.iter().rev().find(sets)
    }

    /// Whether the log has this event already, sent by the upstream once more.
    pub(super) fn has(&self, upstream: &Bytes, event: &Bytes) -> bool {
        let entry = self.index.get(upstream).and_then(|place| self.get(*place));
        entry.is_some_and(|entry| match entry.links {
            // The last that has set this id is of a log that is not there any more. This one may have it as well.
            0 => self
                .last_link(upstream)
                .is_some_and(|link| link.event.bytes[link.event.body..] == event[..]),
            _ => entry.is(event),
        })
    }

    /// The oldest position that is kept.
    pub(super) fn keep(&self) -> u64 {
        self.root.0 + 1
    }

    /// Whether the log has this position, or had.
    pub(super) fn contains(&self, position: u64) -> bool {
        position == self.root.0 || self.link(position).is_some()
    }

    /// Whether the log has this position, as it was appended under this fence.
    pub(super) fn has_under(&self, position: u64, fence: super::Fence) -> bool {
        self.link(position).is_some_and(|link| link.fence == fence)
    }

    /// What the log had behind this position, as frames with the numbers it had.
    pub(super) fn frames_after(&self, position: u64, fence: super::Fence) -> Vec<Frame> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut sequence = self.root.1;
        let mut size = 0;
        for link in &self.chain {
            let before = std::mem::replace(&mut sequence, link.sequence);
            if link.position <= position {
                continue;
            }
            let last = frames.last_mut().filter(|frame| {
                let follows = frame.last() + 1 == link.position && frame.last() == link.base;
                let is_plain = frame.was.is_empty() && link.was.is_empty();
                let fits = frame.events.len() < super::MAX_EVENTS
                    && size + link.event.bytes.len() < super::MAX_FRAME / 2;
                follows && is_plain && fits
            });
            if let Some(frame) = last {
                size += link.event.bytes.len();
                frame.events.push(link.event.clone());
                continue;
            }
            size = link.event.bytes.len();
            // In a log that was made anew, the first one that is kept follows nothing.
            let base = if frames.is_empty() {
                position
            } else {
                link.base
            };
            // What was left out belongs to the numbers in front of it.
            let left_out = link.position - base - 1;
            frames.push(Frame {
                epoch: self.epoch.unwrap_or(0),
                fence,
                base,
                first: link.position,
                sequence: match left_out {
                    0 => before,
                    _ => link.sequence - u64::from(link.event.has_data),
                },
                was: link.was.clone(),
                events: vec![link.event.clone()],
            });
        }
        frames
    }

    fn link(&self, position: u64) -> Option<&Link> {
        let index = self
            .chain
            .binary_search_by_key(&position, |link| link.position);
        self.chain.get(index.ok()?)
    }

    fn get(&self, place: u64) -> Option<&Entry> {
        self.entries.get(place.checked_sub(self.base)? as usize)
    }

    fn get_mut(&mut self, place: u64) -> Option<&mut Entry> {
        self.entries.get_mut(place.checked_sub(self.base)? as usize)
    }

    /// Drops what is in front of this place. The last event of the log stays: it says behind which id the upstream is asked.
    pub(super) fn forget(&mut self, place: u64) {
        let is_over = |link: &Link| link.place < place;
        while self.chain.len() > 1 && self.chain.front().is_some_and(is_over) {
            self.unlink();
        }
        let place = self
            .chain
            .front()
            .map_or(place, |link| link.place.min(place));
        while self.base < place && !self.entries.is_empty() {
            self.pop();
        }
    }

    fn unlink(&mut self) {
        if let Some(link) = self.chain.pop_front() {
            self.root = (link.position, link.sequence);
            if let Some(entry) = self.get_mut(link.place) {
                entry.links -= 1;
            }
        }
    }

    fn trim(&mut self) {
        while self.chain.len() > self.limit {
            self.unlink();
        }
        while self.entries.len() > self.limit {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        let place = self.base;
        self.base += 1;
        for (epoch, position, sequence) in entry.names {
            self.positions.remove(&(epoch, position));
            if self.numbers.get(&(epoch, sequence)) == Some(&place) {
                self.numbers.remove(&(epoch, sequence));
            }
        }
        let id = entry.event.and_then(|event| event.upstream);
        if let Some(id) = id.filter(|id| self.index.get(id) == Some(&place)) {
            self.index.remove(&id);
        }
    }
}

impl Entry {
    /// Whether a client dispatches the same.
    fn is(&self, body: &Bytes) -> bool {
        let event = self.event.as_ref();
        event.is_some_and(|event| event.bytes[event.body..] == body[..])
    }
}
