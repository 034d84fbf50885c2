//! What all members are told beside events, in order with them.

use bytes::Bytes;

use super::Member;
use crate::store::owner::Owner;
use crate::store::{Appended, Context, Fence, Rule};

impl Member {
    /// What the owner has told last; empty where that is nothing.
    pub fn note(&self) -> &Bytes {
        &self.note
    }

    /// Tells all members something beside events, in place of what was told before. Whoever has an event that is drafted later
    /// has this. Nothing is told where this is not the owner.
    pub fn tell(&mut self, note: Bytes, cx: &mut Context<'_>) {
        if let Some(owner) = &mut self.owner {
            owner.tell(note);
        }
        self.pump(cx);
    }

    /// There is another note, or there may be: what is heard from now on waits for a read that has it.
    pub(super) fn await_note(&mut self, cx: &mut Context<'_>) {
        if self.rules.hold(Rule::NoteInOrder) {
            self.note_since = self.reads_begun + 1;
        }
        self.read(cx);
    }

    pub(super) fn was_told(&mut self, appended: Appended, cx: &mut Context<'_>) {
        if appended != Appended::Done {
            return self.look_again(cx);
        }
        if let Some(note) = self.owner.as_mut().and_then(|owner| owner.notes.landed()) {
            self.stored_note = note.clone();
            self.note = note;
            self.all_read = true;
        }
        self.pump(cx);
    }

    /// The store has this note, and had it when this was the fence.
    pub(super) fn noted(&mut self, note: Bytes, fence: Fence) {
        // An owner that has told something knows it by answers, which a read may have overtaken.
        let has_told = |owner: &&Owner| owner.resolved && owner.notes.has_told();
        let mine = self.owner.as_ref().filter(has_told);
        if mine.is_some_and(|owner| owner.fence == Some(fence)) {
            return;
        }
        if !note.is_empty() {
            self.note = note.clone();
        }
        self.stored_note = note;
    }
}
