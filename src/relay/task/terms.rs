//! A stream that other gateways share: its upstream is read here at times, and at others elsewhere.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::timeout;

use super::{Drive, either};
use crate::history::History;
use crate::relay::UpstreamState;
use crate::relay::backoff::Backoff;
use crate::relay::head::Head;
use crate::relay::inside::Inside;
use crate::relay::note::{self, Note};
use crate::relay::outside::{Lead, Stream, Term};
use crate::relay::reading::Reading;
use crate::relay::shared::{Ended, Phase, Relay};

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
        if self.config.hold {
            self.upstream.open(Head::own(), None);
        }
        loop {
            let takes_note = !self.upstream.is_open;
            let wait = match self.config.open_after.filter(|_| takes_note) {
                Some(time) => time,
                None => self.config.give_up,
            };
            let Ok(lead) = timeout(wait, stream.lead(takes_note)).await else {
                match self.waited(stream, takes_note) {
                    Some(how) => return how,
                    None => continue,
                }
            };
            match lead {
                Lead::Alone(rest) => {
                    if let Some(rest) = rest {
                        self.begin(rest);
                        self.is_gap_told = false;
                    }
                    return self.drive().await;
                }
                Lead::There(note) => {
                    self.relay.set_state(UpstreamState::Elsewhere);
                    self.take_up(note::parse(&note));
                }
                Lead::Ended(note) => {
                    let note = note.and_then(|note| note::parse(&note));
                    let how = note.as_ref().and_then(|note| note.ended);
                    if how.is_some_and(|how| how != Ended::Left) {
                        self.take_up(note);
                    }
                    return how.unwrap_or(Ended::Left);
                }
                Lead::Own(term) => {
                    let number = term.number;
                    self.begin(term);
                    let over = pin!(stream.over(number));
                    if let Some(how) = either(pin!(self.drive()), over).await {
                        return how;
                    }
                    self.relay.set_state(UpstreamState::Elsewhere);
                }
            }
        }
    }

    /// Nothing was heard for so long. How it ends, if it does.
    fn waited(&mut self, stream: &Stream, takes_note: bool) -> Option<Ended> {
        if takes_note && self.config.open_after.is_some() {
            self.upstream.open(Head::own(), None);
            return None;
        }
        if takes_note {
            self.upstream.refuse_all();
            return Some(Ended::Refused);
        }
        (!stream.is_reachable()).then_some(Ended::GaveUp)
    }

    /// Opens the stream as another gateway has opened it.
    fn take_up(&mut self, note: Option<Note>) {
        if !self.upstream.is_open {
            let head = note.map_or_else(Head::own, |note| note.head);
            self.upstream.take_up(head);
        }
    }

    fn begin(&mut self, term: Term) {
        let Term {
            behind,
            behind_at,
            is_fresh,
            note,
            ..
        } = term;
        // What has events was opened by somebody.
        if note.is_some() || !is_fresh {
            self.take_up(note.and_then(|note| note::parse(&note)));
        }
        // The log has a gap already where nobody can say behind what it goes on.
        self.is_gap_told = !is_fresh && behind.is_none();
        self.reading = Reading::new(behind, false);
        if !is_fresh {
            self.reading.behind_last_id = behind_at;
        }
        self.was_connected = !is_fresh;
        self.upstream.backoff = Backoff::new();
    }
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
            let note = match relay.phase() {
                Phase::Open(head) | Phase::Ended(Some(head), _) => note::write(&head, Some(how)),
                _ => note::write(&Head::own(), Some(how)),
            };
            stream.finish(note).await;
        }
    }
    stream.detach();
}

/// So long a client waits for the store to say where its stream is.
pub(in crate::relay) const PATIENCE: Duration = Duration::from_secs(2);
