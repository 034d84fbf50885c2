//! A stream that other gateways share: its upstream is read here at times, and at others elsewhere.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::sleep;

use super::{Drive, either};
use crate::history::History;
use crate::relay::UpstreamState;
use crate::relay::backoff::Backoff;
use crate::relay::head::Head;
use crate::relay::inside::Inside;
use crate::relay::note::{self, Note};
use crate::relay::outside::{Lead, Stream, Term};
use crate::relay::reading::Reading;
use crate::relay::shared::{Ended, Of, Phase, Relay};

impl<S, R, E, H> Drive<'_, S, R, E, H>
where
    H: History,
    R: Body,
{
    /// Reads the upstream whenever it is to be read here, until the stream ends.
    pub(super) async fn terms<B>(&mut self, stream: &Arc<Stream>) -> Ended
    where
        S: Inside<B, R, Error = E>,
        B: From<Bytes> + Send + 'static,
        R: Send + 'static,
    {
        let is_found = stream.is_found();
        if self.config.hold && !is_found {
            self.upstream.open(Head::own(), None);
        }
        loop {
            let takes_note = !self.upstream.is_open;
            let early = self.config.open_after;
            let early = early.filter(|_| takes_note && !is_found);
            let patience = pin!(self.patience(early).over(stream));
            let Some(lead) = either(pin!(stream.lead(takes_note)), patience).await else {
                match self.waited(stream, early.is_some()) {
                    Some(how) => return how,
                    None => continue,
                }
            };
            match lead {
                Lead::Alone(rest) => {
                    if let Some(rest) = rest {
                        self.begin(rest, is_found);
                        self.is_gap_told = false;
                    }
                    return self.ask(stream).await;
                }
                Lead::There(note) => {
                    self.relay.set_state(UpstreamState::Elsewhere);
                    self.take_up(note::parse(&note));
                }
                Lead::Ended(note) => {
                    let note = note.and_then(|note| note::parse(&note));
                    let how = note.as_ref().and_then(|note| note.ended);
                    let how = how.unwrap_or(Ended::Left);
                    if let (Some(note), true) = (note, how != Ended::Left && takes_note) {
                        self.upstream.take_up_end(note.head, how);
                    }
                    return how;
                }
                Lead::Other if self.upstream.is_answered() => self.be_alone(stream),
                Lead::Other => {
                    self.upstream.leave_to_each();
                    return Ended::Refused;
                }
                Lead::Own(term) => {
                    let number = term.number;
                    self.begin(term, is_found);
                    let is_own = matches!(self.relay.of, Of::Client(_));
                    let give_up = is_own.then_some(self.config.give_up);
                    let over = pin!(over(stream, number, give_up));
                    if let Some(how) = either(pin!(self.ask(stream)), over).await {
                        return how;
                    }
                    self.relay.set_state(UpstreamState::Elsewhere);
                }
            }
        }
    }

    /// Reads the upstream. Where it cannot be asked again, all are told that the rest is missing, and once: who did so before may
    /// have died behind it.
    async fn ask<B>(&mut self, stream: &Stream) -> Ended
    where
        S: Inside<B, R, Error = E>,
        B: From<Bytes> + Send + 'static,
        R: Send + 'static,
    {
        if self.upstream.can_ask() {
            return self.drive().await;
        }
        if !self.upstream.is_open {
            self.upstream.refuse_all();
            return Ended::Refused;
        }
        if !stream.ends_with_gap() {
            self.tell_gap().await;
        }
        Ended::Failed
    }

    /// Whether it is the answer to one client's request, that others are to share.
    fn is_adopted(&self) -> bool {
        matches!(self.relay.of, Of::Key { .. }) && self.upstream.is_answered()
    }

    /// The clients that are here are given what this process reads, and others do not come.
    fn be_alone(&mut self, stream: &Arc<Stream>) {
        stream.be_alone();
        self.upstream.registry.withdraw(&self.relay);
    }

    fn patience(&self, early: Option<Duration>) -> Patience {
        let give_up = self.config.give_up;
        match early {
            Some(time) => Patience::InAll(time),
            // Its client has the head of its own answer, and waits for the rest.
            None if self.is_adopted() => Patience::InAll(PATIENCE.min(give_up)),
            // For as long as somebody else reads the upstream there is nothing to do.
            None if self.upstream.is_open => Patience::WhileUnreachable(give_up),
            None => Patience::InAll(give_up),
        }
    }

    /// Nothing was heard for so long. How it ends, if it does.
    fn waited(&mut self, stream: &Arc<Stream>, opens_early: bool) -> Option<Ended> {
        if opens_early {
            self.upstream.open(Head::own(), None);
            return None;
        }
        if self.is_adopted() {
            self.be_alone(stream);
            return None;
        }
        if !self.upstream.is_open {
            self.upstream.refuse_all();
            return Some(Ended::Refused);
        }
        match self.relay.of {
            // What there is of the answer is for its client, and no more will come of it.
            Of::Client(_) => {
                stream.be_alone();
                None
            }
            Of::Key { .. } => Some(Ended::GaveUp),
        }
    }

    /// Opens the stream as another gateway has opened it.
    fn take_up(&mut self, note: Option<Note>) {
        if !self.upstream.is_open {
            let head = note.map_or_else(Head::own, |note| note.head);
            self.upstream.take_up(head);
        }
    }

    fn begin(&mut self, term: Term, is_found: bool) {
        let Term {
            behind,
            behind_at,
            is_fresh,
            note,
            ..
        } = term;
        // What has events was opened by somebody.
        if note.is_some() || !is_fresh || is_found {
            self.take_up(note.and_then(|note| note::parse(&note)));
        }
        // The log has a gap already where nobody can say behind what it goes on.
        self.is_gap_told = !is_fresh && behind.is_none();
        self.reading = Reading::new(behind, !self.relay.is_asked_again);
        if !is_fresh {
            self.reading.behind_last_id = behind_at;
        }
        self.was_connected = !is_fresh;
        self.upstream.backoff = Backoff::new();
    }
}

