//! What was read or heard of a log joins what is there, by which numbers are known and not by which are larger: the store may
//! have forgotten large ones.

use super::{Entry, Frame, Link, Replica, Stored, Was};
use crate::store::{Fence, Rule};

/// Of how many logs numbers are known.
const EPOCHS: usize = 8;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Merged {
    /// All of it was known.
    Known,
    /// It is there now.
    Added,
    /// What it follows is not known.
    Hole,
}

impl Replica {
    /// Begins with another log, or at another place of it. What is there stays, and is known again where it comes again.
    pub(in crate::store) fn begin(&mut self, epoch: u64, root: (u64, u64)) {
        self.cut(0);
        self.root = root;
        self.strange = !self.entries.is_empty();
        self.epoch = Some(epoch);
        self.epochs.retain(|known| *known != epoch);
        self.epochs.push_back(epoch);
        if self.epochs.len() > EPOCHS {
            self.epochs.pop_front();
        }
    }

    /// Adds what is not there yet.
    pub(in crate::store) fn merge(&mut self, frame: &Frame) -> Merged {
        if self.epoch != Some(frame.epoch) {
            return Merged::Hole;
        }
        let mut merged = Merged::Known;
        let mut sequence = frame.sequence;
        for (index, event) in frame.events.iter().enumerate() {
            let position = frame.first + index as u64;
            sequence += u64::from(event.has_data);
            let is_trimmed = self.root.0 >= position && !self.chain.is_empty();
            if is_trimmed || self.contains(position) {
                continue;
            }
            let base = if index == 0 { frame.base } else { position - 1 };
            if base != self.tip().0 {
                if !self.contains(base) {
                    return Merged::Hole;
                }
                self.roll_back(base);
            }
            let was = frame.was.iter().map(|was| Was {
                first: was.first + index as u64,
                fence: was.fence,
            });
            self.push(Link {
                position,
                sequence,
                base,
                fence: frame.fence,
                was: was.collect(),
                event: event.clone(),
                place: 0,
            });
            merged = Merged::Added;
        }
        self.trim();
        merged
    }

    /// The log goes on behind this position, so what was behind it is not of the log any more.
    fn roll_back(&mut self, base: u64) {
        let kept = self.chain.partition_point(|link| link.position <= base);
        self.cut(kept);
        // Nothing in front of the first event of all says what that follows.
        self.strange |= base == 0 && !self.entries.is_empty();
    }

    fn cut(&mut self, kept: usize) {
        for link in self.chain.split_off(kept) {
            if let Some(entry) = self.get_mut(link.place) {
                entry.links -= 1;
            }
        }
    }

    fn push(&mut self, mut link: Link) {
        let Some(epoch) = self.epoch else {
            return;
        };
        let name = (epoch, link.position, link.sequence);
        let place = match self.find(epoch, &link) {
            Some(place) => {
                self.strange = false;
                place
            }
            None => {
                self.settle(&link.event, link.fence);
                self.entries.push_back(Entry {
                    event: Some(link.event.clone()),
                    fence: link.fence,
                    names: Vec::new(),
                    links: 0,
                });
                self.next() - 1
            }
        };
        if let Some(entry) = self.get_mut(place) {
            entry.links += 1;
            if !entry.names.contains(&name) {
                entry.names.push(name);
            }
        }
        self.positions.insert((epoch, link.position), place);
        let number = self.numbers.entry((epoch, link.sequence)).or_insert(place);
        *number = place.max(*number);
        if let (true, Some(id)) = (link.event.sets_id, &link.event.upstream) {
            let last = self.index.entry(id.clone()).or_insert(place);
            *last = place.max(*last);
        }
        link.place = place;
        self.chain.push_back(link);
    }

    /// Where this event is already, that clients may have had, behind what the log has in front of it.
    fn find(&self, epoch: u64, link: &Link) -> Option<u64> {
        let before = self.chain.back().map(|link| link.place);
        let found = self.find_anywhere(epoch, link)?;
        before.is_none_or(|before| found > before).then_some(found)
    }

    /// By this number, an earlier one, or as an orphan.
    fn find_anywhere(&self, epoch: u64, link: &Link) -> Option<u64> {
        if let Some(place) = self.positions.get(&(epoch, link.position)) {
            return Some(*place);
        }
        for was in &link.was {
            let place = self.positions.get(&(epoch, was.first));
            let is_it = |place: &&u64| {
                self.get(**place)
                    .is_some_and(|entry| entry.fence == was.fence)
            };
            if let Some(place) = place.filter(is_it) {
                return Some(*place);
            }
        }
        let id = link.event.upstream.as_ref();
        let id = id.filter(|_| link.event.sets_id && self.rules.hold(Rule::Orphans))?;
        let place = *self.index.get(id)?;
        let entry = self.get(place)?;
        let body = link.event.bytes.slice(link.event.body..);
        // A block that sets an id alone says where a log begins, whatever had set it.
        (entry.links == 0 && (!link.event.has_data || entry.is(&body))).then_some(place)
    }

    /// Notes a loss in front of an event that does not follow what is there: clients have had others in its place.
    fn settle(&mut self, event: &Stored, fence: Fence) {
        let is_strange = std::mem::take(&mut self.strange);
        let before = self.chain.back().map_or(self.base, |link| link.place + 1);
        let skipped = before.saturating_sub(self.base) as usize;
        let mut behind = self.entries.iter().skip(skipped);
        // Also a block that sets an id alone: clients that had the event with that id go on behind it.
        let is_orphan = |entry: &Entry| entry.links == 0 && entry.event.is_some();
        if !event.is_gap && (is_strange || behind.any(is_orphan)) {
            self.entries.push_back(Entry {
                event: None,
                fence,
                names: Vec::new(),
                links: 0,
            });
        }
    }
}
