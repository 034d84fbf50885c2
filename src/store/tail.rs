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
    /// When it named the stream last, or became the owner.
    named: Option<u64>,
    asked: Option<u64>,
    pub(super) next_try: u64,
    /// Who has only come has heard nothing of the owner, which may have been dead for long: the store knows.
    is_new: bool,
    /// The store says that the owner hears nothing any more.
    is_gone: bool,
}

/// What to do about the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    Ask,
    Take { force: bool },
}

impl Watch {
    /// Whoever it is was the owner before this member came.
    pub(super) fn came(&mut self, now: u64) {
        self.changed(now, false);
        self.is_new = true;
    }

    /// There is another owner, or none. Who has only just become it knows that it is.
    pub(super) fn changed(&mut self, now: u64, confirmed: bool) {
        *self = Watch {
            heard: now,
            named: confirmed.then_some(now),
            asked: None,
            next_try: now,
            is_new: false,
            is_gone: false,
        };
    }

    pub(super) fn heard(&mut self, now: u64, named: bool) {
        self.heard = now;
        self.is_new = false;
        self.is_gone = false;
        if named {
            self.named = Some(now);
            self.asked = None;
        }
    }

    /// The owner has ended, or has lost its connections.
    pub(super) fn gone(&mut self) {
        self.is_gone = true;
    }

    pub(super) fn refused(&mut self, now: u64, chance: u64) {
        self.next_try = now + AGAIN + chance % SPREAD;
    }

    /// For this owner, or for none. It is asked if it has not named the stream for longer than `lease`.
    pub(super) fn step(
        &mut self,
        owner: Option<InstanceId>,
        now: u64,
        chance: u64,
        lease: u64,
    ) -> Step {
        let patience = SESSION + chance % SPREAD;
        let is_silent = self.is_new || now >= self.heard + patience;
        if now < self.next_try {
            Step::Wait
        } else if owner.is_some() && self.is_gone {
            // Its session may live for a while yet.
            Step::Take { force: true }
        } else if owner.is_none() || is_silent {
            Step::Take { force: false }
        } else if self
            .named
            .is_some_and(|named| now < named.saturating_add(lease))
        {
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
