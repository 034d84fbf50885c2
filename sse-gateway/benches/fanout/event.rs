//! The event that all sources write, and its pace.

use std::{
    io::{self, BufRead, Write},
    process::exit,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::parts::event::{EVENT_BYTES, Stamp, now};

const BEGIN: &[u8] = b"data: ";
const END: &[u8] = b"\n\n";

/// The data of an event of [`EVENT_BYTES`].
pub(crate) fn data(Stamp { written, sequence }: Stamp) -> Vec<u8> {
    let mut data = Vec::with_capacity(EVENT_BYTES);
    // Writing to a `Vec` does not fail.
    let _ = write!(data, "{written} {sequence} ");
    data.resize(EVENT_BYTES - BEGIN.len() - END.len(), b'.');
    data
}

/// An event as one chunk of HTTP/1.1.
pub(crate) fn chunk(stamp: Stamp) -> Vec<u8> {
    let mut chunk = Vec::with_capacity(EVENT_BYTES + 8);
    let _ = write!(chunk, "{EVENT_BYTES:x}\r\n");
    for part in [BEGIN, &data(stamp), END, b"\r\n"] {
        chunk.extend_from_slice(part);
    }
    chunk
}

/// Whether the conductor has said `go`: clients come first.
static GOING: AtomicBool = AtomicBool::new(false);

pub(crate) fn is_going() -> bool {
    GOING.load(Ordering::Relaxed)
}

/// Listens to the conductor, and ends with it.
pub(crate) fn obey() {
    thread::spawn(|| {
        for _ in io::stdin().lock().lines().map_while(Result::ok) {
            GOING.store(true, Ordering::Relaxed);
            println!("going");
        }
        exit(0);
    });
}

/// The moments of a pace, which begins when the conductor has said so. What is late is made up for at once, and stamped
/// with the moment when it was due: a source that is kept waiting hides nothing.
pub(crate) struct Pace {
    /// As [`now`] counts.
    next: Option<u64>,
    interval: u64,
    sequence: u64,
}

impl Pace {
    pub(crate) fn new(per_second: u32) -> Self {
        Pace {
            next: None,
            interval: 1_000_000_000 / u64::from(per_second),
            sequence: 0,
        }
    }

    /// Waits for the next moment.
    pub(crate) fn wait(&mut self) -> Stamp {
        while !is_going() {
            thread::sleep(Duration::from_millis(1));
        }
        let due = self.next.unwrap_or_else(now);
        thread::sleep(Duration::from_nanos(due.saturating_sub(now())));
        self.next = Some(due + self.interval);
        self.sequence += 1;
        Stamp {
            written: due,
            sequence: self.sequence,
        }
    }

    /// Whether there would be nothing to wait for.
    pub(crate) fn is_late(&self) -> bool {
        self.next.is_some_and(|next| next <= now())
    }
}
