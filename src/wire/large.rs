//! What an event says that is too large to be held back.

use std::time::Duration;

use memchr::memchr2;

use super::event::millis_of;
use super::line::{Kinds, value_of};

/// What is known of an event that is too large to be seen whole: what of it outlives it.
///
/// Its parts are read as they pass; of a line no more than [`MAX_ID_BYTES`](Self::MAX_ID_BYTES) and some are kept.
#[derive(Clone, Debug, Default)]
pub struct LargeEvent {
    has_data: bool,
    has_type: bool,
    id: Option<Vec<u8>>,
    retry: Option<Duration>,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// A LF that comes next belongs to the line in front of it.
    after_cr: bool,
}

/// The longest name in front of a value.
const NAME: usize = "retry: ".len();

impl LargeEvent {
    /// An id that is longer is cut off behind so many bytes and one more.
    pub const MAX_ID_BYTES: usize = 8 * 1024;

    const MAX_LINE: usize = Self::MAX_ID_BYTES + 1 + NAME;

    /// Whether a client dispatches it: whether it had a `data` field.
    pub fn has_data(&self) -> bool {
        self.has_data
    }

    /// The id that it set. An empty one clears the last event ID.
    pub fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// The reconnection time that it set.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// See [`Event::has_effect`](super::Event::has_effect).
    pub(crate) fn has_effect(&self) -> bool {
        self.has_data || self.has_type || self.id.is_some() || self.retry.is_some()
    }

    /// Reads the next part.
    pub(super) fn read(&mut self, part: &[u8]) {
        let skipped = self.after_cr && part.first() == Some(&b'\n');
        let mut rest = &part[usize::from(skipped)..];
        self.after_cr &= part.is_empty();
        while let Some(len) = memchr2(b'\n', b'\r', rest) {
            let (line, behind) = rest.split_at(len);
            if self.line.is_empty() {
                self.take(line);
            } else {
                self.keep(line);
                let line = std::mem::take(&mut self.line);
                self.take(&line);
            }
            self.after_cr = behind == b"\r";
            rest = &behind[if behind.starts_with(b"\r\n") { 2 } else { 1 }..];
        }
        self.keep(rest);
    }

    fn keep(&mut self, part: &[u8]) {
        let room = Self::MAX_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..room.min(part.len())]);
    }

    fn take(&mut self, line: &[u8]) {
        let kind = Kinds::of_line(line);
        if kind.has(Kinds::DATA) {
            self.has_data = true;
        } else if kind.has(Kinds::EVENT) {
            self.has_type = value_of(b"event", line).is_some_and(|name| !name.is_empty());
        } else if kind.has(Kinds::ID) {
            let id = value_of(b"id", line).filter(|id| !id.contains(&0));
            let id = id.map(|id| id[..id.len().min(Self::MAX_ID_BYTES + 1)].to_vec());
            self.id = id.or(self.id.take());
        } else if kind.has(Kinds::RETRY) {
            let time = value_of(b"retry", line).and_then(millis_of);
            self.retry = time.or(self.retry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_the_same_however_it_was_cut() {
        let event =
            b": c\r\nid: 7\rdata: a\r\nretry: 5\nid: x\0y\nretry: no\r\nevent: x\nevent\n\r\n";
        for cut in 0..=event.len() {
            let mut large = LargeEvent::default();
            large.read(&event[..cut]);
            large.read(&event[cut..]);
            assert_eq!(large.id(), Some(&b"7"[..]), "cut at {cut}");
            assert_eq!(large.retry(), Some(Duration::from_millis(5)));
            assert!(large.has_data() && !large.has_type);
        }
    }

    #[test]
    fn comments_and_what_clients_ignore_have_no_effect() {
        let mut large = LargeEvent::default();
        large.read(b": c\nid: a\0\nretry: +1\nevent:\nfoo: bar\n\n");
        assert!(!large.has_effect());
        large.read(b"id\n");
        assert_eq!(large.id(), Some(&b""[..]));
    }

    #[test]
    fn a_long_line_is_not_kept_whole() {
        let mut large = LargeEvent::default();
        large.read(b"id: ");
        for _ in 0..1000 {
            large.read(&[b'x'; 100]);
        }
        assert!(large.line.capacity() <= 3 * LargeEvent::MAX_LINE);
        large.read(b"\n\n");
        assert_eq!(
            large.id().map(<[u8]>::len),
            Some(LargeEvent::MAX_ID_BYTES + 1)
        );
    }
}
