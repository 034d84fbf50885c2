//! What the owner tells all members beside events, in order with them.

use std::collections::VecDeque;

use bytes::Bytes;

/// What was told, and what is yet to be.
#[derive(Debug, Default)]
pub(in crate::store) struct Notes {
    /// Each behind so many events that were not sent yet.
    waiting: VecDeque<(usize, Bytes)>,
    /// What was sent and not answered, and behind which position.
    sent: Option<(u64, Bytes)>,
    /// What the store has acknowledged last.
    told: Option<Bytes>,
    /// What the store had and has forgotten, and its last position. It comes first.
    forgotten: Option<(u64, Bytes)>,
}

impl Notes {
    /// To be told behind so many events.
    pub(super) fn push(&mut self, behind: usize, note: Bytes) {
        if self.waiting.back().is_some_and(|(at, _)| *at == behind) {
            self.waiting.pop_back();
        }
        self.waiting.push_back((behind, note));
    }

    /// So many of the events were sent.
    pub(super) fn advance(&mut self, events: usize) {
        for (behind, _) in &mut self.waiting {
            *behind -= events;
        }
    }

    /// How many events may be sent in front of the next note.
    pub(super) fn room(&self) -> usize {
        self.waiting
            .front()
            .map_or(usize::MAX, |(behind, _)| *behind)
    }

    /// The events that were waiting are gone, and what was to be told between them.
    pub(super) fn begin_again(&mut self) {
        let last = self.waiting.pop_back();
        self.waiting.clear();
        self.waiting.extend(last.map(|(_, note)| (0, note)));
    }

    /// A log that this owner has made has nothing of the one before.
    pub(in crate::store) fn inherit(&mut self, note: &Bytes) {
        if !note.is_empty() {
            self.told.get_or_insert_with(|| note.clone());
        }
    }

    /// The store has this note, and this is its last position.
    pub(super) fn resolve(&mut self, position: u64, known: &Bytes) {
        if let Some((_, note)) = self.sent.take() {
            if note == *known {
                self.told = Some(note);
            } else if self.told.as_ref() != Some(&note) {
                self.waiting.push_front((0, note));
            }
        }
        let forgotten = self.told.clone().filter(|told| told != known);
        self.forgotten = forgotten.map(|note| (position, note));
    }

    /// Whether nothing is yet to be told.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_none() && self.forgotten.is_none()
    }

    /// Whether the store may have something of this owner.
    pub(in crate::store) fn has_told(&self) -> bool {
        self.told.is_some() || self.sent.is_some()
    }

    /// What was sent and not answered.
    pub(super) fn sent(&self) -> Option<&(u64, Bytes)> {
        self.sent.as_ref()
    }

    /// Whether a note is to be sent before any more events. `is_new` says that nothing is to be appended once more.
    pub(super) fn is_next(&self, is_new: bool) -> bool {
        self.forgotten.is_some() || is_new && self.room() == 0
    }

    /// The next note, behind this position unless the store has forgotten it.
    pub(super) fn send(&mut self, end: u64) -> Option<&(u64, Bytes)> {
        let waiting = || Some((end, self.waiting.pop_front()?.1));
        self.sent = self.forgotten.take().or_else(waiting);
        self.sent.as_ref()
    }

    /// The store has what was sent.
    pub(in crate::store) fn landed(&mut self) -> Option<Bytes> {
        let (_, note) = self.sent.take()?;
        self.told = Some(note.clone());
        Some(note)
    }
}
