//! What the owner of a stream has yet to append.

use std::collections::VecDeque;

use bytes::Bytes;

use super::member::Sent;
use super::{
    Command, Context, Fence, Frame, MAX_EVENTS, MAX_FRAME, MAX_WAS, Mark, Reign, Replica, Rules,
    Was, Writing,
};

/// How many frames may be sent and not answered.
const WINDOW: usize = 4;
/// How many events may wait before the upstream is not to be read any more.
const QUEUE: usize = 2 * MAX_EVENTS;
/// By so many numbers, at least, and times a random number.
const JUMP: u64 = 1 << 20;

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Whether a client dispatches it.
    pub has_data: bool,
    /// Whether it sets the upstream's id.
    pub sets_id: bool,
    /// Whether it says that events may be missing in front of it.
    pub is_gap: bool,
    /// The last event ID of the upstream.
    pub upstream: Option<Bytes>,
    /// All of it, but for an id of ours.
    pub event: Bytes,
}

#[derive(Debug)]
pub(super) struct Owner {
    /// None while the log is made anew.
    pub(super) fence: Option<Fence>,
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
    pub(super) is_open: bool,
    /// The last event has come, and the log is to end.
    pub(super) finishing: bool,
    pub(super) leaving: bool,
    last_sent: bool,
    /// The last position that was acknowledged.
    acknowledged: Option<u64>,
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
            is_open: false,
            finishing: false,
            leaving: false,
            last_sent: false,
            acknowledged: None,
            had: None,
        }
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
        let flights = self
            .flights
            .iter()
            .filter_map(|flight| flight.drafts.as_ref());
        let again = self.again.iter().map(|(drafts, _)| drafts);
        let mut waiting = flights.chain(again).flatten().chain(&self.drafts);
        let known = draft.upstream.as_ref().filter(|_| draft.sets_id);
        let is_kept = known.is_some_and(|id| replica.has(id, &draft.event));
        if is_sifted || !is_kept && !waiting.any(is_same) {
            self.drafts.push_back(draft);
        }
    }

    /// The last id of the upstream, once all of it is appended.
    pub(super) fn last_upstream(&self, replica: &Replica) -> Option<Bytes> {
        let flights = self
            .flights
            .iter()
            .filter_map(|flight| flight.drafts.as_ref());
        let again = self.again.iter().map(|(drafts, _)| drafts);
        let waiting = flights.chain(again).flatten().chain(&self.drafts);
        let last = waiting.last().map(|draft| draft.upstream.clone());
        last.unwrap_or_else(|| replica.last_upstream())
    }

    /// Whether the upstream has sent nothing that is yet to be appended.
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty() && self.again.is_empty() && self.drafts.is_empty()
    }

    /// The log ends at this position, and is this owner's.
    pub(super) fn resolve(
        &mut self,
        position: u64,
        is_noted: bool,
        is_fresh: bool,
        replica: &Replica,
        rules: &Rules,
    ) {
        let fence = self.fence.unwrap_or_default();
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
        if rules.repair {
            self.repairs = replica.frames_after(position, fence).into();
        }
        // The other primary may have given the numbers that follow to other events.
        let is_elsewhere = self.resolved_for.replace(self.reign) != Some(self.reign);
        let is_other = is_elsewhere && !again_is_empty || !self.repairs.is_empty();
        self.is_first = !is_noted || is_other;
        self.leaves_out = self.is_first && !is_fresh && rules.jump;
        self.resolved = true;
        self.last_sent = false;
    }

    /// Sends what may be sent.
    pub(super) fn pump(
        &mut self,
        cx: &mut Context<'_>,
        sent: &mut VecDeque<Sent>,
        replica: &Replica,
        (rules, writing): (&Rules, &Writing),
    ) {
        let Some(fence) = self.fence.filter(|_| self.resolved) else {
            return;
        };
        while self.flights.len() < WINDOW {
            let Some(flight) = self.next(fence, cx, replica, (rules, writing)) else {
                break;
            };
            send(&flight, replica, cx, sent);
            self.flights.push_back(flight);
        }
        let is_empty = self.flights.is_empty() && !self.last_sent;
        if is_empty && self.finishing {
            let base = self.end.0;
            cx.send(Command::Finish { fence, base });
            sent.push_back(Sent::Finish);
            self.last_sent = true;
        } else if is_empty && self.leaving {
            cx.send(Command::Leave { fence });
            sent.push_back(Sent::Leave);
            self.last_sent = true;
        }
    }

    /// Sends again what was not answered, over another connection to the same primary.
    pub(super) fn resend(
        &mut self,
        cx: &mut Context<'_>,
        sent: &mut VecDeque<Sent>,
        replica: &Replica,
    ) {
        self.last_sent = false;
        for flight in &self.flights {
            send(flight, replica, cx, sent);
        }
    }

    /// The oldest frame that was sent is there.
    pub(super) fn landed(&mut self) -> Option<Frame> {
        let frame = self.flights.pop_front()?.frame;
        self.acknowledged = Some(frame.last());
        Some(frame)
    }

    /// Whether the log is without something that was acknowledged, and that is not kept here either. What comes next from
    /// the upstream would not follow it.
    pub(super) fn has_lost(&self, replica: &Replica) -> bool {
        self.acknowledged
            .is_some_and(|last| !replica.contains(last))
    }

    /// Forgets what the upstream has sent: it is asked again.
    pub(super) fn begin_again(&mut self) {
        self.flights.clear();
        self.again.clear();
        self.drafts.clear();
        self.acknowledged = None;
        self.is_open = false;
    }

    fn next(
        &mut self,
        fence: Fence,
        cx: &mut Context<'_>,
        replica: &Replica,
        (rules, writing): (&Rules, &Writing),
    ) -> Option<Flight> {
        if let Some(frame) = self.repairs.pop_front() {
            return Some(Flight {
                bytes: frame.to_bytes(),
                frame,
                drafts: None,
                mark: Mark::Repair,
            });
        }
        let (drafts, was) = self.again.pop_front().or_else(|| self.batch())?;
        let base = self.end.0;
        if std::mem::take(&mut self.leaves_out) {
            let times = if rules.jump_random {
                (cx.chance)() % JUMP + 1
            } else {
                1
            };
            self.end.0 += times * JUMP;
            self.end.1 += times * JUMP;
        }
        let (first, sequence) = (self.end.0 + 1, self.end.1);
        let epoch = replica.epoch().unwrap_or(0);
        let mut events = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            self.end.0 += 1;
            self.end.1 += u64::from(draft.has_data);
            events.push(writing.write(draft, epoch, self.end.1));
        }
        let was = if rules.was { named(was) } else { Vec::new() };
        let frame = Frame {
            epoch,
            fence,
            base,
            first,
            sequence,
            was,
            events,
        };
        Some(Flight {
            bytes: frame.to_bytes(),
            frame,
            drafts: Some(drafts),
            mark: match std::mem::take(&mut self.is_first) {
                true => Mark::First,
                false => Mark::None,
            },
        })
    }

    fn batch(&mut self) -> Option<(Vec<Draft>, Vec<Was>)> {
        let mut size = 0;
        let fits = |draft: &&Draft| {
            size += draft.event.len() + draft.upstream.as_ref().map_or(0, Bytes::len) + 128;
            size < MAX_FRAME
        };
        let count = self.drafts.iter().take(MAX_EVENTS).take_while(fits).count();
        let count = count.max(1).min(self.drafts.len());
        (count > 0).then(|| (self.drafts.drain(..count).collect(), Vec::new()))
    }
}

/// As many as a frame may name, the latest.
fn named(mut was: Vec<Was>) -> Vec<Was> {
    was.split_off(was.len().saturating_sub(MAX_WAS))
}

fn send(flight: &Flight, replica: &Replica, cx: &mut Context<'_>, sent: &mut VecDeque<Sent>) {
    cx.send(Command::Append {
        fence: flight.frame.fence,
        base: flight.frame.base,
        last: flight.frame.last(),
        sequence: flight.frame.last_sequence(),
        keep: replica.keep(),
        mark: flight.mark,
        frame: flight.bytes.clone(),
    });
    sent.push_back(Sent::Append);
}