/// How long there may be nothing to do.
enum Patience {
    InAll(Duration),
    /// Without connections to the store.
    WhileUnreachable(Duration),
}

impl Patience {
    async fn over(self, stream: &Arc<Stream>) {
        match self {
            Patience::InAll(time) => sleep(time).await,
            Patience::WhileUnreachable(time) => stream.unreachable_for(time).await,
        }
    }
}

/// Until the term is over. The rest of an answer is not waited for for ever where the store is away.
async fn over(stream: &Arc<Stream>, term: u64, give_up: Option<Duration>) {
    let given_up = pin!(async {
        match give_up {
            Some(time) => stream.give_up_behind(time).await,
            None => pending().await,
        }
    });
    either(pin!(stream.over(term)), given_up).await;
}

/// The stream ends here, in this way. Where the upstream was read here, others are told, or go on.
pub(super) async fn end(relay: &Relay, how: Ended) {
    let Some(stream) = relay.outside() else {
        return;
    };
    stream.begin_to_end();
    if stream.is_owner() && how != Ended::Refused {
        let goes_on = how == Ended::Left && stream.has_others().await;
        if !goes_on {
            let again = relay.is_asked_again;
            let note = match relay.phase() {
                Phase::Open(head) | Phase::Ended(Some(head), _) => {
                    note::write(&head, Some(how), again)
                }
                _ => note::write(&Head::own(), Some(how), again),
            };
            stream.finish(note).await;
        }
    }
    // Nobody else can write it again, should the store forget it. It is followed for as long as it is kept here.
    if how == Ended::Left || !stream.keeps_what_has_ended() {
        stream.detach();
    }
}

/// So long a client waits for the store to say where its stream is.
pub(in crate::relay) const PATIENCE: Duration = Duration::from_secs(2);
