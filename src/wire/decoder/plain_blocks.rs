//! Blocks like most are taken out of the chunk as they stand there.

use super::Decoder;
use crate::wire::Event;
use crate::wire::plain::Plain;

/// Events with data that were taken at once: where in the chunk they stand, and how many there are.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) events: u64,
}

impl Decoder {
    /// The next event, if it is a block like most, with lines that end in LF, and all of it stands in the chunk, and where it starts
    /// in the chunk if it is a slice of it.
    ///
    /// Inlined, so that the event need not be moved about.
    #[inline(always)]
    pub(crate) fn next_plain(&mut self) -> Option<(Event, Option<usize>)> {
        if self.in_block {
            return None;
        }
        let start = self.start;
        let Plain { len, kinds, ending } = Plain::with_lf(self.chunk.get(start..)?)?;
        if len > self.max_event_bytes {
            return None;
        }
        self.ending = Some(ending);
        if len == self.chunk.len() {
            let bytes = std::mem::take(&mut self.chunk);
            return Some((Event::new(bytes, kinds, ending), None));
        }
        self.start = start + len;
        self.scanned = self.start;
        let bytes = self.chunk.slice(start..start + len);
        Some((Event::new(bytes, kinds, ending), Some(start)))
    }

    /// The next block, if it is like most and all of it stands in the chunk.
    #[inline(always)]
    pub(crate) fn peek_plain(&self) -> Option<Plain> {
        if self.in_block {
            return None;
        }
        let plain = Plain::of(self.chunk.get(self.start..)?);
        plain.filter(|plain| plain.len <= self.max_event_bytes)
    }

    /// Takes this block, which was peeked at, and those like it behind it, as long as `takes` says so of the next, and leaves
    /// the chunk in hand.
    #[inline(always)]
    pub(crate) fn take_plain(
        &mut self,
        mut next: Plain,
        mut takes: impl FnMut(&[u8], Plain) -> bool,
    ) -> Taken {
        let mut taken = Taken {
            start: self.start,
            end: self.start,
            events: 0,
        };
        let mut rest = self.chunk.get(self.start..).unwrap_or_default();
        while next.len <= self.max_event_bytes && takes(&rest[..next.len], next) {
            rest = &rest[next.len..];
            taken.end += next.len;
            taken.events += 1;
            self.ending = Some(next.ending);
            if rest.is_empty() {
                break;
            }
            match Plain::of(rest) {
                Some(plain) => next = plain,
                None => break,
            }
        }
        if taken.events > 0 {
            self.start = taken.end;
            self.scanned = taken.end;
        }
        taken
    }
}
