//! The clients as the conductor sees them: what they are told, and what they have counted.
//!
//! The process behind it reads lines, and answers each with one line: `open N PATH` opens that many streams more,
//! `begin` and `stop` are the two ends of the time that is measured, `end` gives back what was counted. Events go on to
//! be read between them.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use super::{
    Error,
    process::{Process, start_part},
};

pub(crate) struct Load(Process);

impl Load {
    /// Starts clients of a server at this address; they open nothing yet.
    ///
    /// # Errors
    ///
    /// When they do not start.
    pub(crate) fn start(address: &str) -> Result<Self, Error> {
        start_part("load", &[address]).map(Self)
    }

    /// Opens so many streams more, and returns when each has its head.
    ///
    /// # Errors
    ///
    /// When one cannot be opened.
    pub(crate) fn open(&mut self, streams: usize, path: &str) -> Result<(), Error> {
        match self.0.ask(&format!("open {streams} {path}"))?.as_str() {
            "opened" => Ok(()),
            other => Err(self
                .0
                .failure(&format!("did not open {streams} streams: {other}"))),
        }
    }

    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        self.0.ask("begin").map(drop)
    }

    pub(crate) fn stop(&mut self) -> Result<(), Error> {
        self.0.ask("stop").map(drop)
    }

    pub(crate) fn end(&mut self) -> Result<Counts, Error> {
        let answer = self.0.ask("end")?;
        Counts::parse(&answer).ok_or_else(|| self.0.failure(&format!("answered {answer:?}")))
    }

    /// Waits until so many streams have ended.
    ///
    /// # Errors
    ///
    /// When that takes longer than this limit.
    pub(crate) fn wait_for_ends(&mut self, streams: u64, limit: Duration) -> Result<Counts, Error> {
        let start = Instant::now();
        loop {
            let counts = self.end()?;
            if counts.ended == streams {
                return Ok(counts);
            }
            if start.elapsed() > limit {
                let ended = counts.ended;
                return Err(self
                    .0
                    .failure(&format!("saw {ended} of {streams} streams end")));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn cpu_seconds(&self) -> Result<f64, Error> {
        self.0.cpu_seconds()
    }
}

/// What was counted. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Between `begin` and `stop`.
    pub(crate) nanoseconds: u64,
    /// Events that were read between them.
    pub(crate) read: u64,
    /// Of those that were written between them, how many were read within [`IN_TIME`](super::measure::IN_TIME).
    pub(crate) in_time: u64,
    /// Sequence numbers left out between two events of a stream, or given again.
    pub(crate) missing: u64,
    /// Comments since the process began: heartbeats.
    pub(crate) comments: u64,
    /// Of all events since the process began, as [`Event`](super::response::Event) has them.
    pub(crate) bytes: u64,
    /// Streams that ended or broke.
    pub(crate) ended: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// One line, read again by [`Counts::parse`].
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            nanoseconds,
            read,
            in_time,
            missing,
            comments,
            bytes,
            ended,
            p50,
            p99,
            max,
        } = self;
        write!(
            f,
            "{nanoseconds} {read} {in_time} {missing} {comments} {bytes} {ended} {p50} {p99} {max}"
        )
    }
}

impl Counts {
    fn parse(line: &str) -> Option<Self> {
        let numbers: Vec<u64> = line
            .split(' ')
            .map_while(|number| number.parse().ok())
            .collect();
        let [
            nanoseconds,
            read,
            in_time,
            missing,
            comments,
            bytes,
            ended,
            p50,
            p99,
            max,
        ] = numbers[..]
        else {
            return None;
        };
        Some(Self {
            nanoseconds,
            read,
            in_time,
            missing,
            comments,
            bytes,
            ended,
            p50,
            p99,
            max,
        })
    }
}
