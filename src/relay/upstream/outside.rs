//! What others have of the upstream, and whether it can be asked here.

use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;

use super::{First, Upstream};
use crate::history::History;
use crate::relay::head::Head;
use crate::relay::shared::{Ended, Of, Phase, Refusal};
use crate::relay::vary::Vary;
use crate::relay::{Key, note};

impl<S, R, E, H> Upstream<S, R, E, H>
where
    R: Body,
    H: History,
{
    /// Other processes have opened it with this head.
    pub(in crate::relay) fn take_up(&mut self, head: Head) {
        self.relay.set_vary(Vary::Fields(Vec::new()));
        self.leader = None;
        self.had_stream = true;
        self.registry.hold(&self.relay, head.bytes());
        self.is_open = true;
        self.relay.set_phase(Phase::Open(Arc::new(head)));
        self.say_there();
    }

    /// It has ended in this way, and other processes have opened it with this head.
    pub(in crate::relay) fn take_up_end(&mut self, head: Head, how: Ended) {
        self.relay.set_vary(Vary::Fields(Vec::new()));
        self.registry.hold(&self.relay, head.bytes());
        self.is_open = true;
        let ended = Phase::Ended(Some(Arc::new(head)), how);
        self.relay.set_phase(ended);
        self.say_there();
    }

    /// The client that leads joins what others have. If its request is not made again, and was made, its answer is lost.
    fn say_there(&mut self) {
        let is_lost = self.was_made && !self.can_be_repeated;
        if let Some(first) = self.first.take().filter(|_| !is_lost) {
            let _ = first.send(First::There);
        }
    }

    /// Whether there is an answer already that nobody has read.
    pub(in crate::relay) fn is_answered(&self) -> bool {
        self.body.is_some() || self.pending.is_some()
    }

    /// Whether the upstream can be asked, or has been, and what it says is to be read.
    pub(in crate::relay) fn can_ask(&self) -> bool {
        self.is_answered() || self.can_be_repeated || self.first.is_some() && !self.was_made
    }

    /// There is no stream here, and who waits asks for itself.
    pub(in crate::relay) fn leave_to_each(&mut self) {
        self.relay.set_phase(Phase::Refused(Refusal::Own));
        self.first = None;
    }

    /// All who wait are told that there is no answer.
    pub(in crate::relay) fn refuse_all(&mut self) {
        let head = Arc::new(Head::no_upstream());
        let same = Refusal::Same(head, Bytes::new());
        self.relay.set_phase(Phase::Refused(same));
        self.first = None;
    }

    /// Tells other processes of the head that clients here were given.
    pub(super) fn tell(&self) {
        if let (Some(stream), Phase::Open(head)) = (self.relay.outside(), self.relay.phase()) {
            stream.tell(note::write(&head, None, self.relay.is_asked_again));
        }
    }

    /// What is not for all who have the same key is not for other processes either: each finds that out by itself.
    pub(super) fn share_if(&self, vary: &Vary) {
        if !matches!(self.relay.of, Of::Key { .. }) {
            return;
        }
        let none = Key::default();
        let key = self.config.key.as_ref().unwrap_or(&none);
        let is_for_all = match vary {
            Vary::Private => false,
            vary => vary.names().iter().all(|name| key.tells_apart(name)),
        };
        if let Some(stream) = self.relay.outside().filter(|_| !is_for_all) {
            stream.be_alone();
        }
    }
}
