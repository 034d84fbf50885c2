//! What the owner does beside appending: it begins, finds out what the log has, and ends.

use bytes::Bytes;

use super::{Member, Sent};
use crate::store::owner::Owner;
use crate::store::{Appended, Command, Context, Draft, Meta, Output, Rule};

impl Member {
    /// The stream is this member's.
    pub(super) fn own(
        &mut self,
        (fresh, is_made): (Option<u64>, bool),
        meta: Meta,
        cx: &mut Context<'_>,
    ) {
        let Some(reign) = self.reign else {
            return;
        };
        self.has_owned = true;
        // Reads have a connection of their own: one that was sent behind this may have been done before.
        self.is_overtaken = self.is_reading;
        match &mut self.owner {
            Some(owner) => owner.hold(meta.fence),
            None => self.owner = Some(Owner::new(meta.fence, reign)),
        }
        if let (true, Some(owner)) = (self.replica.is_closed(), &mut self.owner) {
            // It is here to write again what was forgotten.
            owner.finishing = true;
        }
        if let (true, Some(owner)) = (is_made, &mut self.owner) {
            owner.notes.inherit(&self.note);
            self.stored_note = Bytes::new();
        }
        self.renewed = cx.now;
        self.counter = self.counter.max(meta.fence.counter);
        self.meta = Some(meta);
        let fresh = fresh.filter(|epoch| *epoch == meta.epoch && meta.position == 0);
        if let (Some(epoch), None) = (fresh, self.replica.epoch()) {
            self.replica.begin(epoch, (0, 0));
        }
        // Of a log that was there something may have been told last that is not heard yet.
        let is_known = self.replica.tip().0 == meta.position;
        if is_made && is_known && self.replica.epoch() == Some(meta.epoch) {
            self.resolve(fresh, cx);
        } else {
            self.read(cx);
        }
    }

    /// What the log has is known: does what follows from it.
    pub(super) fn resolve(&mut self, fresh: Option<u64>, cx: &mut Context<'_>) {
        let Some(owner) = &mut self.owner else {
            return;
        };
        if self.is_acquiring {
            return;
        }
        if owner.is_forgotten(self.meta) {
            owner.fence = None;
            owner.resolved = false;
            return self.acquire_again(cx);
        }
        let Some(meta) = self.meta else {
            return;
        };
        if owner.fence != Some(meta.fence) || meta.ended {
            return self.step_down(cx);
        }
        if owner.resolved {
            return;
        }
        for sent in &mut self.sent {
            if matches!(sent, Sent::Append | Sent::Finish | Sent::Tell | Sent::Leave) {
                *sent = Sent::Stale;
            }
        }
        if owner.is_astray(&self.replica) {
            // What was sent over an earlier connection may arrive yet, under this fence, and what is asked for again would stand behind it.
            if owner.has_unanswered() {
                return self.step_down(cx);
            }
            if owner.is_open {
                cx.outputs.push(Output::Close);
            }
            owner.begin_again();
        }
        let is_noted = meta.reign == self.reign;
        owner.resolve(
            (meta.position, &self.stored_note),
            is_noted,
            fresh.is_some(),
            &self.replica,
            &self.rules,
        );
        self.open(cx);
        self.moved = true;
        self.pump(cx);
    }

    /// Asks the upstream, unless it is asked already.
    fn open(&mut self, cx: &mut Context<'_>) {
        let Some(owner) = &mut self.owner else {
            return;
        };
        if owner.is_open || owner.finishing || owner.leaving || self.replica.is_closed() {
            return;
        }
        owner.is_open = true;
        let mut behind = owner.last_upstream(&self.replica);
        let is_empty = self.replica.tip().0 == 0 && owner.is_empty();
        if let (true, None, Some(id)) = (is_empty, &behind, &self.behind) {
            behind = Some(id.clone());
            // So that all members know where the log begins.
            owner.draft(Draft::id(id.clone()), &self.replica, false);
        } else if let (None, false, false, Some(gap)) =
            (&behind, is_empty, self.asks_once, self.writing.gap())
        {
            owner.draft(gap, &self.replica, false);
        }
        let is_bare = |id: &Bytes| owner.is_bare(id, &self.replica);
        owner.had = behind.clone().filter(is_bare);
        cx.outputs.push(Output::Open(behind));
    }

