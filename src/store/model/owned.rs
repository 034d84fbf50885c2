//! Who owns a log, and what is appended.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{Kept, Log, Model};
use crate::store::{Acquired, Answer, Appended, Fence, InstanceId, Mark, Message, Meta, Rule};

impl Model {
    pub(super) fn acquire(
        &mut self,
        stream: u64,
        instance: InstanceId,
        (seen, fence, epoch): (Option<Fence>, Fence, u64),
        busy: Option<InstanceId>,
    ) -> (Answer, Option<Message>) {
        let log = self.state.streams.get(&stream);
        let last = log.map(|log| log.meta.fence);
        let refused = if last != seen {
            Some(Acquired::Changed(last, log.and_then(|log| log.meta.owner)))
        } else if log.is_some_and(|log| log.meta.ended) {
            Some(Acquired::Ended)
        } else {
            busy.map(Acquired::Busy)
        };
        if let Some(refused) = refused {
            return (Answer::Acquired(refused), None);
        }
        let log = self.state.streams.entry(stream).or_insert_with(|| Log {
            meta: Meta {
                epoch,
                position: 0,
                sequence: 0,
                fence,
                owner: None,
                reign: None,
                ended: false,
            },
            note: Bytes::new(),
            crowd: BTreeSet::new(),
            keep: 0,
            until: u64::MAX,
            frames: None,
        });
        log.meta.fence = fence;
        log.meta.owner = Some(instance);
        let own = Acquired::Own(log.meta);
        if !self.rules.hold(Rule::JumpNoted) {
            log.meta.reign = Some(self.reign);
        }
        (Answer::Acquired(own), Some(Message::Owned(fence, instance)))
    }

    pub(super) fn append(
        &mut self,
        stream: u64,
        fence: Fence,
        (base, last, sequence): (u64, u64, u64),
        keep: u64,
        mark: Mark,
        frame: &Bytes,
    ) -> (Appended, bool) {
        let (reign, base_check) = (self.reign, self.rules.hold(Rule::BaseCheck));
        let jump_noted = self.rules.hold(Rule::JumpNoted);
        let Some(log) = self.owned(stream, fence) else {
            return (Appended::Fenced, false);
        };
        if log.meta.position == last {
            return (Appended::Done, false);
        }
        if log.meta.position != base && base_check {
            return (Appended::At(log.meta.position), false);
        }
        // What was dropped does not come back for who keeps more.
        log.keep = log.keep.max(keep);
        log.frames = Some(Arc::new(Kept {
            last,
            frame: frame.clone(),
            before: log.frames.take(),
        }));
        log.meta.position = last;
        log.meta.sequence = sequence;
        match mark {
            Mark::None => {}
            Mark::First => log.meta.reign = Some(reign),
            Mark::Repair if jump_noted => log.meta.reign = None,
            Mark::Repair => {}
        }
        (Appended::Done, true)
    }
}
