//! What the scripts mean, over maps: the store of tests, and the measure of a real one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Acquired, Answer, Appended, Command, Fence, InstanceId, Message, Meta, Reign, Rule, Rules,
    SESSION, Snapshot,
};

mod beside;
mod owned;

/// How many operations can be forgotten.
const REMEMBERED: usize = 64;

/// A primary, for the streams of one partition, each with a number as its name.
#[derive(Clone, Debug)]
pub struct Model {
    reign: Reign,
    rules: Rules,
    /// How long it keeps a log in which nothing happens.
    lifetime: u64,
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
    /// Until when it is kept if nothing happens.
    until: u64,
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
            lifetime: u64::MAX,
            state: State::default(),
            before: VecDeque::new(),
        }
    }

    /// Forgets a log in which nothing has happened for so many milliseconds. Never, unless this is called.
    pub fn keep_for(mut self, millis: u64) -> Self {
        self.lifetime = millis;
        self
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
        *self = Model::new(reign, self.rules).keep_for(self.lifetime);
    }

    /// Whether there is a log of the stream that is still kept.
    pub fn has(&self, stream: u64, now: u64) -> bool {
        let log = self.state.streams.get(&stream);
        log.is_some_and(|log| log.until > now)
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
        self.state.streams.retain(|_, log| log.until > now);
        let (answer, message) = match command {
            Command::Read { from } => (Answer::Read(self.read(stream, from)), None),
            Command::Acquire {
                seen,
                mut fence,
                epoch,
                force,
            } => {
                if !self.rules.hold(Rule::FenceRandom) {
                    fence.random = 0;
                }
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
                    let done = self.acquire(stream, instance, (seen, fence, epoch), busy);
                    if let (Answer::Acquired(Acquired::Own(_)), _) = done {
                        self.renew(stream, now);
                    }
                    done
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
                if is_new {
                    self.renew(stream, now);
                }
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
            Command::Tell { fence, base, note } => match self.owned(stream, fence) {
                None => (Answer::Appended(Appended::Fenced), None),
                Some(log) if log.meta.position != base => {
                    (Answer::Appended(Appended::At(log.meta.position)), None)
                }
                Some(log) => {
                    log.note = note;
                    (Answer::Appended(Appended::Done), Some(Message::Told))
                }
            },
            Command::Renew { fence } => match self.owned(stream, fence) {
                None => (Answer::Appended(Appended::Fenced), None),
                Some(_) => {
                    self.renew(stream, now);
                    (Answer::Appended(Appended::Done), None)
                }
            },
            Command::Ask => (Answer::Done, Some(Message::Asked)),
        };
        (answer, message.map(|message| Published { stream, message }))
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
            note: log.note.clone(),
        }
    }

    fn owned(&mut self, stream: u64, fence: Fence) -> Option<&mut Log> {
        let equality = self.rules.hold(Rule::FenceEquality);
        let log = self.state.streams.get_mut(&stream)?;
        let is_owned = log.meta.fence == fence || !equality;
        (is_owned && !log.meta.ended).then_some(log)
    }

    fn renew(&mut self, stream: u64, now: u64) {
        if let Some(log) = self.state.streams.get_mut(&stream) {
            log.until = now.saturating_add(self.lifetime);
        }
    }

    fn remember(&mut self) {
        if self.before.len() == REMEMBERED {
            self.before.pop_front();
        }
        self.before.push_back(self.state.clone());
    }
}
