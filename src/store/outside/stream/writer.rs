//! What the task of a relay does to a stream: it waits until it is to read the upstream, and appends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{End, Fate, State, Stream};
use crate::history::{self, Appended};
use crate::store::outside::hub::RETURN;
use crate::store::outside::{Job, Look};
use crate::store::{Draft, InstanceId, MAX_LARGE, Member, Part};
use crate::wire::EventId;

/// So long the end of a stream is waited for.
const PARTING: Duration = Duration::from_secs(2);
/// What a frame takes beside its event, at most.
const FRAMING: usize = 4 * 1024;

/// What is to be done about the upstream.
pub(crate) enum Lead {
    /// It is to be read here.
    Own(Term),
    /// It is read elsewhere, or was; this is what all were told.
    There(Bytes),
    /// The log has ended.
    Ended(Option<Bytes>),
    /// There is none to be taken up, or there is one though none was to be.
    Other,
    /// It is to be read here, and the stream is this process' own: behind what clients here have, if they have anything.
    Alone(Option<Term>),
}

/// A time for which a stream is owned, and its upstream asked.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    pub(crate) number: u64,
    /// The upstream's id behind which it is asked.
    pub(crate) behind: Option<Bytes>,
    /// Where what is behind that begins in the log, if it is kept.
    pub(crate) behind_at: Option<u64>,
    /// Whether nothing was ever told or appended.
    pub(crate) is_fresh: bool,
    /// What all were told last.
    pub(crate) note: Option<Bytes>,
}

impl Stream {
    /// Waits until there is something to do: to read the upstream, or to take up what all were told, if that is of use.
    pub(crate) async fn lead(self: &Arc<Self>, takes_note: bool) -> Lead {
        self.until(|state| {
            if state.fate != Fate::Shared {
                return Some(Lead::Alone(self.rest(state)));
            }
            if state.member.replica().is_closed() {
                let is_for_us = state.fed > 0 || self.wants_rest(state);
                return (is_for_us && self.knows_end(state))
                    .then(|| Lead::Ended(state.note.clone()));
            }
            if state.member.is_taken() || state.member.is_missing() {
                return Some(Lead::Other);
            }
            if let Some(behind) = &state.open {
                let (_, next) = self.log.span();
                state.led = state.term;
                return Some(Lead::Own(Term {
                    number: state.term,
                    behind_at: behind.as_ref().and_then(|id| self.log.behind(id)),
                    behind: behind.clone(),
                    is_fresh: next == 0,
                    note: state.note.clone(),
                }));
            }
            let note = state.note.clone().filter(|_| takes_note);
            note.filter(|_| state.member.is_known()).map(Lead::There)
        })
        .await
    }

    /// Whether what is known of how the log has ended was read behind its end.
    fn knows_end(self: &Arc<Self>, state: &mut State) -> bool {
        if let (End::Unknown, Some(session)) = (state.end, &state.session) {
            state.end = End::Asked;
            session.look(Look::Told(self.clone(), state.lives));
        }
        state.end == End::Known
    }

    /// Whether it was found in the store, and its upstream was never asked here.
    pub(crate) fn is_found(&self) -> bool {
        self.part == Part::Joins
    }

    /// Whether the beginning of the log is not kept.
    pub(crate) fn has_dropped(&self) -> bool {
        self.lock().member.replica().keep() > 1
    }

    /// Whether the last event says that something may be missing.
    pub(crate) fn ends_with_gap(&self) -> bool {
        self.lock().member.replica().ends_with_gap()
    }

    /// Where what clients here have ends.
    fn rest(&self, state: &State) -> Option<Term> {
        let (_, next) = self.log.span();
        let behind = self.log.last_upstream();
        (next > 0).then(|| Term {
            number: state.term,
            behind_at: behind.as_ref().and_then(|id| self.log.behind(id)),
            behind,
            is_fresh: false,
            note: state.note.clone(),
        })
    }

    /// Waits until the upstream is not to be read any more, or to be asked again.
    pub(crate) async fn over(self: &Arc<Self>, term: u64) {
        let is_over = |state: &State| match state.fate {
            Fate::Shared => state.term != term || state.open.is_none(),
            // Whoever chose that reads on.
            Fate::Alone => state.term != term,
            Fate::Gone => true,
        };
        self.until(|state| is_over(state).then_some(())).await;
    }

    /// Appends events, and waits until they are there. That is never where the term is over.
    pub(crate) async fn append(self: &Arc<Self>, drafts: Vec<history::Draft>) -> Appended {
        self.settled().await;
        let (_, position) = self.log.span();
        let drafts: Vec<Draft> = drafts
            .into_iter()
            .filter_map(|draft| self.draft(draft))
            .collect();
        if !drafts.is_empty() {
            self.add(drafts);
            self.settled().await;
        }
        Appended {
            position,
            sequence: 0,
            last_id: self.log.last_id_from(position),
            hold: self.lock().hold,
        }
    }

