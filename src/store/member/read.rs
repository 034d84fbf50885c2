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
        let frames: Vec<_> = snapshot.frames.iter().flat_map(Frame::parse).collect();
        if let Some(meta) = snapshot.meta {
            if !self.merge_read(from, &meta, &frames) {
                self.read_from(0, cx);
                return;
            }
        } else if self.meta.is_some() || !self.is_known {
            self.gone_since = cx.now;
        }
        self.reads_done = self.reads_begun;
        self.is_reading = false;
        let before = self.meta.and_then(|meta| meta.owner);
        let owner = snapshot.meta.and_then(|meta| meta.owner);
        if before != owner || !self.is_known {
            self.watch.changed(cx.now, false);
        }
        self.meta = snapshot.meta;
        self.is_known = true;
        let heard = std::mem::take(&mut self.heard);
        let position = self.meta.map_or(0, |meta| meta.position);
        for frame in heard {
            if self.replica.merge(&frame) == Merged::Hole && frame.last() > position {
                self.read_again = true;
                self.heard.push(frame);
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
            let base = frames.first().map_or((0, 0), |frame| (frame.base, 0));
            self.replica.begin(meta.epoch, base);
        }
        let merged = frames
            .iter()
            .all(|frame| self.replica.merge(frame) != Merged::Hole);
        if merged && self.replica.contains(meta.position) {
            return true;
        }
        if from == 0 {
            let root = frames.first().map_or((0, 0), |frame| (frame.base, 0));
            self.replica.begin(meta.epoch, root);
            for frame in frames {
                self.replica.merge(frame);
            }
        }
        from == 0
    }
}
