//! Who becomes the owner, and when.

use super::{Member, Sent};
use crate::store::tail::Step;
use crate::store::{Acquired, Command, Context, Fence, Meta, Part, Rule};

/// An owner names each stream whenever it renews it. So many times that it has not, and it is asked.
const UNNAMED: u64 = 2;
/// Milliseconds that a store without the log waits for who owned it last: longer than any two gateways need to connect again.
const ANEW: u64 = 4_000;

impl Member {
    /// Becomes the owner, if there is need and nobody is.
    pub(super) fn consider(&mut self, cx: &mut Context<'_>) {
        self.is_gone = self.meta.is_none() && cx.now >= self.gone_since + ANEW;
        let is_busy = self.is_reading || self.is_acquiring || self.owner.is_some();
        if self.has_lost_end() && self.is_connected && !is_busy {
            if cx.now >= self.watch.next_try {
                self.acquire(self.meta, false, cx);
            }
            return;
        }
        let is_idle = !self.is_wanted || self.replica.is_closed();
        let is_others = self.is_taken() || self.finds_nothing() && self.rules.hold(Rule::JoinsOnly);
        if !self.is_connected || !self.is_known || is_busy || is_idle || is_others {
            return;
        }
        let Some(meta) = self.meta else {
            // Who owned it last has all of it, and goes first.
            let waits = self.replica.epoch().is_some() && cx.now < self.gone_since + ANEW;
            if !waits && cx.now >= self.watch.next_try {
                self.acquire(None, false, cx);
            }
            return;
        };
        let chance = (cx.chance)();
        let lease = match self.rules.hold(Rule::AskAgain) {
            true => self.renew_every.saturating_mul(UNNAMED),
            false => u64::MAX,
        };
        match self.watch.step(meta.owner, cx.now, chance, lease) {
            Step::Wait => {}
            Step::Ask if self.rules.hold(Rule::AskOwner) => {
                cx.send(Command::Ask);
                self.sent.push_back(Sent::Ask);
            }
            Step::Take { force } if self.rules.hold(Rule::AskOwner) || !force => {
                self.acquire(Some(meta), force, cx);
            }
            Step::Ask | Step::Take { .. } => {}
        }
    }

    /// Whether it has brought a log to its end that nobody else can: it writes that again where the store forgets it.
    pub fn keeps_what_has_ended(&self) -> bool {
        let is_its_own = self.asks_once && self.part != Part::Makes && self.has_owned;
        is_its_own && self.replica.is_closed()
    }

    /// Whether the store has forgotten how such a log went on, or all of it, and nobody else has taken it up.
    fn has_lost_end(&self) -> bool {
        let is_lost = |meta: Meta| {
            let is_free = meta.owner.is_none_or(|owner| owner == self.me);
            is_free && !meta.ended && Some(meta.epoch) == self.replica.epoch()
        };
        let is_lost = self.is_known && self.meta.is_none_or(is_lost);
        is_lost && self.keeps_what_has_ended() && self.rules.hold(Rule::Repair)
    }

    /// Takes back what the store has forgotten to be this member's: from nobody, or from an earlier owner, which may live.
    pub(super) fn acquire_again(&mut self, cx: &mut Context<'_>) {
        let is_busy = self.is_reading || self.is_acquiring || !self.is_connected;
        let owner = self.owner.as_ref().filter(|owner| owner.fence.is_none());
        if owner.is_some() && self.is_known && !is_busy && cx.now >= self.watch.next_try {
            self.acquire(self.meta, self.meta.is_some(), cx);
        }
    }

    pub(super) fn acquire(&mut self, seen: Option<Meta>, force: bool, cx: &mut Context<'_>) {
        let fresh = match self.replica.epoch() {
            Some(_) => None,
            None if !self.rules.hold(Rule::RandomEpoch) => Some(1),
            None => Some(self.writing.epoch((cx.chance)())),
        };
        let epoch = fresh.or(self.replica.epoch()).unwrap_or(0);
        self.is_acquiring = true;
        let random = (cx.chance)();
        cx.send(Command::Acquire {
            seen: seen.map(|meta| meta.fence),
            fence: Fence {
                // Also in a log that is made anew: a store may yet come back with an older one, whose owner is not to seem a later one.
                counter: self.counter + 1,
                random,
            },
            epoch,
            force,
        });
        let makes = seen.is_none();
        self.sent.push_back(Sent::Acquire {
            fresh: fresh.filter(|_| makes),
            makes,
        });
    }

    pub(super) fn acquired(
        &mut self,
        made: (Option<u64>, bool),
        acquired: Acquired,
        cx: &mut Context<'_>,
    ) {
        match acquired {
            Acquired::Own(meta) if meta.is_bounded() => self.own(made, meta, cx),
            Acquired::Changed(..) | Acquired::Ended => {
                self.lost_again(cx);
                self.read(cx);
            }
            Acquired::Own(_) | Acquired::Busy(_) | Acquired::Dead => {
                let chance = (cx.chance)();
                self.watch.refused(cx.now, chance);
                // The store was emptied, sessions too. The next heartbeat brings this one back, and the owner has the log.
                if acquired != Acquired::Dead {
                    self.lost_again(cx);
                }
            }
        }
    }
}
