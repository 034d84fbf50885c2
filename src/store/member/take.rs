//! Who becomes the owner, and when.

use super::{Member, Sent};
use crate::store::tail::Step;
use crate::store::{Acquired, Command, Context, Meta, SESSION};

impl Member {
    /// Becomes the owner, if there is need and nobody is.
    pub(super) fn consider(&mut self, cx: &mut Context<'_>) {
        let is_busy = self.is_reading || self.is_acquiring || self.owner.is_some();
        let is_idle = !self.is_wanted || self.replica.is_closed();
        if !self.is_connected || !self.is_known || is_busy || is_idle {
            return;
        }
        let Some(meta) = self.meta else {
            // Who owned it last has all of it, and goes first.
            let waits = self.replica.epoch().is_some() && cx.now < self.gone_since + SESSION;
            if !waits && cx.now >= self.watch.next_try {
                self.acquire(None, false, cx);
            }
            return;
        };
        let chance = (cx.chance)();
        let is_mine = meta.owner == Some(self.me) && self.rules.own_again;
        let owner = meta.owner.filter(|_| !is_mine);
        match self.watch.step(owner, cx.now, chance) {
            Step::Wait => {}
            Step::Ask if self.rules.ask_owner => {
                cx.send(Command::Ask);
                self.sent.push_back(Sent::Ask);
            }
            Step::Take { force } if self.rules.ask_owner || !force => {
                self.acquire(Some(meta), force, cx);
            }
            Step::Ask | Step::Take { .. } => {}
        }
    }

    pub(super) fn acquire(&mut self, seen: Option<Meta>, force: bool, cx: &mut Context<'_>) {
        let fresh = match self.replica.epoch() {
            Some(_) => None,
            None if !self.rules.random_epoch => Some(1),
            None => Some(self.writing.epoch((cx.chance)())),
        };
        let epoch = fresh.or(self.replica.epoch()).unwrap_or(0);
        self.is_acquiring = true;
        let random = (cx.chance)();
        cx.send(Command::Acquire {
            seen: seen.map(|meta| meta.fence),
            random,
            epoch,
            force,
        });
        self.sent.push_back(Sent::Acquire {
            fresh: fresh.filter(|_| seen.is_none()),
        });
    }

    pub(super) fn acquired(
        &mut self,
        fresh: Option<u64>,
        acquired: Acquired,
        cx: &mut Context<'_>,
    ) {
        match acquired {
            Acquired::Own(meta) => self.own(fresh, meta, cx),
            Acquired::Changed(..) | Acquired::Ended => {
                self.lost_again(cx);
                self.read(cx);
            }
            Acquired::Busy(_) | Acquired::Dead => {
                let chance = (cx.chance)();
                self.watch.refused(cx.now, chance);
                self.lost_again(cx);
            }
        }
    }
}
