//! The event that both ends agree on, and the clock they share.

use std::io::Write;

use rustix::time::{ClockId, clock_gettime};

/// The size of one event, its blank line included.
pub(crate) const EVENT_BYTES: usize = 200;

/// What the load reads out of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// [`now`], when the upstream wrote the event.
    pub(crate) written: u64,
    /// Its place in the stream.
    pub(crate) sequence: u64,
}

impl Stamp {
    /// Reads the value of an event's `data` field. The id says the same, but a proxy may set its own.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(data).ok()?.split(' ').map(str::parse);
        Some(Self {
            written: numbers.next()?.ok()?,
            sequence: numbers.next()?.ok()?,
        })
    }
}

/// Nanoseconds of the monotonic clock, which all processes of a machine read alike.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Appends one event as one chunk of HTTP/1.1.
pub(crate) fn write_chunk(buffer: &mut Vec<u8>, stamp: Stamp) {
    let Stamp { written, sequence } = stamp;
    // Writing to a `Vec` does not fail.
    let _ = write!(buffer, "{EVENT_BYTES:x}\r\n");
    let start = buffer.len();
    let _ = write!(buffer, "id: {sequence}\ndata: {written} {sequence} ");
    buffer.resize(start + EVENT_BYTES - 2, b'.');
    buffer.extend_from_slice(b"\n\n\r\n");
}
