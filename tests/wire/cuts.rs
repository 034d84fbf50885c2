//! Cuts a stream everywhere.

use tower_sse::wire::{DEFAULT_MAX_EVENT_BYTES, LineEnding};

use crate::decoding::{Decoding, check, with_lf};
use crate::oracle;

/// What every cut of a stream gives.
pub struct Everywhere {
    pub decoding: Decoding,
    pub seen: oracle::Seen,
}

/// Decodes the stream whole, with each one cut, each two cuts, and byte by byte; all must agree.
pub fn everywhere(stream: &[u8], limit: usize) -> Everywhere {
    let decoding = check(stream, &[stream], limit);
    let same = |chunks: &[&[u8]]| {
        let cut = check(stream, chunks, limit);
        let places: Vec<_> = chunks
            .iter()
            .map(|chunk| chunk.escape_ascii().to_string())
            .collect();
        assert_eq!(cut, decoding, "cut as {places:?}");
    };
    for first in 0..=stream.len() {
        let (a, rest) = stream.split_at(first);
        same(&[a, rest]);
        for second in 0..=rest.len() {
            let (b, c) = rest.split_at(second);
            same(&[a, b, c]);
        }
    }
    same(&stream.chunks(1).collect::<Vec<_>>());
    Everywhere {
        decoding,
        seen: oracle::read(stream),
    }
}

/// The same with the lines, written with LF, ending in each of the three ways.
pub fn every_ending(stream: impl AsRef<[u8]>) -> Everywhere {
    let stream = stream.as_ref();
    let lf = everywhere(stream, DEFAULT_MAX_EVENT_BYTES);
    for ending in [LineEnding::CrLf, LineEnding::Cr] {
        let other = everywhere(&with_ending(stream, ending), DEFAULT_MAX_EVENT_BYTES);
        assert_eq!(other.decoding, lf.decoding, "with {ending:?}");
        assert_eq!(other.seen, lf.seen, "with {ending:?}");
    }
    lf
}

impl Everywhere {
    /// Event type, data and last event ID of what a client dispatches.
    pub fn dispatches(&self, expected: &[(&str, &str, &str)]) -> &Self {
        let events: Vec<_> = self
            .seen
            .events()
            .iter()
            .map(|event| {
                (
                    event.event_type.as_str(),
                    event.data.as_str(),
                    event.last_event_id.as_str(),
                )
            })
            .collect();
        assert_eq!(events, expected);
        self
    }

    pub fn sets_times(&self, expected: &[u64]) -> &Self {
        assert_eq!(self.seen.reconnection_times(), expected);
        self
    }

    /// The blocks that we see, with LF as line ending, and what is left.
    pub fn blocks(&self, expected: &[&str], rest: &str) -> &Self {
        let blocks: Vec<_> = self
            .decoding
            .blocks
            .iter()
            .map(|block| String::from_utf8_lossy(&block.bytes).into_owned())
            .collect();
        assert_eq!(blocks, expected);
        assert_eq!(String::from_utf8_lossy(&self.decoding.rest), rest);
        self
    }

    pub fn last_event_id(&self, expected: &str) -> &Self {
        assert_eq!(self.seen.last_event_id, expected);
        self
    }
}

/// The same text with other line endings.
pub fn with_ending(text: &[u8], ending: LineEnding) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in &with_lf(text) {
        match byte {
            b'\n' => out.extend_from_slice(ending.as_bytes()),
            other => out.push(other),
        }
    }
    out
}
