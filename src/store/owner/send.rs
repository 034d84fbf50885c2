//! What is sent: repairs first, then what may be there under another number, then what is new.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{Draft, Flight, JUMP, Owner, WINDOW};
use crate::store::member::Sent;
use crate::store::{
    Command, Context, Fence, Frame, MAX_EVENTS, MAX_FRAME, MAX_WAS, Mark, Replica, Rule, Rules,
    Was, Writing,
};

impl Owner {
    /// Sends what may be sent.
    pub(in crate::store) fn pump(
        &mut self,
        cx: &mut Context<'_>,
        sent: &mut VecDeque<Sent>,
        replica: &Replica,
        (rules, writing): (&Rules, &Writing),
    ) {
        let Some(fence) = self.fence.filter(|_| self.resolved) else {
            return;
        };
        while self.flights.len() < WINDOW && self.notes.sent().is_none() {
            let is_new = self.repairs.is_empty() && self.again.is_empty();
            if self.notes.is_next(is_new) {
                // It is told when all in front of it is there.
                if self.flights.is_empty() {
                    let note = self.notes.send(self.end.0);
                    tell(fence, note, cx, sent);
                }
                break;
            }
            let Some(flight) = self.next(fence, cx, replica, (rules, writing)) else {
                break;
            };
            send(&flight, replica, cx, sent);
            self.flights.push_back(flight);
        }
        let is_empty = self.flights.is_empty() && self.notes.is_empty() && !self.last_sent;
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
    pub(in crate::store) fn resend(
        &mut self,
        cx: &mut Context<'_>,
        sent: &mut VecDeque<Sent>,
        replica: &Replica,
    ) {
        self.last_sent = false;
        for flight in &self.flights {
            send(flight, replica, cx, sent);
        }
        if let Some(fence) = self.fence {
            tell(fence, self.notes.sent(), cx, sent);
        }
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
            let times = if rules.hold(Rule::JumpRandom) {
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
        let was = if rules.hold(Rule::Was) {
            named(was)
        } else {
            Vec::new()
        };
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
        let count = count.max(1).min(self.drafts.len()).min(self.notes.room());
        self.notes.advance(count);
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

fn tell(
    fence: Fence,
    note: Option<&(u64, Bytes)>,
    cx: &mut Context<'_>,
    sent: &mut VecDeque<Sent>,
) {
    if let Some((base, note)) = note {
        let (base, note) = (*base, note.clone());
        cx.send(Command::Tell { fence, base, note });
        sent.push_back(Sent::Tell);
    }
}
