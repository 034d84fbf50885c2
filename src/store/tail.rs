//! What a follower makes of the owner: whether it lives, and when to take its place.

use super::{InstanceId, SESSION};

/// Milliseconds until somebody who was refused asks again.
const AGAIN: u64 = 300;
/// Milliseconds, at most, by which followers wait for different times.
const SPREAD: u64 = 150;

/// How the owner was heard.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// When a heartbeat of the owner's was heard last.
    heard: u64,
    /// It has named the stream, or has only just become the owner.
    confirmed: bool,
    asked: Option<u64>,
    pub(super) next_try: u64,
}

/// What to do about the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    Ask,
    Take { force: bool },
}

impl Watch {
    /// There is another owner, or none. Who has only just become it knows that it is.
    pub(super) fn changed(&mut self, now: u64, confirmed: bool) {
        *self = Watch {
            heard: now,
            confirmed,
            asked: None,
            next_try: now,
        };
    }

    pub(super) fn heard(&mut self, now: u64, named: bool) {
        self.heard = now;
        self.confirmed |= named;
    }

    pub(super) fn refused(&mut self, now: u64, chance: u64) {
        self.next_try = now + AGAIN + chance % SPREAD;
    }

    /// For an owner that is another instance, or for none.
    pub(super) fn step(&mut self, owner: Option<InstanceId>, now: u64, chance: u64) -> Step {
        let patience = SESSION + chance % SPREAD;
        if now < self.next_try {
            Step::Wait
        } else if owner.is_none() || now >= self.heard + patience {
            Step::Take { force: false }
        } else if self.confirmed {
            Step::Wait
        } else {
            match self.asked {
                None => {
                    self.asked = Some(now);
                    Step::Ask
                }
                Some(asked) if now >= asked + patience => Step::Take { force: true },
                Some(_) => Step::Wait,
            }
        }
    }
}
