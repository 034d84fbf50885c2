//! What the scripts mean, over maps: the store of tests, and the measure of a real one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Acquired, Answer, Appended, Command, Fence, InstanceId, Mark, Message, Meta, Reign, Rules,
    SESSION, Snapshot,
};

/// How many operations can be forgotten.
const REMEMBERED: usize = 64;

/// A primary, for the streams of one partition, each with a number as its name.
#[derive(Clone, Debug)]
pub struct Model {
    reign: Reign,
    rules: Rules,
    state: State,
    /// As of before each of the last operations.
    before: VecDeque<State>,
}

#[derive(Clone, Debug, Default)]
struct State {
    streams: BTreeMap<u64, Log>,
    /// Until when.
    sessions: BTreeMap<InstanceId, u64>,
}

#[derive(Clone, Debug)]
struct Log {
    meta: Meta,
    note: Bytes,
    crowd: BTreeSet<InstanceId>,
    /// The oldest position to be kept.
    keep: u64,
    frames: Option<Arc<Kept>>,
}

/// A frame and those in front of it, so that what was before an operation costs nothing to remember.
#[derive(Debug)]
struct Kept {
    last: u64,
    frame: Bytes,
    before: Option<Arc<Kept>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // One by one: there may be more of them than a stack has room for.
        let mut before = self.before.take();
        while let Some(mut kept) = before.and_then(Arc::into_inner) {
            before = kept.before.take();
        }
    }
}

/// What everybody hears who has subscribed to the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The stream.
    pub stream: u64,
    /// What.
    pub message: Message,
}

impl Model {
    /// An empty one.
    pub fn new(reign: Reign, rules: Rules) -> Self {
        Model {
            reign,
            rules,
            state: State::default(),
            before: VecDeque::new(),
        }
    }

    /// Since when it has been the primary.
    pub fn reign(&self) -> Reign {
        self.reign
    }

    /// It restarts, or another takes its place, without what its last operations did.
    pub fn forget(&mut self, operations: usize, reign: Reign) {
        for _ in 0..operations {
            if let Some(before) = self.before.pop_back() {
                self.state = before;
            }
        }
        self.before.clear();
        self.reign = reign;
    }

    /// It restarts with nothing.
    pub fn restart_empty(&mut self, reign: Reign) {
        *self = Model::new(reign, self.rules);
    }

    /// A heartbeat.
    pub fn beat(&mut self, instance: InstanceId, now: u64) {
        self.remember();
        self.state.sessions.insert(instance, now + SESSION);
    }

    /// Executes a command for an instance.
    pub fn execute(
        &mut self,
        (stream, instance): (u64, InstanceId),
        command: Command,
        now: u64,
    ) -> (Answer, Option<Published>) {
        if !matches!(command, Command::Read { .. } | Command::Ask) {
            self.remember();
        }
        let (answer, message) = match command {
            Command::Read { from } => (Answer::Read(self.read(stream, from)), None),
            Command::Acquire {
                seen,
                random,
                epoch,
                force,
            } => {
                let random = if self.rules.fence_random { random } else { 0 };
                let may = |owner: Option<InstanceId>, sessions: &BTreeMap<InstanceId, u64>| {
                    let alive = |id: &InstanceId| sessions.get(id).is_some_and(|end| *end > now);
                    owner.filter(|owner| *owner != instance && !force && alive(owner))
                };
                if self
                    .state
                    .sessions
                    .get(&instance)
                    .is_none_or(|end| *end <= now)
                {
                    (Answer::Acquired(Acquired::Dead), None)
                } else {
                    let busy = self
                        .state
                        .streams
                        .get(&stream)
                        .and_then(|log| log.meta.owner);
                    let busy = may(busy, &self.state.sessions);
                    self.acquire(stream, instance, (seen, random, epoch), busy)
                }
            }
            Command::Append {
                fence,
                base,
                last,
                sequence,
                keep,
                mark,
                frame,
            } => {
                let (appended, is_new) =
                    self.append(stream, fence, (base, last, sequence), keep, mark, &frame);
                (
                    Answer::Appended(appended),
                    is_new.then_some(Message::Frame(frame)),
                )
            }
            Command::Leave { fence } => {
                let log = self.owned(stream, fence);
                let message = log.map(|log| {
                    log.meta.owner = None;
                    Message::Free(fence)
                });
                (Answer::Done, message)
            }
            Command::Finish { fence, base } => match self.owned(stream, fence) {
                None => (Answer::Appended(Appended::Fenced), None),
                Some(log) if log.meta.position != base => {
                    (Answer::Appended(Appended::At(log.meta.position)), None)
                }
                Some(log) => {
                    log.meta.ended = true;
                    (Answer::Appended(Appended::Done), Some(Message::Ended(base)))
                }
            },
            Command::Ask => (Answer::Done, Some(Message::Asked)),
        };
        (answer, message.map(|message| Published { stream, message }))
    }

