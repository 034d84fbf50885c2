//! The log as the store has it, joined with what was heard.

use super::{Member, Sent};
use crate::store::replica::Merged;
use crate::store::{Command, Context, Frame, Meta, Snapshot};

impl Member {
    /// Reads what is new in the log, or once more if that is under way.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) {
        if self.is_reading {
            self.read_again = true;
        } else {
            let from = self.replica.tip().0;
            self.read_from(from, cx);
        }
    }

    pub(super) fn read_from(&mut self, from: u64, cx: &mut Context<'_>) {
        if !self.is_connected {
            return;
        }
        if !std::mem::replace(&mut self.is_reading, true) {
            self.reads_begun += 1;
        }
        cx.send(Command::Read { from });
        self.sent.push_back(Sent::Read { from });
    }

    pub(super) fn was_read(&mut self, from: u64, snapshot: Snapshot, cx: &mut Context<'_>) {
        if snapshot.meta.is_some_and(|meta| !meta.is_bounded()) {
            // Nobody who keeps to the protocol writes that. The stream is left alone.
            self.is_reading = false;
            self.is_known = false;
            return;
        }
        if std::mem::take(&mut self.is_overtaken) {
            self.is_reading = false;
            self.read_again = false;
            return self.read(cx);
        }
        let frames: Vec<_> = snapshot.frames.iter().flat_map(Frame::parse).collect();
        if let Some(meta) = snapshot.meta {
            if !self.merge_read(from, &meta, &frames) {
                self.read_from(0, cx);
                return;
            }
        } else if self.meta.is_some() || !self.is_known {
            self.gone_since = cx.now;
        }
        if let Some(meta) = &snapshot.meta {
            self.noted(snapshot.note, meta.fence);
        }
        self.reads_done = self.reads_begun;
        let is_new = !std::mem::replace(&mut self.has_come, true);
        self.is_reading = false;
        let before = self.meta.and_then(|meta| meta.owner);
        let owner = snapshot.meta.and_then(|meta| meta.owner);
        if is_new {
            self.watch.came(cx.now);
        } else if before != owner || !self.is_known {
            self.watch.changed(cx.now, false);
        }
        self.meta = snapshot.meta;
        let counter = self.meta.map_or(0, |meta| meta.fence.counter);
        self.counter = self.counter.max(counter);
        self.is_known = true;
        let heard = std::mem::take(&mut self.heard);
        for (since, frame) in heard {
            let waits = self.note_since > self.reads_done;
            let is_new = since > self.reads_done;
            if is_new && (waits || self.replica.merge(&frame) == Merged::Hole) {
                self.read_again = true;
                self.heard.push((since, frame));
            }
        }
        if self.meta.is_some_and(|meta| meta.ended) {
            self.replica.close();
        }
        self.resolve(None, cx);
        if std::mem::take(&mut self.read_again) {
            self.read(cx);
        }
        self.consider(cx);
    }

    /// Says whether it is understood, or all of the log is to be read.
    fn merge_read(&mut self, from: u64, meta: &Meta, frames: &[Frame]) -> bool {
        if self.replica.epoch() != Some(meta.epoch) {
            if from != 0 {
                return false;
            }
            self.replica.begin(meta.epoch, root(meta, frames));
        }
        let merged = frames
            .iter()
            .all(|frame| self.replica.merge(frame) != Merged::Hole);
        // The log was made anew, and is not written again yet: by whoever owns it, or by this member should that one be gone first.
        let is_anew = meta.position == 0 && !self.replica.is_empty();
        if merged && (self.replica.contains(meta.position) || is_anew) {
            return true;
        }
        if from == 0 {
            self.replica.begin(meta.epoch, root(meta, frames));
            for frame in frames {
                self.replica.merge(frame);
            }
        }
        from == 0
    }
}

/// What is in front of these frames. The frames alone may have been evicted.
fn root(meta: &Meta, frames: &[Frame]) -> (u64, u64) {
    match frames.first() {
        None => (meta.position, meta.sequence),
        Some(first) if first.base + 1 == first.first => (first.base, first.sequence),
        // Which sequence was the last one in front of those that are left out is not known.
        Some(first) => (first.base, 0),
    }
}