    /// The connection to the upstream is lost, and it is to be asked again.
    pub fn upstream_lost(&mut self, cx: &mut Context<'_>) {
        if let Some(owner) = &mut self.owner {
            owner.is_open = false;
            if owner.resolved {
                self.open(cx);
                self.pump(cx);
            }
        }
    }

    /// The upstream has sent all there is.
    pub fn upstream_finished(&mut self, cx: &mut Context<'_>) {
        if let Some(owner) = &mut self.owner {
            owner.finishing = true;
            owner.is_open = false;
        }
        self.pump(cx);
    }

    /// Hands the stream over to whoever has clients of it, and does not take it back while it has none itself.
    pub fn leave(&mut self, cx: &mut Context<'_>) {
        self.is_wanted = false;
        if let Some(owner) = &mut self.owner {
            owner.leaving = true;
            if std::mem::take(&mut owner.is_open) {
                cx.outputs.push(Output::Close);
            }
        }
        self.pump(cx);
    }

    pub(super) fn pump(&mut self, cx: &mut Context<'_>) {
        if let (Some(owner), true) = (&mut self.owner, self.is_connected) {
            let how = (&self.rules, &self.writing);
            owner.pump(cx, &mut self.sent, &self.replica, how);
        }
    }

    /// Has the keys of a silent stream kept for longer.
    pub(super) fn renew(&mut self, cx: &mut Context<'_>) {
        let owner = self.owner.as_ref().filter(|owner| owner.resolved);
        let fence = owner.and_then(|owner| owner.fence);
        let is_due = cx.now >= self.renewed + self.renew_every && self.rules.hold(Rule::Renew);
        if let (Some(fence), true, true) = (fence, is_due, self.is_connected) {
            self.renewed = cx.now;
            self.moved = true;
            cx.send(Command::Renew { fence });
            self.sent.push_back(Sent::Renew);
        }
    }

    pub(super) fn landed(&mut self, cx: &mut Context<'_>) {
        self.renewed = cx.now;
        let frame = self.owner.as_mut().and_then(Owner::landed);
        if let Some(frame) = frame {
            self.replica.merge(&frame);
            self.moved = true;
        }
        self.pump(cx);
    }

    /// An append was refused: reads what the log has.
    pub(super) fn look_again(&mut self, cx: &mut Context<'_>) {
        if let Some(owner) = &mut self.owner {
            if std::mem::take(&mut owner.resolved) {
                self.read(cx);
            }
        }
    }

    pub(super) fn finished(&mut self, appended: Appended, cx: &mut Context<'_>) {
        match appended {
            Appended::Done => {
                self.replica.close();
                self.all_read = true;
                if let Some(meta) = &mut self.meta {
                    meta.ended = true;
                }
                self.step_down(cx);
            }
            Appended::At(_) | Appended::Fenced => self.look_again(cx),
        }
    }

    /// The log could not be made anew by this member.
    pub(super) fn lost_again(&mut self, cx: &mut Context<'_>) {
        if self.owner.is_some() {
            self.step_down(cx);
        }
    }

    pub(super) fn step_down(&mut self, cx: &mut Context<'_>) {
        if self.owner.take().is_some_and(|owner| owner.is_open) {
            cx.outputs.push(Output::Close);
        }
        for sent in &mut self.sent {
            if matches!(sent, Sent::Append | Sent::Finish | Sent::Tell | Sent::Leave) {
                *sent = Sent::Stale;
            }
        }
        self.watch.changed(cx.now, false);
    }
}
