//! Finds the events in the chunks of a stream.

use bytes::Bytes;

use super::line::{CutLine, Kinds, Lines, line_len, value_of};
use super::{Event, LargeEvent, LineEnding, write_line};

mod byte_order_mark;
mod plain_blocks;

use byte_order_mark::BYTE_ORDER_MARK;
pub(crate) use plain_blocks::Taken;

/// The largest event that is held back to be seen whole, unless set otherwise: 1 MiB.
pub const DEFAULT_MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Chunks in, whole events out.
///
/// Put a chunk in with [`push`](Self::push), take out events with [`next`](Self::next) until there are
/// none. The beginning of an event whose end has not come is copied and kept, at most
/// [`max_event_bytes`](Self::with_max_event_bytes); an event in one chunk is a slice of it.
///
/// What comes out is what came in, but for three things that no client can tell: a byte order mark at
/// the very beginning is left out; a CR that closes a chunk ends its line at once, and where the stream
/// is not known to end lines in CR alone it comes out as CR LF; a LF that follows it is then left out.
/// Where it came out alone, a LF that follows comes out as [`Decoded::LineFeed`].
#[derive(Debug)]
pub struct Decoder {
    /// What came last. What stands before `start` was handed on.
    chunk: Bytes,
    /// Where the block begins, or goes on if some of it is `held`.
    start: usize,
    /// How far the chunk was looked at.
    scanned: usize,
    /// The beginning of the block, from earlier chunks.
    held: Vec<u8>,
    /// Some of the block came, and was held back, handed on or looked at.
    in_block: bool,
    block: Block,
    /// The beginning of a line that a chunk ended in the middle of.
    cut: CutLine,
    /// The last byte looked at was a CR: a LF that follows belongs to it.
    after_cr: bool,
    /// How many bytes of a byte order mark were seen at the beginning; `None` behind it.
    byte_order_mark: Option<u8>,
    ending: Option<LineEnding>,
    max_event_bytes: usize,
    /// In the middle of an event that is too large.
    oversize: bool,
    /// What the last one of these said, or has said so far.
    large: Option<Box<LargeEvent>>,
    /// A CR that closes a chunk is always completed.
    completes_cr: bool,
    /// What came out last ends in a CR that was not.
    ends_in_cr: bool,
    /// The chunk goes on with its LF.
    line_feed: bool,
}

/// What is known of the block so far.
#[derive(Debug, Default)]
struct Block {
    /// The lines behind the lead.
    kinds: Kinds,
    lead_kinds: Kinds,
    /// Where in the chunk the comment and `retry` lines at its beginning end, if one ended there.
    lead: Option<usize>,
    /// Bytes since the last of these lines.
    len: usize,
    too_large: bool,
}

