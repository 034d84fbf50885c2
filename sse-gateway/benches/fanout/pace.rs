//! The pace of all sources, and when it begins.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::parts::{
    event::{Stamp, now},
    process::obey,
};

/// Whether the conductor has said `go`: clients come first.
static GOING: AtomicBool = AtomicBool::new(false);

pub(crate) fn is_going() -> bool {
    GOING.load(Ordering::Relaxed)
}

/// Waits in the background for the conductor's `go`, and ends with it.
pub(crate) fn await_go() {
    obey(|_| {
        GOING.store(true, Ordering::Relaxed);
        println!("going");
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
