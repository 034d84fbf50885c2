//! What is done with a stream: how it is cut, what time passes, which stages there are, how it ends.
//!
//! A plan is read from any bytes at all, so that proptest and the fuzzer make plans in the same way;
//! zeros make the simplest one.

use std::time::Duration;

/// See the module docs.
#[derive(Clone, Debug)]
pub struct Plan {
    pub limit: usize,
    pub stages: Vec<Stage>,
    /// The request is one whose stream may finish in a drain.
    pub finite: bool,
    /// Before which step the drain is started.
    pub drain_at: Option<usize>,
    pub steps: Vec<Step>,
    pub end: Ending,
}

/// Some bytes of the stream, and the time that passes before they come.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub len: usize,
    pub wait: Duration,
}

/// What the upstream does when it has sent all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Finish,
    Fail,
    /// It says nothing more for a while, and then the client leaves.
    Silence,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Nothing,
    Look,
    Heartbeat {
        every: Duration,
        frame: Frame,
        at_open: bool,
    },
    EventIds {
        replacing: bool,
    },
    Retry,
    IdleTimeout {
        after: Duration,
        events_only: bool,
        ignoring: bool,
        farewell: bool,
    },
    Lifetime {
        at_most: Duration,
        farewell: bool,
    },
    Drain {
        window: Duration,
        deadline: Duration,
        farewell: bool,
    },
    NoBuffering,
    /// A stage of one's own that drops the events of one type.
    Drop,
    /// One that builds each event anew.
    Rebuild,
    /// One that writes an event of several lines at times of its own.
    Write {
        every: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    Line,
    Block,
    Event,
    Text,
}

/// What no generated stream holds, and all that the stages of a plan write does.
pub const MARK: &str = "5b1fe7";
/// The reconnection time of [`Stage::Retry`]; longer than any in a generated stream.
pub const RETRY: u64 = 424_242_424_201;
/// The reconnection time of a farewell.
pub const FAREWELL_RETRY: u64 = 424_242_424_202;
/// The type of the events that [`Stage::Drop`] drops.
pub const DROPPED: &str = "drop";

impl Plan {
    /// The plan that these bytes stand for.
    pub fn from_bytes(bytes: &[u8], stream_len: usize) -> Self {
        let mut bytes = bytes.iter().copied();
        let mut byte = || bytes.next().unwrap_or(0);
        let limit = match byte() % 8 {
            0..=4 => 1024 * 1024,
            5 => 256,
            6 => 24,
            _ => usize::from(byte() % 16),
        };
        let mut stages: Vec<Stage> = Vec::new();
        for _ in 0..byte() % 6 {
            let stage = stage(&mut byte);
            // The sentence is about one; of two, the second gives ids on top of the first one's.
            let second = matches!(stage, Stage::EventIds { .. })
                && stages
                    .iter()
                    .any(|stage| matches!(stage, Stage::EventIds { .. }));
            stages.push(if second { Stage::Look } else { stage });
        }
        let finite = byte() % 4 == 3;
        let drain_at = (byte() % 4 == 1).then(|| usize::from(byte() % 8));
        let end = match byte() % 4 {
            0 | 1 => Ending::Finish,
            2 => Ending::Fail,
            _ => Ending::Silence,
        };
        // How the stream is cut: whole, in small pieces, or in pieces of any size.
        let largest = match byte() % 4 {
            0 => stream_len,
            1 => 1,
            2 => 8,
            _ => 64,
        };
        let mut steps = Vec::new();
        let mut rest = stream_len;
        while rest > 0 {
            let len = match largest {
                1 => 1,
                largest if largest == stream_len => stream_len,
                largest => usize::from(byte()) % (largest + 1),
            };
            // Without bytes to tell, a plan still comes to an end.
            let len = if steps.len() > 2 * stream_len {
                rest
            } else {
                len.min(rest)
            };
            rest -= len;
            steps.push(Step {
                len,
                wait: wait(byte()),
            });
        }
        Plan {
            limit,
            stages,
            finite,
            drain_at,
            steps,
            end,
        }
    }

    pub fn has(&self, stage: impl Fn(&Stage) -> bool) -> bool {
        self.stages.iter().any(stage)
    }
}

/// Mostly no time at all, sometimes some, so that deadlines come in bursts and apart.
fn wait(byte: u8) -> Duration {
    match byte % 4 {
        0 | 1 => Duration::ZERO,
        2 => Duration::from_millis(u64::from(byte) * 7),
        _ => Duration::from_secs(u64::from(byte)),
    }
}

fn stage(byte: &mut impl FnMut() -> u8) -> Stage {
    let seconds = |byte: u8| Duration::from_millis(500) * (u32::from(byte) % 60 + 1);
    match byte() % 14 {
        0 => Stage::Nothing,
        1 => Stage::Look,
        2..=4 => {
            let frame = match byte() % 4 {
                0 => Frame::Line,
                1 => Frame::Block,
                2 => Frame::Event,
                _ => Frame::Text,
            };
            Stage::Heartbeat {
                every: seconds(byte()),
                frame,
                at_open: byte() % 2 == 1,
            }
        }
        5 => Stage::EventIds { replacing: false },
        6 => Stage::EventIds { replacing: true },
        7 => Stage::Retry,
        8 => Stage::IdleTimeout {
            after: 2 * seconds(byte()),
            events_only: byte() % 2 == 1,
            ignoring: byte() % 2 == 1,
            farewell: byte() % 2 == 1,
        },
        9 => Stage::Lifetime {
            at_most: 10 * seconds(byte()),
            farewell: byte() % 2 == 1,
        },
        10 => Stage::Drain {
            window: seconds(byte()),
            deadline: seconds(byte()),
            farewell: byte() % 2 == 1,
        },
        11 => Stage::Drop,
        12 => Stage::Rebuild,
        _ => match byte() % 2 {
            0 => Stage::NoBuffering,
            _ => Stage::Write {
                every: seconds(byte()),
            },
        },
    }
}
