//! Gives the log, which clients read, what is new of the replica.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Fate, State, Stream};
use crate::history::{Given, Keep};
use crate::store::outside::Job;
use crate::store::{Draft, Stored};
use crate::wire::{Event, LineEnding};

/// What was given last.
#[derive(Debug, Default)]
pub(super) struct Feed {
    /// Epoch and number of the last id.
    shown: (u64, u64),
    /// The last reconnection time.
    pub(super) retry: Option<Duration>,
}

impl Stream {
    /// Whether there was anything.
    pub(super) fn feed(self: &Arc<Self>, state: &mut State) -> bool {
        let replica = state.member.replica();
        if replica.is_closed() && state.fed == 0 && !self.wants_rest(state) {
            self.give_way(state);
            return false;
        }
        if state.member.is_taken() {
            // Clients here have the beginning of another.
            return false;
        }
        let (oldest, next) = (replica.oldest(), replica.next());
        if state.fed >= next || state.fate != Fate::Shared {
            return false;
        }
        if state.fed < oldest {
            self.log.skip_to(oldest);
            state.fed = oldest;
        }
        let mut given = Vec::new();
        while state.fed < next {
            given.push(self.given(state, state.fed));
            state.fed += 1;
        }
        let keep = match state.member.is_owner() {
            true => self.keep,
            false => Keep::Nothing,
        };
        state.hold = self.log.give(given, keep, Instant::now());
        let (oldest, _) = self.log.span();
        state.member.forget(oldest);
        true
    }

    /// Whether what is left of a log that has ended is for the first client.
    pub(super) fn wants_rest(&self, state: &State) -> bool {
        if self.writing.shown.is_some() {
            // There will be no other under its name.
            return true;
        }
        let note = state.note.as_deref();
        self.wants_rest.zip(note).is_some_and(|(is, note)| is(note))
    }

    fn given(&self, state: &mut State, place: u64) -> Given {
        let replica = state.member.replica();
        let name = replica.names(place).last();
        let (stored, epoch, number) = match (replica.entry(place).flatten(), name) {
            (Some(stored), Some((epoch, _, number))) => (stored.clone(), *epoch, *number),
            // Something is lost here. It has no number of its own.
            _ => {
                let (epoch, number) = state.feed.shown;
                (self.loss(epoch, number), epoch, number)
            }
        };
        state.feed.shown = (epoch, number);
        let (stored, epoch) = self.writing.show(stored, epoch, number);
        let block = &stored.bytes[stored.body..];
        if memchr::memmem::find(block, b"retry").is_some() {
            let event = Event::unfinished(stored.bytes.slice(stored.body..), LineEnding::Lf);
            state.feed.retry = event.retry().or(state.feed.retry);
        }
        Given {
            has_data: stored.has_data,
            sets_id: stored.sets_id,
            is_gap: stored.is_gap,
            upstream: stored.upstream,
            body: stored.body,
            bytes: stored.bytes,
            epoch,
            number,
        }
    }

    /// What stands where something is lost.
    fn loss(&self, epoch: u64, number: u64) -> Stored {
        let draft = self.writing.gap().unwrap_or_else(|| Draft {
            has_data: false,
            sets_id: false,
            is_gap: true,
            upstream: None,
            event: bytes::Bytes::from_static(b":\n"),
        });
        self.writing.write(&draft, epoch, number)
    }

    /// A log that has ended is of no use to who has nothing of it.
    fn give_way(self: &Arc<Self>, state: &mut State) {
        if let (Some(session), false) = (&state.session, state.gives_way) {
            state.gives_way = true;
            session.job(Job::Anew(self.clone()));
        }
    }
}
