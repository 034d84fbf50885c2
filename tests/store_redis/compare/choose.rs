//! What is done next: mostly what makes sense in the state that the model has, so that it does not all come to nothing.

use bytes::Bytes;
use tower_sse::store::{Command, Fence, Mark, Meta, Snapshot};

use crate::random::Random;

/// An operation on one stream by one instance.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Execute(Command),
    Tell(Fence, Bytes),
    Told,
    Crowd(bool),
    CrowdOf,
    Anew,
    Beat,
    /// The instance's session ends.
    Lapse,
    /// What is there now is what comes back by the next restart.
    Save,
    /// The server restarts, or another takes its place, with what was saved, or nothing.
    Restart,
}

pub(super) fn operation(
    random: &mut Random,
    snapshot: &Snapshot,
    last: Option<&Command>,
) -> Operation {
    let meta = snapshot.meta.as_ref();
    match random.below(200) {
        0..40 => Operation::Execute(append(random, meta)),
        40..50 => Operation::Execute(last.cloned().unwrap_or(Command::Ask)),
        50..80 => Operation::Execute(acquire(random, meta)),
        80..105 => Operation::Execute(Command::Read {
            from: near(random, meta.map_or(0, |meta| meta.position)),
        }),
        105..112 => Operation::Execute(Command::Leave {
            fence: fence(random, meta),
        }),
        112..122 => Operation::Execute(Command::Finish {
            fence: fence(random, meta),
            base: position(random, meta),
        }),
        122..123 => Operation::Execute(Command::Ask),
        123..124 => Operation::Execute(Command::Renew {
            fence: fence(random, meta),
        }),
        124..128 => Operation::Execute(Command::Tell {
            fence: fence(random, meta),
            base: position(random, meta),
            note: bytes(random),
        }),
        128..132 => Operation::Tell(fence(random, meta), bytes(random)),
        132..138 => Operation::Told,
        138..150 => Operation::Crowd(random.below(3) > 0),
        150..156 => Operation::CrowdOf,
        156..170 => Operation::Anew,
        170..190 => Operation::Beat,
        190..196 => Operation::Lapse,
        196..199 => Operation::Save,
        _ => Operation::Restart,
    }
}

fn append(random: &mut Random, meta: Option<&Meta>) -> Command {
    let base = position(random, meta);
    let last = base
        + match random.below(8) {
            0 => (1 + random.below(1 << 20)) << 20,
            _ => 1 + random.below(4),
        };
    Command::Append {
        fence: fence(random, meta),
        base,
        last,
        sequence: last.saturating_sub(random.below(3)),
        // What is appended is always kept itself.
        keep: match random.below(3) {
            0 => 0,
            _ => near(random, base.saturating_sub(8)).min(last),
        },
        mark: match random.below(4) {
            0 => Mark::First,
            1 => Mark::Repair,
            _ => Mark::None,
        },
        frame: bytes(random),
    }
}

fn acquire(random: &mut Random, meta: Option<&Meta>) -> Command {
    let seen = match random.below(8) {
        0 => None,
        _ => meta.map(|_| fence(random, meta)),
    };
    Command::Acquire {
        seen,
        fence: Fence {
            counter: near(random, meta.map_or(0, |meta| meta.fence.counter)),
            random: random.below(u64::MAX),
        },
        epoch: random.below(u64::MAX),
        force: random.below(5) == 0,
    }
}

/// Mostly the one that is there.
fn fence(random: &mut Random, meta: Option<&Meta>) -> Fence {
    let is = meta.map(|meta| meta.fence).unwrap_or_default();
    match random.below(12) {
        0 => Fence {
            random: is.random ^ 1,
            ..is
        },
        1 => Fence {
            counter: near(random, is.counter),
            ..is
        },
        _ => is,
    }
}

/// Mostly the one that is there.
fn position(random: &mut Random, meta: Option<&Meta>) -> u64 {
    let is = meta.map_or(0, |meta| meta.position);
    match random.below(8) {
        0 => near(random, is),
        _ => is,
    }
}

fn near(random: &mut Random, number: u64) -> u64 {
    (number + random.below(6)).saturating_sub(random.below(12))
}

/// What may be a frame, as far as a store looks into it.
fn bytes(random: &mut Random) -> Bytes {
    let len = random.below(100);
    let rest = (0..len).map(|_| random.below(256) as u8);
    std::iter::once(1).chain(rest).collect()
}
