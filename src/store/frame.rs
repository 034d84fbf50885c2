//! What is appended, and published, at once: some events of one log, as bytes.
//!
//! | field | as |
//! |---|---|
//! | version | a byte: 1 |
//! | kind | a byte: 0, or 1 where it leaves out numbers |
//! | epoch, random part of the fence | eight bytes each |
//! | counter of the fence, base, first position, sequence before the first event, earlier numbers, events | varints |
//! | each earlier number | position and counter as varints, random part as eight bytes |
//! | each event | flags; the upstream's id where it is another than before; where the body begins; the bytes |

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::Fence;

/// How many bytes a frame of several events has at most.
pub const MAX_FRAME: usize = 64 * 1024;
/// How many bytes a frame of one event has at most.
pub const MAX_LARGE: usize = 1024 * 1024;
/// How many events a frame has at most.
pub const MAX_EVENTS: usize = 128;
/// No position and no sequence is larger, so that there is always room behind one.
pub(super) const MAX_NUMBER: u64 = 1 << 60;
/// How often a frame may have been numbered.
pub(super) const MAX_WAS: usize = 16;

const VERSION: u8 = 1;
/// What a sealed frame begins with in place of its version.
pub(super) const SEALED: u8 = 16;
/// What stands in place of one that cannot be opened.
pub(super) const UNOPENED: u8 = 17;
const HAS_DATA: u8 = 1;
const SETS_ID: u8 = 2;
const IS_GAP: u8 = 4;
/// The upstream's id is the one of the event before.
const SAME_ID: u8 = 8;
const HAS_ID: u8 = 16;

/// Some events of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where the numbers belong to.
    pub epoch: u64,
    /// Under which it was appended.
    pub fence: Fence,
    /// The position in front of it: the first one less one, unless it leaves out numbers.
    pub base: u64,
    /// The position of the first event. Those of the others follow one by one.
    pub first: u64,
    /// The sequence of the last event with data in front of it, or that was left out.
    pub sequence: u64,
    /// What numbers it has had that may have been published, the latest last.
    pub was: Vec<Was>,
    /// At least one.
    pub events: Vec<Stored>,
}

/// A number that a frame has had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Was {
    /// The position of the first event.
    pub first: u64,
    /// Under which it was sent.
    pub fence: Fence,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Whether it counts for the sequence.
    pub has_data: bool,
    /// Whether it sets the upstream's id.
    pub sets_id: bool,
    /// Whether it says that events may be missing in front of it.
    pub is_gap: bool,
    /// The last event ID of the upstream.
    pub upstream: Option<Bytes>,
    /// Where what the upstream sent begins.
    pub body: usize,
    /// All of it.
    pub bytes: Bytes,
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Another version wrote it.
    Version(u8),
    /// It is longer than a frame may be, or has more events.
    TooLarge,
    /// It ends in the middle, or says what cannot be.
    Malformed,
    /// It is sealed, and frames are not sealed here.
    Sealed,
    /// Frames are sealed here, and this is not, or with another secret.
    Unopened,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Version(version) => write!(f, "a frame of version {version}"),
            FrameError::TooLarge => f.write_str("a frame that is too large"),
            FrameError::Malformed => f.write_str("a malformed frame"),
            FrameError::Sealed => f.write_str("a frame that is sealed, as all are or none"),
            FrameError::Unopened => f.write_str(
                "a frame that is not sealed, as all are or none, or with another secret",
            ),
        }
    }
}

impl std::error::Error for FrameError {}

impl Frame {
    /// The position of the last event.
    pub fn last(&self) -> u64 {
        self.first + self.events.len() as u64 - 1
    }

    /// The sequence of the last event.
    pub fn last_sequence(&self) -> u64 {
        self.sequence + self.events.iter().filter(|event| event.has_data).count() as u64
    }

    /// Writes it.
    pub fn to_bytes(&self) -> Bytes {
        let len: usize = self.events.iter().map(|event| event.bytes.len() + 16).sum();
        let mut to = BytesMut::with_capacity(len + 64);
        to.put_u8(VERSION);
        to.put_u8(u8::from(self.base + 1 != self.first));
        to.put_u64(self.epoch);
        to.put_u64(self.fence.random);
        for number in [self.fence.counter, self.base, self.first, self.sequence] {
            put(&mut to, number);
        }
        put(&mut to, self.was.len() as u64);
        for was in &self.was {
            put(&mut to, was.first);
            put(&mut to, was.fence.counter);
            to.put_u64(was.fence.random);
        }
        put(&mut to, self.events.len() as u64);
        let mut before: Option<&Bytes> = None;
        for event in &self.events {
            let is_same = event.upstream.as_ref() == before;
            let flag = |set: bool, flag: u8| if set { flag } else { 0 };
            to.put_u8(
                flag(event.has_data, HAS_DATA)
                    | flag(event.sets_id, SETS_ID)
                    | flag(event.is_gap, IS_GAP)
                    | flag(is_same, SAME_ID)
                    | flag(event.upstream.is_some(), HAS_ID),
            );
            if let (false, Some(id)) = (is_same, &event.upstream) {
                put(&mut to, id.len() as u64);
                to.put_slice(id);
            }
            put(&mut to, event.body as u64);
            put(&mut to, event.bytes.len() as u64);
            to.put_slice(&event.bytes);
            before = event.upstream.as_ref();
        }
        to.freeze()
    }

