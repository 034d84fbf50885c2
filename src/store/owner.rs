//! What the owner of a stream has yet to append.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Fence, Frame, MAX_EVENTS, Mark, Meta, Reign, Replica, Rule, Rules, Was};

mod draft;
mod notes;
mod send;

pub use draft::Draft;
use notes::Notes;

/// How many frames may be sent and not answered.
const WINDOW: usize = 4;
/// How many events may wait before the upstream is not to be read any more.
const QUEUE: usize = 2 * MAX_EVENTS;
/// By so many numbers, at least, and times a random number.
const JUMP: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Owner {
    /// None while it is taken back from a store that has forgotten it.
    pub(super) fence: Option<Fence>,
    /// The counter of the fence that it had last.
    counter: u64,
    pub(super) reign: Reign,
    /// The next new frame is the first of this reign.
    is_first: bool,
    /// It leaves out numbers.
    leaves_out: bool,
    /// It is known what the log has.
    pub(super) resolved: bool,
    /// Under which reign that was known last.
    resolved_for: Option<Reign>,
    /// The position and sequence that were given last.
    end: (u64, u64),
    flights: VecDeque<Flight>,
    repairs: VecDeque<Frame>,
    /// What may have been published under numbers that the store does not know.
    again: VecDeque<(Vec<Draft>, Vec<Was>)>,
    drafts: VecDeque<Draft>,
    pub(super) notes: Notes,
    pub(super) is_open: bool,
    /// The last event has come, and the log is to end.
    pub(super) finishing: bool,
    pub(super) leaving: bool,
    last_sent: bool,
    /// The position behind which what the upstream sends belongs, once that is known.
    behind: Option<u64>,
    /// The epoch of the log that has this position.
    epoch: Option<u64>,
    /// A client has had the event with this id, which an upstream may begin with.
    pub(super) had: Option<Bytes>,
}

#[derive(Debug)]
struct Flight {
    frame: Frame,
    bytes: Bytes,
    /// None for what had been acknowledged once.
    drafts: Option<Vec<Draft>>,
    mark: Mark,
}

impl Owner {
    pub(super) fn new(fence: Fence, reign: Reign) -> Self {
        Owner {
            fence: Some(fence),
            counter: fence.counter,
            reign,
            is_first: false,
            leaves_out: false,
            resolved: false,
            resolved_for: None,
            end: (0, 0),
            flights: VecDeque::new(),
            repairs: VecDeque::new(),
            again: VecDeque::new(),
            drafts: VecDeque::new(),
            notes: Notes::default(),
            is_open: false,
            finishing: false,
            leaving: false,
            last_sent: false,
            behind: None,
            epoch: None,
            had: None,
        }
    }

    pub(super) fn hold(&mut self, fence: Fence) {
        self.fence = Some(fence);
        self.counter = fence.counter;
    }

    pub(super) fn is_full(&self) -> bool {
        !self.resolved || self.flights.len() >= WINDOW || self.drafts.len() >= QUEUE
    }

    pub(super) fn draft(&mut self, draft: Draft, replica: &Replica, is_sifted: bool) {
        let had = self.had.take().filter(|_| draft.sets_id);
        if had.is_some() && had == draft.upstream {
            return;
        }
        let is_same = |other: &Draft| {
            draft.sets_id && other.upstream == draft.upstream && other.event == draft.event
        };
        let known = draft.upstream.as_ref().filter(|_| draft.sets_id);
        let is_kept = known.is_some_and(|id| replica.has(id, &draft.event));
        if is_sifted || !is_kept && !self.waiting().any(is_same) {
            self.drafts.push_back(draft);
        }
    }

    pub(super) fn tell(&mut self, note: Bytes) {
        self.notes.push(self.drafts.len(), note);
    }

    /// The last id of the upstream, once all of it is appended.
    pub(super) fn last_upstream(&self, replica: &Replica) -> Option<Bytes> {
        let last = self.waiting().last().map(|draft| draft.upstream.clone());
        last.unwrap_or_else(|| replica.last_upstream())
    }

