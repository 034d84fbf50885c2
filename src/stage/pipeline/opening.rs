//! What stands in front of the first event, and blank lines that would be taken for an event behind what was added.

use std::ops::Range;

use super::{FIRST_OF_BYTE_ORDER_MARK, Pipeline};
use crate::stage::Stage;
use crate::wire::{Event, LineEnding, write_line};

impl<S: Stage> Pipeline<S> {
    /// Keeps the client from taking what the stream now begins with for its byte order mark, which was
    /// left out; it may have a second one, or what stood in front may have been dropped.
    #[cold]
    pub(super) fn guard_first(&mut self, ending: LineEnding) {
        let queued = self.queued.as_deref().unwrap_or_default();
        let first = self.out.bytes.first().or_else(|| queued.first());
        if self.times.counts.sent_bytes > 0 || first != Some(&FIRST_OF_BYTE_ORDER_MARK) {
            return;
        }
        let mut guard = Vec::new();
        write_line(b"", b"", ending, &mut guard);
        self.tail().splice(..0, guard);
    }

    /// Puts in front of what the stages wrote what is due before it.
    pub(super) fn complete_words(&mut self) {
        let ends = self.out.end.is_some();
        if self.out.muted || self.out.bytes.is_empty() && !ends {
            return;
        }
        // The blank line of a heartbeat must not be the first that a client finds behind it.
        let has_data = std::mem::take(&mut self.out.has_data);
        let opens = ends || has_data || !self.out.keeps_comment_blocks;
        let ending = self.decoder.line_ending();
        let mut words = match opens {
            true => self.take_opening(ending),
            false => Vec::new(),
        };
        if ends {
            words.extend_from_slice(&self.decoder.unfinished_retries());
        }
        self.out.bytes.splice(..0, words);
        self.added |= !self.out.bytes.is_empty();
        self.ends_in_cr = false;
        self.guard_first(ending);
    }

    /// The opening, with the line ending of the stream.
    pub(super) fn take_opening(&mut self, ending: LineEnding) -> Vec<u8> {
        let opening = std::mem::take(&mut self.out.opening);
        let lines = opening.split_inclusive(|byte| *byte == b'\n');
        lines
            .flat_map(|line| [&line[..line.len() - 1], ending.as_bytes()])
            .flatten()
            .copied()
            .collect()
    }

    /// Puts the opening behind what came before.
    #[cold]
    pub(super) fn write_opening(&mut self, run: &mut Range<usize>) {
        let opening = self.take_opening(self.decoder.line_ending());
        self.added |= !opening.is_empty();
        self.flush(run);
        self.tail().extend_from_slice(&opening);
    }

    /// Takes the blank line off a block that has no effect, if a client may find something in front of it that was added.
    pub(super) fn without_needless_lines(&mut self, event: Event) -> Option<Event> {
        if event.has_data() || !self.strips_blank_lines() || event.has_effect() {
            return Some(event);
        }
        let len = event.len();
        let event = event.into_comments();
        let left = event.as_ref().map_or(0, Event::len);
        self.times.counts.event_bytes += (len - left) as u64;
        event
    }

    pub(super) fn strips_blank_lines(&self) -> bool {
        let added = self.added || self.times.counts.ids_added > 0;
        added && !self.out.keeps_comment_blocks
    }
}
