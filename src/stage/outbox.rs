//! Where stages write, between two events.

use std::time::Duration;

use super::{End, Reason};
use crate::wire::{Event, EventBuilder, LineEnding, millis, split_lines, write_line};

/// Where a stage writes events and lines, and ends the stream.
///
/// Lines end as those of the stream do. What is written after the end is left out.
///
/// A reconnection time that is written when the stream opens waits, if nothing else is written then: it goes out in
/// front of the first block with data, or of what is written next.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_sse::stage::{End, Outbox, Reason};
///
/// let mut out = Outbox::new();
/// out.comment("see you");
/// out.retry(Duration::from_secs(5));
/// out.end(Reason::DRAIN);
/// assert_eq!(out.as_bytes(), b": see you\nretry: 5000\n");
/// assert_eq!(out.ended(), Some(End::Closed(Reason::DRAIN)));
/// ```
#[derive(Debug, Default)]
pub struct Outbox {
    pub(super) bytes: Vec<u8>,
    pub(super) ending: LineEnding,
    pub(super) end: Option<End>,
    /// Of a client that does not come back by itself.
    pub(super) is_finite: bool,
    pub(super) heartbeats: u64,
    /// In the middle of an event that is too large: nothing may be written.
    pub(super) muted: bool,
    /// Something was left out since it was muted.
    pub(super) left_out: bool,
    /// Reconnection times that wait for the first event with data. Their lines end in LF.
    pub(super) opening: Vec<u8>,
    /// The stream opens just now.
    pub(super) opens: bool,
    pub(super) keeps_comment_blocks: bool,
    /// An event with data is among what was written.
    pub(super) has_data: bool,
}

impl Outbox {
    /// An empty one, to test a stage with.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a comment: a line without a blank line, which no client takes for an event.
    ///
    /// Each line of the text is a comment of its own.
    pub fn comment(&mut self, text: impl AsRef<[u8]>) {
        self.write(|bytes, ending| {
            for line in split_lines(text.as_ref()) {
                write_line(b"", line, ending, bytes);
            }
        });
    }

    /// Writes the reconnection time, in whole milliseconds: a line without a blank line, which clients
    /// apply when they read it.
    pub fn retry(&mut self, time: Duration) {
        let time = millis(time);
        if self.opens {
            write_line(b"retry", time.as_bytes(), LineEnding::Lf, &mut self.opening);
        } else {
            self.write(|bytes, ending| write_line(b"retry", time.as_bytes(), ending, bytes));
        }
    }

    /// Writes an event, whatever line ending it was built with.
    pub fn event(&mut self, event: &EventBuilder) {
        self.has_data |= event.has_data();
        self.write(|bytes, ending| event.write_to(ending, bytes));
    }

    /// Writes an event that came from upstream, as it is.
    pub fn forward(&mut self, event: &Event) {
        self.has_data |= event.has_data();
        self.write(|bytes, _| event.write_to(bytes));
    }

    /// Keeps the blank lines of blocks that hold only comments, for clients that need them.
    ///
    /// Without it such a block is handed on without its blank line once anything was added to the stream: there are
    /// clients that take the blank line for the end of an event when they have read an id or a reconnection time.
    pub fn keep_comment_blocks(&mut self) {
        self.keeps_comment_blocks = true;
    }

    /// Counts what was just written as a heartbeat.
    pub fn count_heartbeat(&mut self) {
        if self.is_open() {
            self.heartbeats += 1;
        }
    }

    /// Ends the stream behind what was written: a client that comes back by itself, as after a GET, goes on from here.
    /// That of a request with another method is [broken off](Self::break_off), or its client would take half an answer
    /// for a whole one.
    ///
    /// Of an event that has not come whole from upstream nothing was sent, unless it was too large to be held back, and
    /// nothing will be.
    pub fn end(&mut self, reason: Reason) {
        match self.is_finite {
            true => self.break_off(reason),
            false => self.end_as(End::Closed(reason)),
        }
    }

    /// Ends the stream as one that is not whole, behind what was written. Its body fails, where the user has asked for
    /// [`BrokenEnds`](super::BrokenEnds).
    pub fn break_off(&mut self, reason: Reason) {
        self.end_as(End::Broken(reason));
    }

    /// How the stream was ended, if it was.
    pub fn ended(&self) -> Option<End> {
        self.end
    }

    fn end_as(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// What was written and has not been sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn is_open(&self) -> bool {
        self.end.is_none() && !self.muted
    }

    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>, LineEnding)) {
        if self.is_open() {
            write(&mut self.bytes, self.ending);
        } else {
            self.left_out = true;
        }
    }
}
