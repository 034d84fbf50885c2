//! One measurement: events are read for a while, and what that takes is read off the processes.

use std::{thread, time::Duration};

use super::{
    Error,
    load::{Counts, Load},
    process::Process,
};

/// An event that is read later than that is not in time, in nanoseconds.
pub(crate) const IN_TIME: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) counts: Counts,
    /// Events that the pace asks for in the time that was measured.
    pub(crate) expected: f64,
    /// CPU seconds, 0 where there is no such part.
    pub(crate) server: f64,
    pub(crate) source: f64,
    pub(crate) load: f64,
    /// Of the server, at the end of the time.
    pub(crate) memory_kib: u64,
}

/// Measures for so long; `pace` is the number of events a second that all clients together should read.
///
/// # Errors
///
/// When one of the parts has ended.
pub(crate) fn measure(
    load: &mut Load,
    server: Option<&Process>,
    source: Option<&Process>,
    pace: f64,
    window: Duration,
) -> Result<Measured, Error> {
    load.begin()?;
    let before = used(load, server, source)?;
    thread::sleep(window);
    let after = used(load, server, source)?;
    load.stop()?;
    let memory_kib = server.map_or(Ok(0), Process::memory_kib)?;
    // What was written last may still be in time.
    thread::sleep(Duration::from_nanos(IN_TIME));
    let counts = load.end()?;
    Ok(Measured {
        counts,
        expected: pace * counts.nanoseconds as f64 / 1e9,
        server: after[0] - before[0],
        source: after[1] - before[1],
        load: after[2] - before[2],
        memory_kib,
    })
}

fn used(
    load: &Load,
    server: Option<&Process>,
    source: Option<&Process>,
) -> Result<[f64; 3], Error> {
    let of = |process: Option<&Process>| process.map_or(Ok(0.0), Process::cpu_seconds);
    Ok([of(server)?, of(source)?, load.cpu_seconds()?])
}

impl Measured {
    /// Events a second.
    pub(crate) fn reached(&self) -> f64 {
        self.counts.read as f64 * 1e9 / self.counts.nanoseconds as f64
    }

    /// Events that were read for each CPU second of the server.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.counts.read as f64 / self.server
    }

    /// Of these CPU seconds, those for a million events that were read.
    pub(crate) fn per_million(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.counts.read.max(1) as f64
    }

    /// Percent of the events that the pace asks for.
    pub(crate) fn delivered(&self) -> f64 {
        100.0 * self.counts.read as f64 / self.expected
    }

    /// The same of those that were not late.
    pub(crate) fn in_time(&self) -> f64 {
        100.0 * self.counts.in_time as f64 / self.expected
    }
}

/// When nothing of what was written had been read in the end, nobody knows how late it is.
pub(crate) fn millis(nanoseconds: u64) -> f64 {
    match nanoseconds {
        0 => f64::INFINITY,
        some => some as f64 / 1e6,
    }
}

pub(crate) fn micros(nanoseconds: u64) -> f64 {
    millis(nanoseconds) * 1e3
}
