//! What a store does beside the commands of a member.

use bytes::Bytes;

use super::{Model, State};
use crate::store::{Fence, InstanceId};

impl Model {
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

    /// Somebody empties it while it runs.
    pub fn empty(&mut self) {
        self.remember();
        self.state = State::default();
    }

    /// One key of a stream is evicted, or all that has no meaning without it: the state, or the events alone.
    pub fn evict(&mut self, stream: u64, events_alone: bool) {
        self.remember();
        match self.state.streams.get_mut(&stream) {
            Some(log) if events_alone => log.frames = None,
            _ => {
                self.state.streams.remove(&stream);
            }
        }
    }
}