    /// Reads one, which anybody may have written. The events are slices of `bytes`.
    ///
    /// # Errors
    ///
    /// When the bytes are no frame, or there are more of them, or they were written by another version.
    pub fn parse(bytes: &Bytes) -> Result<Self, FrameError> {
        if bytes.len() > MAX_LARGE {
            return Err(FrameError::TooLarge);
        }
        let mut from = Cursor { bytes, at: 0 };
        match from.byte()? {
            VERSION => {}
            SEALED => return Err(FrameError::Sealed),
            UNOPENED => return Err(FrameError::Unopened),
            other => return Err(FrameError::Version(other)),
        }
        let jumps = match from.byte()? {
            kind @ 0..=1 => kind == 1,
            _ => return Err(FrameError::Malformed),
        };
        let (epoch, random) = (from.long()?, from.long()?);
        let counter = from.varint()?;
        let (base, first, sequence) = (from.varint()?, from.varint()?, from.varint()?);
        let was = from.count(MAX_WAS)?;
        let was = (0..was).map(|_| from.was()).collect::<Result<_, _>>()?;
        let count = from.count(MAX_EVENTS)?;
        let numbers_fit = first <= MAX_NUMBER && sequence <= MAX_NUMBER;
        let follows = base < first && jumps == (base + 1 != first);
        if count == 0 || !numbers_fit || !follows {
            return Err(FrameError::Malformed);
        }
        if count > 1 && bytes.len() > MAX_FRAME {
            return Err(FrameError::TooLarge);
        }
        let mut events: Vec<Stored> = Vec::with_capacity(count);
        for _ in 0..count {
            let before = events.last().and_then(|event| event.upstream.clone());
            events.push(from.event(before)?);
        }
        if from.at != bytes.len() {
            return Err(FrameError::Malformed);
        }
        let fence = Fence { counter, random };
        Ok(Frame {
            epoch,
            fence,
            base,
            first,
            sequence,
            was,
            events,
        })
    }
}

fn put(to: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        to.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    to.put_u8(number as u8);
}

struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn take(&mut self, len: usize) -> Result<Bytes, FrameError> {
        let end = self.at.checked_add(len).ok_or(FrameError::Malformed)?;
        if end > self.bytes.len() {
            return Err(FrameError::Malformed);
        }
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, FrameError> {
        let byte = self.bytes.get(self.at).ok_or(FrameError::Malformed)?;
        self.at += 1;
        Ok(*byte)
    }

    fn long(&mut self) -> Result<u64, FrameError> {
        let bytes = self.take(8)?;
        Ok(bytes
            .iter()
            .fold(0, |long, byte| long << 8 | u64::from(*byte)))
    }

    fn varint(&mut self) -> Result<u64, FrameError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(FrameError::Malformed);
            }
            number |= bits << shift;
            if byte < 0x80 {
                // A number is written in one way, and so is a frame.
                let is_longer = byte == 0 && shift > 0;
                return if is_longer {
                    Err(FrameError::Malformed)
                } else {
                    Ok(number)
                };
            }
        }
        Err(FrameError::Malformed)
    }

    fn count(&mut self, most: usize) -> Result<usize, FrameError> {
        let count = usize::try_from(self.varint()?).ok();
        count
            .filter(|count| *count <= most)
            .ok_or(FrameError::TooLarge)
    }

    fn was(&mut self) -> Result<Was, FrameError> {
        let first = self.varint()?;
        let counter = self.varint()?;
        let random = self.long()?;
        if first > MAX_NUMBER {
            return Err(FrameError::Malformed);
        }
        let fence = Fence { counter, random };
        Ok(Was { first, fence })
    }

    fn event(&mut self, before: Option<Bytes>) -> Result<Stored, FrameError> {
        let flags = self.byte()?;
        if flags >= HAS_ID * 2 {
            return Err(FrameError::Malformed);
        }
        let is_same = flags & SAME_ID != 0;
        let upstream = match (is_same, flags & HAS_ID != 0) {
            (true, _) => before.clone(),
            (false, false) => None,
            (false, true) => {
                let len = self.count(MAX_LARGE)?;
                Some(self.take(len)?)
            }
        };
        if is_same != (upstream == before) || upstream.is_some() != (flags & HAS_ID != 0) {
            return Err(FrameError::Malformed);
        }
        let body = self.count(MAX_LARGE)?;
        let len = self.count(MAX_LARGE)?;
        let bytes = self.take(len)?;
        if body > bytes.len() {
            return Err(FrameError::Malformed);
        }
        Ok(Stored {
            has_data: flags & HAS_DATA != 0,
            sets_id: flags & SETS_ID != 0,
            is_gap: flags & IS_GAP != 0,
            upstream,
            body,
            bytes,
        })
    }
}

#[cfg(test)]
mod tests;
