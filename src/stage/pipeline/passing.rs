//! Events go from the decoder through the stages, and out.

use std::ops::Range;

use bytes::Bytes;

use super::{JOINED_SIZE, Pipeline};
use crate::stage::{Passing, Stage};
use crate::wire::{Decoded, Event, Plain, Taken};

impl<S: Stage> Pipeline<S> {
    /// Passes events through the stages until there is something to send.
    ///
    /// Neighbours that no stage touched leave as one slice of the chunk.
    #[inline(never)]
    pub(super) fn work(&mut self, mut run: Range<usize>) {
        while !self.decoder.is_drained() {
            let unseen = match self.stage.passing() {
                Passing::Seen => None,
                _ => self.pass_unseen(&mut run),
            };
            let goes_on = match unseen {
                Some(goes_on) => goes_on,
                None => match self.decoder.next_plain() {
                    Some((event, start)) => self.pass(event, start, &mut run),
                    None => self.pass_other(&mut run),
                },
            };
            if !goes_on {
                break;
            }
        }
        self.flush(&mut run);
        if !self.decoder.chunk().is_empty() && self.decoder.is_drained() {
            self.decoder.release_chunk();
        }
    }

    /// Passes events that no stage wants to see, as many as there are in a row. False when there is nothing, or enough to
    /// send; None when what is next is to be seen.
    #[inline(never)]
    fn pass_unseen(&mut self, run: &mut Range<usize>) -> Option<bool> {
        let Some(next) = self.decoder.peek_plain() else {
            return Some(self.pass_other(run));
        };
        let left = match self.stage.passing() {
            Passing::WithIds(ids) if ids.gives(next.kinds) => {
                return Some(self.give_ids(next, run));
            }
            Passing::WithIds(ids) => {
                let leaves = |block: &_, plain: Plain| ids.leaves(block, plain.kinds);
                self.decoder.take_plain(next, leaves)
            }
            _ => self.decoder.take_plain(next, |_, _| true),
        };
        if left.events == 0 {
            return None;
        }
        self.passed(&left);
        Some(self.keep(left.start..left.end, run))
    }

    /// Gives an id to the event that is next, and to those behind it for which there is room.
    #[inline(always)]
    fn give_ids(&mut self, next: Plain, run: &mut Range<usize>) -> bool {
        self.flush(run);
        if self.queued.is_some() {
            self.tail();
        }
        let Passing::WithIds(ids) = self.stage.passing() else {
            unreachable!("it gave ids just now");
        };
        let out = &mut self.out.bytes;
        if out.is_empty() {
            let rest = self.decoder.remaining() - next.len;
            *out = room(next.len, ids.line_len(next.ending), rest);
        }
        let full = JOINED_SIZE.max(out.len() + 1);
        let given = self.decoder.take_plain(next, |block, plain| {
            let gives = ids.gives(plain.kinds) && out.len() < full;
            if gives {
                ids.write_next(plain.ending, out);
                out.extend_from_slice(block);
            }
            gives
        });
        self.times.counts.ids_added += given.events;
        self.passed(&given);
        self.out.bytes.len() < JOINED_SIZE
    }

    /// Tells the stages of events that they have not seen.
    #[inline(always)]
    fn passed(&mut self, taken: &Taken) {
        self.times.counts.events += taken.events;
        self.times.counts.event_bytes += (taken.end - taken.start) as u64;
        self.stage.on_passed(taken.events, &self.times);
    }

    /// Sends a piece of the chunk as it is, together with the run if it is right behind it. False when there is enough.
    #[inline(always)]
    fn keep(&mut self, piece: Range<usize>, run: &mut Range<usize>) -> bool {
        let goes_on = run.end == piece.start || {
            self.flush(run);
            run.start = piece.start;
            !self.has_enough()
        };
        run.end = piece.end;
        goes_on
    }

    /// The same while nothing was sent, or there is an opening to be put in its place.
    #[cold]
    pub(super) fn begin(&mut self) {
        let mut run = 0..0;
        let mut goes_on = true;
        while goes_on && !self.decoder.is_drained() {
            if self.out.opening.is_empty() && (self.has_output() || !run.is_empty()) {
                // What is behind it is as in any chunk.
                break;
            }
            goes_on = self.pass_other(&mut run);
        }
        if goes_on {
            self.work(run);
        } else {
            self.flush(&mut run);
            if self.decoder.is_drained() {
                self.decoder.release_chunk();
            }
        }
        self.guard_first(self.decoder.line_ending());
        self.begins = !self.has_output() || !self.out.opening.is_empty();
    }