/// What a [`Decoder`] finds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Decoded {
    /// A whole event.
    Event(Event),
    /// A part of an event that is larger than the limit: to be passed on unseen, with nothing
    /// inserted before its `last` part is through.
    Oversize {
        /// The part, as it came.
        bytes: Bytes,
        /// Whether the event ends here. What it said is then in [`Decoder::large_event`].
        last: bool,
    },
    /// The LF to a CR that what came last ended in. It belongs right behind that CR, for clients which wait
    /// for it; if anything was written in between, it is to be left out.
    LineFeed(Bytes),
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Decoder {
            chunk: Bytes::new(),
            start: 0,
            scanned: 0,
            held: Vec::new(),
            in_block: false,
            block: Block::default(),
            cut: CutLine::default(),
            after_cr: false,
            byte_order_mark: Some(0),
            ending: None,
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            oversize: false,
            large: None,
            completes_cr: false,
            ends_in_cr: false,
            line_feed: false,
        }
    }

    /// Sets how many bytes an event may have, comment and `retry` lines at its beginning not counted.
    ///
    /// A larger one comes out in parts, as [`Decoded::Oversize`], so that memory stays bounded.
    #[must_use]
    pub fn with_max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// Completes every CR that closes a chunk, for events that are kept apart from what follows them: no
    /// [`Decoded::LineFeed`] comes out.
    #[cfg(feature = "relay")]
    #[must_use]
    pub(crate) fn completing_cr(mut self) -> Self {
        self.completes_cr = true;
        self
    }

    /// Takes the next chunk of the stream.
    ///
    /// Events of the chunk before which were not taken out yet stay in front of it, at the cost of a copy.
    #[inline]
    pub fn push(&mut self, chunk: Bytes) {
        if self.is_drained() {
            self.chunk = chunk;
            self.start = 0;
            self.scanned = 0;
        } else {
            self.push_behind(&chunk);
        }
        if self.byte_order_mark.is_some() {
            self.skip_byte_order_mark();
        }
        if self.after_cr {
            self.finish_cr();
        }
    }

    #[cold]
    fn push_behind(&mut self, chunk: &[u8]) {
        let scanned = self.scanned - self.start;
        let lead = self.block.lead.map(|lead| lead - self.start);
        self.chunk = [&self.chunk[self.start..], chunk].concat().into();
        self.scanned = scanned;
        self.block.lead = lead;
        self.start = 0;
    }

    /// Whether all that was pushed has been handed on or is held back.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.start >= self.chunk.len()
    }

    /// The next event, if it is all there.
    #[allow(clippy::should_implement_trait)] // it goes on after None, with the next chunk
    #[inline]
    pub fn next(&mut self) -> Option<Decoded> {
        let decoded = match self.next_plain() {
            Some((event, _)) => Some(Decoded::Event(event)),
            None => self.next_other(),
        };
        if decoded.is_none() {
            self.release_chunk();
        }
        decoded
    }

    /// Whether all that came is through, and what comes next does not belong to it.
    #[cfg(feature = "relay")]
    #[inline]
    pub(crate) fn is_between(&self) -> bool {
        let is_between = !(self.in_block | self.after_cr) && self.byte_order_mark.is_none();
        is_between && self.is_drained()
    }

    /// Leaves out a chunk that is known to be whole events with data, and small ones, as if it had been read. False when
    /// it has to be read: what came before is not through, or what comes next may belong to it.
    #[cfg(feature = "relay")]
    #[inline]
    pub(crate) fn skip(&mut self, chunk: &[u8]) -> bool {
        if !self.is_between() || chunk.len() > self.max_event_bytes {
            return false;
        }
        self.ending = match chunk {
            [.., b'\r', b'\n'] => Some(LineEnding::CrLf),
            [.., b'\n'] => Some(LineEnding::Lf),
            _ => return false,
        };
        true
    }

    /// What comes next if it is no such block. The chunk is kept until it is released.
    #[inline(never)]
    pub(crate) fn next_other(&mut self) -> Option<Decoded> {
        if self.is_drained() {
            return None;
        }
        if std::mem::take(&mut self.line_feed) {
            self.scanned = self.start + 1;
            return Some(Decoded::LineFeed(self.take_raw(self.start + 1)));
        }
        self.ends_in_cr = false;
        match self.scan() {
            Some(end) => Some(self.take_block(end)),
            None => self.take_unfinished(),
        }
    }

    /// Ends the stream cleanly: what is left of an event without its blank line.
    ///
    /// Clients of the standard discard it. Some servers of LLM tokens end so, and their clients read it.
    pub fn finish(&mut self) -> Option<Bytes> {
        let mut rest = std::mem::take(&mut self.held);
        rest.extend_from_slice(&self.chunk[self.start.min(self.chunk.len())..]);
        if let Some(seen @ 1..) = self.byte_order_mark {
            rest.extend_from_slice(&BYTE_ORDER_MARK[..seen.into()]);
        }
        *self = Decoder {
            max_event_bytes: self.max_event_bytes,
            completes_cr: self.completes_cr,
            ..Decoder::new()
        };
        (!rest.is_empty()).then(|| rest.into())
    }

    /// Whether what came out ends between two lines of which none is part of an event.
    ///
    /// False only in the middle of an event that is too large.
    #[inline]
    pub fn at_boundary(&self) -> bool {
        !self.oversize
    }

    /// How the lines of the stream end: LF until one is seen.
    #[inline]
    pub fn line_ending(&self) -> LineEnding {
        match self.ending {
            Some(ending) => ending,
            // The CR that closed the first chunk came out as CR LF.
            None if self.after_cr => LineEnding::CrLf,
            None => LineEnding::default(),
        }
    }

    /// What the event that was too large said, all of it once its last part is out. `None` before there was one.
    pub fn large_event(&self) -> Option<&LargeEvent> {
        self.large.as_deref()
    }

    /// Whether what came out last ends in a CR to which a LF may follow.
    #[inline]
    pub(crate) fn ends_in_cr(&self) -> bool {
        self.ends_in_cr
    }

    /// The `retry` lines of an event that is held back: clients apply them when they read them, so they are due
    /// also when the rest of it never comes.
    pub(crate) fn unfinished_retries(&self) -> Vec<u8> {
        let mut retries = Vec::new();
        for (line, whole) in Lines::new(&self.held) {
            let is_whole = line.len() < whole.len();
            if let Some(time) = value_of(b"retry", line).filter(|_| is_whole) {
                write_line(b"retry", time, self.line_ending(), &mut retries);
            }
        }
        retries
    }

    /// How many bytes of an unfinished event are held back.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Lets go of a chunk that was handed on: a few bytes of it would keep all of its buffer.
    #[inline]
    pub(crate) fn release_chunk(&mut self) -> Bytes {
        self.start = 0;
        self.scanned = 0;
        std::mem::take(&mut self.chunk)
    }

    /// Where in the chunk these bytes start, if they are a slice of it.
    pub(crate) fn offset_of(&self, bytes: &Bytes) -> Option<usize> {
        let (slice, chunk) = (bytes.as_ptr_range(), self.chunk.as_ptr_range());
        let inside = slice.start >= chunk.start && slice.end <= chunk.end;
        inside.then(|| slice.start as usize - chunk.start as usize)
    }

    /// The chunk in hand, of which events are slices.
    #[inline]
    pub(crate) fn chunk(&self) -> &Bytes {
        &self.chunk
    }

    /// How many bytes of the chunk were not handed on yet.
    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.chunk.len().saturating_sub(self.start)
    }

    /// The chunk before ended in a CR; now it shows whether a LF belongs to it.
    #[cold]
    fn finish_cr(&mut self) {
        let Some(&next) = self.chunk.get(self.scanned) else {
            return;
        };
        self.after_cr = false;
        if next != b'\n' {
            self.ending = Some(LineEnding::Cr);
            return;
        }
        self.ending = Some(LineEnding::CrLf);
        let handed_on = self.held.is_empty() && self.start == self.scanned && !self.oversize;
        if handed_on && std::mem::take(&mut self.ends_in_cr) {
            self.line_feed = true;
            return;
        }
        self.scanned += 1;
        if handed_on {
            self.start += 1;
        } else {
            self.block.len += 1;
        }
    }

    /// Looks for the end of the block, and gives the offset behind it.
    fn scan(&mut self) -> Option<usize> {
        let chunk = &self.chunk[..];
        let mut line = self.scanned;
        loop {
            let rest = chunk.get(line..)?;
            let Some(len) = line_len(rest) else {
                self.cut.extend(rest);
                self.block.len += rest.len();
                self.scanned = chunk.len();
                return None;
            };
            let ending = match rest[len..] {
                [b'\n', ..] => LineEnding::Lf,
                [b'\r', b'\n', ..] => LineEnding::CrLf,
                // At the end of a chunk this may become a CR LF yet.
                _ => LineEnding::Cr,
            };
            let end = line + len + ending.as_bytes().len();
            if ending == LineEnding::Cr && end == chunk.len() {
                self.after_cr = true;
            } else {
                self.ending = Some(ending);
            }
            self.scanned = end;
            self.block.len += end - line;

            let kind = if self.cut.len > 0 {
                self.cut.finish(&rest[..len])
            } else if len > 0 {
                Kinds::of_line(&rest[..len])
            } else {
                return Some(end);
            };
            if self.block.kinds.is_none() && kind.is_immediate() {
                self.block.lead_kinds.add(kind);
                self.block.too_large |= self.block.len > self.max_event_bytes;
                self.block.len = 0;
                self.block.lead = Some(end);
            } else {
                self.block.kinds.add(kind);
            }
            line = end;
        }
    }

    /// Hands on the block that ends here.
    #[inline]
    fn take_block(&mut self, end: usize) -> Decoded {
        self.in_block = false;
        let block = std::mem::take(&mut self.block);
        let too_large = self.oversize || block.too_large || block.len > self.max_event_bytes;
        let bytes = self.take(end);
        if too_large {
            self.read_large(&bytes);
            self.oversize = false;
            return Decoded::Oversize { bytes, last: true };
        }
        let mut kinds = block.kinds;
        kinds.add(block.lead_kinds);
        Decoded::Event(Event::new(bytes, kinds, self.line_ending()))
    }

    /// Hands on what need not wait for the end of the block, and holds back the rest.
    fn take_unfinished(&mut self) -> Option<Decoded> {
        self.in_block = true;
        let end = self.chunk.len();
        let too_large = self.block.too_large || self.block.len > self.max_event_bytes;
        if self.oversize || too_large {
            self.block.lead = None;
            let bytes = self.take_raw(end);
            self.read_large(&bytes);
            self.oversize = true;
            return Some(Decoded::Oversize { bytes, last: false });
        }
        if let Some(lead) = self.block.lead.take() {
            let kinds = std::mem::take(&mut self.block.lead_kinds);
            let bytes = self.take(lead);
            return Some(Decoded::Event(Event::new(bytes, kinds, self.line_ending())));
        }
        self.held.extend_from_slice(&self.chunk[self.start..]);
        self.start = end;
        None
    }

    #[cold]
    fn read_large(&mut self, part: &[u8]) {
        if !self.oversize {
            self.large = None;
        }
        self.large.get_or_insert_default().read(part);
    }

    /// Takes the bytes up to here, which end a line. A CR that closes the chunk is completed.
    #[inline]
    fn take(&mut self, end: usize) -> Bytes {
        let at_cr = self.after_cr && end == self.chunk.len();
        if at_cr && (self.completes_cr || self.ending != Some(LineEnding::Cr)) {
            let mut bytes = Vec::from(self.take_raw(end));
            bytes.push(b'\n');
            return bytes.into();
        }
        self.ends_in_cr = at_cr;
        self.take_raw(end)
    }

    #[inline(always)]
    fn take_raw(&mut self, end: usize) -> Bytes {
        if !self.held.is_empty() {
            return self.take_held(end);
        }
        if self.start == 0 && end == self.chunk.len() {
            return std::mem::take(&mut self.chunk);
        }
        let start = std::mem::replace(&mut self.start, end);
        self.chunk.slice(start..end)
    }

    /// Takes what is held and the bytes up to here.
    #[cold]
    fn take_held(&mut self, end: usize) -> Bytes {
        self.held.extend_from_slice(&self.chunk[self.start..end]);
        self.start = end;
        std::mem::take(&mut self.held).into()
    }
}
