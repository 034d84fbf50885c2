//! The event that both ends agree on, and the clock they share.

use std::{fmt::Display, io::Write};

use rustix::time::{ClockId, clock_gettime};

/// The size of one event, its blank line included.
pub(crate) const EVENT_BYTES: usize = 200;

/// The head of every event stream that is written here.
pub(crate) const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: text/event-stream\r\n\
    cache-control: no-cache\r\n\
    transfer-encoding: chunked\r\n\r\n";

const DATA: &[u8] = b"data: ";
const BLANK_LINE: &[u8] = b"\n\n";

/// What the load reads out of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// [`now`], when the upstream wrote the event, or was to write it.
    pub(crate) written: u64,
    /// Its place in the stream.
    pub(crate) sequence: u64,
}

impl Stamp {
    /// Reads the value of an event's `data` field. An id says the same, but a proxy may set its own.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(data).ok()?.split(' ').map(str::parse);
        Some(Self {
            written: numbers.next()?.ok()?,
            sequence: numbers.next()?.ok()?,
        })
    }

    /// Appends data that begins with this stamp and ends where the buffer has `end` bytes.
    fn write_data(self, buffer: &mut Vec<u8>, end: usize) {
        let Self { written, sequence } = self;
        // Writing to a `Vec` does not fail.
        let _ = write!(buffer, "{written} {sequence} ");
        buffer.resize(end, b'.');
    }
}

/// Nanoseconds of the monotonic clock, which all processes of a machine read alike.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Appends one event of [`EVENT_BYTES`] as one chunk of HTTP/1.1, with these lines before its data.
pub(crate) fn write_chunk(buffer: &mut Vec<u8>, lines: impl Display, stamp: Stamp) {
    let _ = write!(buffer, "{EVENT_BYTES:x}\r\n");
    let end = buffer.len() + EVENT_BYTES - BLANK_LINE.len();
    let _ = write!(buffer, "{lines}");
    buffer.extend_from_slice(DATA);
    stamp.write_data(buffer, end);
    buffer.extend_from_slice(BLANK_LINE);
    buffer.extend_from_slice(b"\r\n");
}

/// The data of an event of [`EVENT_BYTES`] that has no other lines.
pub(crate) fn data(stamp: Stamp) -> Vec<u8> {
    let mut data = Vec::with_capacity(EVENT_BYTES);
    stamp.write_data(&mut data, EVENT_BYTES - DATA.len() - BLANK_LINE.len());
    data
}