    /// What all are told beside events, as long as this is the fence.
    pub fn tell(&mut self, stream: u64, fence: Fence, note: Bytes) -> bool {
        self.remember();
        let log = self.owned(stream, fence);
        log.map(|log| log.note = note).is_some()
    }

    /// What was told last.
    pub fn told(&self, stream: u64) -> Option<&Bytes> {
        Some(&self.state.streams.get(&stream)?.note)
    }

    /// An instance has clients, or none any more.
    pub fn crowd(&mut self, stream: u64, instance: InstanceId, is_in: bool) {
        self.remember();
        if let Some(log) = self.state.streams.get_mut(&stream) {
            match is_in {
                true => log.crowd.insert(instance),
                false => log.crowd.remove(&instance),
            };
        }
    }

    /// The instances that have clients and live.
    pub fn crowd_of(&self, stream: u64, now: u64) -> Vec<InstanceId> {
        let log = self.state.streams.get(&stream);
        let crowd = log.into_iter().flat_map(|log| &log.crowd);
        let alive = |id: &&InstanceId| self.state.sessions.get(id).is_some_and(|end| *end > now);
        crowd.filter(alive).copied().collect()
    }

    /// A finished log gives way to another, and is found by its epoch alone.
    pub fn anew(&mut self, stream: u64, aside: u64) -> bool {
        self.remember();
        let ended = self
            .state
            .streams
            .get(&stream)
            .is_some_and(|log| log.meta.ended);
        let log = ended.then(|| self.state.streams.remove(&stream));
        if let Some(log) = log.flatten() {
            self.state.streams.insert(aside, log);
        }
        ended
    }

    /// What is kept, as of now.
    pub fn read(&self, stream: u64, from: u64) -> Snapshot {
        let Some(log) = self.state.streams.get(&stream) else {
            return Snapshot::default();
        };
        let mut frames = Vec::new();
        let mut next = log.frames.as_ref();
        while let Some(kept) = next.filter(|kept| kept.last >= from.max(log.keep)) {
            frames.push(kept.frame.clone());
            next = kept.before.as_ref();
        }
        frames.reverse();
        Snapshot {
            meta: Some(log.meta),
            frames,
        }
    }

    fn acquire(
        &mut self,
        stream: u64,
        instance: InstanceId,
        (seen, random, epoch): (Option<Fence>, u64, u64),
        busy: Option<InstanceId>,
    ) -> (Answer, Option<Message>) {
        let log = self.state.streams.get(&stream);
        let fence = log.map(|log| log.meta.fence);
        let refused = if fence != seen {
            Some(Acquired::Changed(fence, log.and_then(|log| log.meta.owner)))
        } else if log.is_some_and(|log| log.meta.ended) {
            Some(Acquired::Ended)
        } else {
            busy.map(Acquired::Busy)
        };
        if let Some(refused) = refused {
            return (Answer::Acquired(refused), None);
        }
        let counter = fence.map_or(0, |fence| fence.counter) + 1;
        let fence = Fence { counter, random };
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
            frames: None,
        });
        log.meta.fence = fence;
        log.meta.owner = Some(instance);
        let own = Acquired::Own(log.meta);
        if !self.rules.jump_noted {
            log.meta.reign = Some(self.reign);
        }
        (Answer::Acquired(own), Some(Message::Owned(fence, instance)))
    }

    fn append(
        &mut self,
        stream: u64,
        fence: Fence,
        (base, last, sequence): (u64, u64, u64),
        keep: u64,
        mark: Mark,
        frame: &Bytes,
    ) -> (Appended, bool) {
        let (reign, base_check) = (self.reign, self.rules.base_check);
        let jump_noted = self.rules.jump_noted;
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

    fn owned(&mut self, stream: u64, fence: Fence) -> Option<&mut Log> {
        let equality = self.rules.fence_equality;
        let log = self.state.streams.get_mut(&stream)?;
        let is_owned = log.meta.fence == fence || !equality;
        (is_owned && !log.meta.ended).then_some(log)
    }

    fn remember(&mut self) {
        if self.before.len() == REMEMBERED {
            self.before.pop_front();
        }
        self.before.push_back(self.state.clone());
    }
}