    fn add(self: &Arc<Self>, drafts: Vec<Draft>) {
        let mut state = self.lock();
        // What was read in another term is not for this one.
        if state.led == state.term {
            self.act(&mut state, |member, cx| {
                for draft in drafts {
                    member.draft(draft, cx);
                }
            });
        }
        drop(state);
        self.tell_change();
    }

    async fn settled(self: &Arc<Self>) {
        self.until(|state| {
            let is_led = state.led == state.term;
            (is_led && state.member.is_settled()).then_some(())
        })
        .await;
    }

    /// Tells all something that replaces what they were told before.
    pub(crate) fn tell(&self, note: Bytes) {
        let mut state = self.lock();
        state.note = Some(note);
        state.noted = None;
        self.note_again(&mut state);
    }

    /// Says it again where the store may not have it.
    pub(super) fn note_again(&self, state: &mut State) {
        let Some(fence) = state.member.fence() else {
            return;
        };
        if let (Some(session), Some(note)) = (&state.session, &state.note) {
            if state.noted != Some(fence) {
                session.job(Job::Tell(self.name, fence, note.clone()));
                state.noted = Some(fence);
            }
        }
    }

    /// Ends the log, once it is told how.
    pub(crate) async fn finish(self: &Arc<Self>, note: Bytes) {
        self.tell(note);
        self.have(Member::upstream_finished);
        let closed = self.until(|state| {
            let is_over = state.fate != Fate::Shared || state.member.replica().is_closed();
            (is_over || !state.member.is_owner()).then_some(())
        });
        let _ = timeout(PARTING, closed).await;
    }

    /// Whether it was brought to its end here, and is written again where the store forgets it.
    pub(crate) fn keeps_what_has_ended(&self) -> bool {
        let state = self.lock();
        state.fate == Fate::Shared && state.member.keeps_what_has_ended()
    }

    /// Whether another gateway has clients, or may have.
    pub(crate) async fn has_others(self: &Arc<Self>) -> bool {
        let (sender, crowd) = oneshot::channel();
        let session = self.lock().session.clone();
        // Others may not be back yet where all have lost their connections.
        let session = session.filter(|session| session.began.elapsed() > RETURN);
        let Some(session) = session else { return true };
        session.job(Job::CrowdOf(self.name, sender));
        match timeout(PARTING, crowd).await {
            Ok(Ok(crowd)) => crowd.iter().any(|other| *other != self.hub.me),
            _ => true,
        }
    }

    /// Waits until there were no connections to the store for so long without a break.
    pub(crate) async fn unreachable_for(self: &Arc<Self>, time: Duration) {
        loop {
            self.until(|state| state.session.is_none().then_some(()))
                .await;
            let back = self.until(|state| state.session.is_some().then_some(()));
            if timeout(time, back).await.is_err() {
                break;
            }
        }
    }

    /// Waits for that, and gives up what was to be there.
    pub(crate) async fn give_up_behind(self: &Arc<Self>, time: Duration) {
        self.unreachable_for(time).await;
        if self.be_alone() {
            self.lock().term += 1;
            self.tell_change();
        }
    }

    /// Whether the upstream is read here.
    pub(crate) fn is_owner(&self) -> bool {
        let state = self.lock();
        state.fate == Fate::Shared && state.member.is_owner()
    }

    /// Waits until no answer is read here that nobody else can ask for.
    pub(crate) async fn is_read_out(self: &Arc<Self>) {
        let is_read =
            |state: &State| state.fate == Fate::Shared && state.member.is_owner() && self.asks_once;
        self.until(|state| (!is_read(state)).then_some(())).await;
    }

    /// Whether it is this process that reads the upstream.
    pub(crate) fn is_of(&self, instance: InstanceId) -> bool {
        let state = self.lock();
        state.fate == Fate::Shared && state.member.owner() == Some(instance)
    }

    /// The process that reads the upstream, as it is known here.
    pub(crate) fn owner(&self) -> Option<String> {
        let state = self.lock();
        let owner = (state.fate == Fate::Shared).then(|| state.member.owner());
        owner.flatten().map(|owner| owner.to_string())
    }

    /// None for what has no effect: comments, of which each gateway has its own.
    fn draft(&self, draft: history::Draft) -> Option<Draft> {
        let history::Draft {
            event,
            upstream,
            sets_id,
            is_gap,
            ..
        } = draft;
        if !event.has_effect() {
            return None;
        }
        let has_data = event.has_data();
        let size = event.len() + upstream.as_ref().map_or(0, Bytes::len);
        if size + FRAMING > MAX_LARGE {
            return self.writing.gap();
        }
        let event = match sets_id {
            // Its own goes, and is written anew.
            true => EventId::new("x").map_or(event.clone(), |id| event.with_id(id)),
            false => event,
        };
        Some(Draft {
            has_data,
            sets_id,
            is_gap,
            upstream,
            event: event.into_block(),
        })
    }
}