    /// Whether this id is one behind which the log begins: the event that had it was sent before, and is not there.
    pub(super) fn is_bare(&self, id: &Bytes, replica: &Replica) -> bool {
        let sets = |draft: &&Draft| draft.sets_id && draft.upstream.as_ref() == Some(id);
        let last = self.waiting().filter(sets).last();
        last.map_or_else(|| replica.is_bare(id), |draft| !draft.has_data)
    }

    /// What the upstream has sent and is not known to be there, in its order.
    fn waiting(&self) -> impl Iterator<Item = &Draft> {
        let flights = self.flights.iter();
        let flights = flights.filter_map(|flight| flight.drafts.as_ref());
        let again = self.again.iter().map(|(drafts, _)| drafts);
        flights.chain(again).flatten().chain(&self.drafts)
    }

    /// Whether the upstream has sent nothing that is yet to be appended.
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty() && self.again.is_empty() && self.drafts.is_empty()
    }

    /// The log ends at this position, and is this owner's.
    pub(super) fn resolve(
        &mut self,
        (position, note): (u64, &Bytes),
        is_noted: bool,
        is_fresh: bool,
        replica: &Replica,
        rules: &Rules,
    ) {
        let fence = self.fence.unwrap_or_default();
        self.notes.resolve(position, note);
        let mut again = VecDeque::new();
        for flight in self.flights.drain(..) {
            let is_there = replica.contains(flight.frame.last());
            if let (false, Some(drafts)) = (is_there, flight.drafts) {
                let mut was = flight.frame.was;
                was.push(Was {
                    first: flight.frame.first,
                    fence: flight.frame.fence,
                });
                again.push_back((drafts, was));
            }
        }
        again.append(&mut self.again);
        // It may be there under the number that it had before the last one.
        again.retain(|(drafts, was)| {
            let last = drafts.len() as u64 - 1;
            !was.iter()
                .any(|was| replica.has_under(was.first + last, was.fence))
        });
        let again_is_empty = again.is_empty();
        self.again = again;
        self.repairs.clear();
        self.end = replica.tip();
        if rules.hold(Rule::Repair) {
            self.repairs = replica.frames_after(position, fence).into();
        }
        // The other primary may have given the numbers that follow to other events.
        let is_elsewhere = self.resolved_for.replace(self.reign) != Some(self.reign);
        let is_other = is_elsewhere && !again_is_empty || !self.repairs.is_empty();
        self.is_first = !is_noted || is_other;
        self.leaves_out = self.is_first && !is_fresh && rules.hold(Rule::Jump);
        self.resolved = true;
        self.last_sent = false;
        self.behind = Some(self.end.0);
        self.epoch = replica.epoch();
    }

    /// The oldest frame that was sent is there.
    pub(super) fn landed(&mut self) -> Option<Frame> {
        let flight = self.flights.pop_front()?;
        if flight.drafts.is_some() {
            self.behind = Some(flight.frame.last());
        }
        Some(flight.frame)
    }

    /// Whether the store has lost the log, or has gone back to where another one owned it.
    pub(super) fn is_forgotten(&self, meta: Option<Meta>) -> bool {
        meta.is_none_or(|meta| meta.fence.counter < self.counter && !meta.ended)
    }

    /// Whether what comes next from the upstream would not follow the log: that is without something which it follows and
    /// which is not kept here either, or another owner's reign has come and was forgotten, but not what it has appended.
    pub(super) fn is_astray(&self, replica: &Replica) -> bool {
        let Some(behind) = self.behind else {
            return false;
        };
        // A position of another log says nothing.
        if replica.epoch() != self.epoch {
            return true;
        }
        let tip = replica.tip().0;
        let mut fences = self.flights.iter().map(|flight| flight.frame.fence);
        let is_mine = tip == behind || fences.any(|fence| replica.has_under(tip, fence));
        !is_mine || !replica.contains(behind)
    }

    /// Whether something was sent of which nobody knows whether it is there, or will be.
    pub(super) fn has_unanswered(&self) -> bool {
        !self.flights.is_empty() || !self.again.is_empty()
    }

    /// Forgets what the upstream has sent: it is asked again.
    pub(super) fn begin_again(&mut self) {
        self.flights.clear();
        self.again.clear();
        self.drafts.clear();
        self.notes.begin_again();
        self.behind = None;
        self.is_open = false;
        // The end that has come was behind what is asked for again.
        self.finishing = false;
    }
}