    /// What is not a block like most. False when there is nothing, or enough to send.
    #[inline(never)]
    fn pass_other(&mut self, run: &mut Range<usize>) -> bool {
        let goes_on = match self.decoder.next_other() {
            Some(Decoded::Event(event)) => {
                // A reconnection time of the upstream is to be read behind ours.
                if !self.out.opening.is_empty() && (event.has_data() || event.retry().is_some()) {
                    self.write_opening(run);
                }
                self.pass_any(event, run)
            }
            Some(Decoded::Oversize { bytes, last }) => {
                self.flush(run);
                self.write_opening(run);
                self.pass_large(bytes, last)
            }
            Some(Decoded::LineFeed(bytes)) => {
                self.times.counts.event_bytes += bytes.len() as u64;
                if std::mem::take(&mut self.ends_in_cr) {
                    self.send(bytes);
                }
                !self.has_enough()
            }
            None => return false,
        };
        if self.decoder.ends_in_cr() {
            self.flush(run);
            let sent = self.queued.as_deref().unwrap_or(&self.out.bytes);
            self.ends_in_cr = sent.ends_with(b"\r");
        }
        goes_on
    }

    /// Passes an event that may have no data, and may be no slice of the chunk.
    #[inline(never)]
    fn pass_any(&mut self, event: Event, run: &mut Range<usize>) -> bool {
        let Some(event) = self.without_needless_lines(event) else {
            return !self.has_enough();
        };
        let start = self.decoder.offset_of(event.block());
        if start.is_none() {
            self.flush(run);
        }
        self.pass(event, start, run)
    }

    /// A part of an event that is too large.
    fn pass_large(&mut self, mut bytes: Bytes, last: bool) -> bool {
        self.times.counts.event_bytes += bytes.len() as u64;
        if last {
            self.times.counts.oversize_events += 1;
            let strips = self.strips_blank_lines();
            if let Some(event) = self.decoder.large_event() {
                if strips && !event.has_effect() {
                    let ending = if bytes.ends_with(b"\r\n") { 2 } else { 1 };
                    bytes.truncate(bytes.len() - ending);
                }
                self.stage.on_large_event(event, &self.times);
            }
        }
        if !bytes.is_empty() {
            self.send(bytes);
        }
        !self.has_enough()
    }

    /// Passes an event that starts here in the chunk; if it is no slice of it, there is no run. False when
    /// there is enough to send.
    ///
    /// Inlined together with the stages, so that an event they only look at is never moved.
    #[inline(always)]
    fn pass(&mut self, event: Event, start: Option<usize>, run: &mut Range<usize>) -> bool {
        self.times.counts.events += u64::from(event.has_data());
        self.times.counts.event_bytes += event.len() as u64;
        let came = event.block().as_ptr_range();
        let Some(event) = self.stage.on_event(event, &self.times) else {
            self.flush(run);
            return !self.has_enough();
        };
        if event.added_id().is_some() || event.block().as_ptr_range() != came {
            self.write(&event, run);
            return self.out.bytes.len() < JOINED_SIZE;
        }
        let block = event.into_block();
        let Some(start) = start else {
            self.send(block);
            return !self.has_enough();
        };
        self.keep(start..start + block.len(), run)
    }

    /// An event that is not what came.
    #[inline(always)]
    fn write(&mut self, event: &Event, run: &mut Range<usize>) {
        if event.added_id().is_some() {
            self.times.counts.ids_added += 1;
        } else {
            self.added = true;
        }
        self.flush(run);
        if self.queued.is_some() {
            self.tail();
        } else if self.out.bytes.is_empty() {
            let len = event.block().len();
            self.out.bytes = room(len, event.len() - len, self.decoder.remaining());
        }
        event.write_to(&mut self.out.bytes);
    }
}

/// Room for an event of this length with the line of its id, and for those behind it in the chunk with theirs.
#[inline(always)]
fn room(event: usize, id_line: usize, rest: usize) -> Vec<u8> {
    let others = match rest {
        0 => 0,
        // As if they were all of this length, and some more.
        rest => (rest + rest / event * id_line + rest / 8).min(JOINED_SIZE),
    };
    Vec::with_capacity(event + id_line + others)
}
