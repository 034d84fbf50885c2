//! What one client has seen.

use tower_sse::wire::SequentialId;

use super::Sums;
use crate::client::Life;
use crate::feed::{number, number_of_id};
use crate::oracle::Dispatched;
use crate::plan::{Asks, Kind, Plan};
use crate::record::{Book, Entry, GAP, RelayRecord};
use crate::world::State;

/// What a client knows by some event.
#[derive(Default)]
struct Reader {
    /// The number of the last event.
    number: Option<u64>,
    upstream: Option<u64>,
    /// The epoch and the sequence of the last id.
    place: Option<(String, u64)>,
    /// A gap event came behind the last event.
    told: bool,
    /// An id that was given before the upstream has set its first means nothing to it.
    is_filled: bool,
    /// No two requests of a relay are given the same ids.
    is_counted_anew: bool,
    /// The number in the last id of the upstream's, this event's own not counted.
    upstream_before: Option<u64>,
    /// The id of the upstream in the last event, while the client is given what an upstream request of its own brings.
    caught_up: Option<Vec<u8>>,
}

pub(super) fn judge(
    plan: &Plan,
    state: &State,
    client: u64,
    place: usize,
    life: &Life,
    sums: &mut Sums,
) -> Result<(), String> {
    let kind = plan.promise(life.asks);
    let mut reader = Reader {
        is_filled: plan.is_filled(life.asks),
        is_counted_anew: plan.is_counted_anew(life.asks),
        ..Reader::default()
    };
    for (connection_place, connection) in life.connections.iter().enumerate() {
        sums.connections += 1;
        sums.cut += u64::from(!connection.ended);
        let seen = connection.read();
        let mut is_first = true;
        reader.caught_up = None;
        let sent = plan.relays_id(life.asks, &connection.sent_id);
        for event in seen.events() {
            sums.events += 1;
            let at = |error| {
                let sent = &connection.sent_id;
                format!("connection {connection_place}, behind {sent:?}, {event:?}: {error}")
            };
            let id = plan.relays_id(life.asks, &event.last_event_id);
            let has_sent_id =
                event.last_event_id == connection.sent_id || id.is_some() && id == sent;
            if event.event_type == GAP && has_sent_id {
                // The stream is not there any more, and this is all that is said.
                reader.told = true;
                sums.unknown_gaps += 1;
                continue;
            }
            // Otherwise ids say nothing of a relay.
            if let (Some(sent), Some(last_event_id)) = (&sent, id) {
                let event = &Dispatched {
                    last_event_id,
                    ..event.clone()
                };
                reader
                    .by_id(&state.book, sent, event, is_first, sums)
                    .map_err(at)?;
            }
            reader.by_number(kind, event).map_err(at)?;
            is_first = false;
        }
    }
    let is_answered = life.asks == Asks::Answer
        && life.is_over
        && !reader.told
        && life.connections.last().is_some_and(|last| last.ended);
    if is_answered {
        let name = format!("client-{client}-{place}");
        let len = state.answers[&name].len();
        if reader.number != Some(len) {
            let number = reader.number;
            return Err(format!(
                "{number:?} of {len} and the end, and nothing was said"
            ));
        }
    }
    Ok(())
}

impl Reader {
    /// By the numbers of the relay: they go up one by one, and where they do not, a gap event has told how many were left out.
    fn by_id(
        &mut self,
        book: &Book,
        sent: &str,
        event: &Dispatched,
        is_first: bool,
        sums: &mut Sums,
    ) -> Result<(), String> {
        let id = SequentialId::parse(event.last_event_id.as_bytes()).ok_or("an id of ours")?;
        let epoch = String::from_utf8(id.epoch.as_bytes().to_vec()).unwrap();
        let Some(relay) = book.relays.get(&epoch) else {
            // By an upstream request of its own, until it is where a relay is.
            let upstream = id.upstream.ok_or("nobody gave that id")?;
            self.caught_up = Some(upstream.to_vec());
            self.place = None;
            self.upstream = number_at_upstream(upstream);
            sums.caught_up += 1;
            return Ok(());
        };
        let (before, same) = match &self.place {
            Some((known, before)) => (*before, *known == epoch),
            None => (0, false),
        };
        let next = relay.numbered(before + 1);
        let is_next = same && id.sequence == before + 1 && next.is_some_and(|next| is(next, event));
        let is_gap = event.event_type == GAP;
        if is_next {
            sums.unknown_gaps += u64::from(is_gap);
        } else if is_gap {
            let caught_up = self.caught_up.take();
            let kept = relay
                .numbered(id.sequence)
                .is_some_and(|entry| is(entry, event));
            if !kept {
                let before = match same {
                    true => Before::Known(before),
                    false => {
                        let sent = upstreams(sent.as_bytes());
                        joined(relay, caught_up.as_deref().or(sent))
                    }
                };
                told(relay, event, before, id.sequence, sums)?;
            }
        } else if same {
            return Err(format!("{} behind {before}", id.sequence));
        } else {
            let entry = relay.numbered(id.sequence).ok_or("it was never appended")?;
            if !is(entry, event) {
                return Err(format!("it was {entry:?}"));
            }
            if let Some(upstream) = self.caught_up.take() {
                behind(relay, &upstream, id.sequence)?;
            } else if !is_first {
                return Err("another relay in the middle of a stream".into());
            } else if !sent.is_empty() {
                let sent = upstreams(sent.as_bytes());
                let sent = sent.ok_or("it could not be known where to go on")?;
                behind(relay, sent, id.sequence)?;
                sums.moves += 1;
            }
        }
        self.upstream_before = self.upstream.or(self.upstream_before);
        self.place = Some((epoch, id.sequence));
        self.upstream = id.upstream.and_then(number_at_upstream);
        Ok(())
    }

    /// By the numbers that the upstream gave them.
    fn by_number(&mut self, kind: Kind, event: &Dispatched) -> Result<(), String> {
        if event.event_type == GAP {
            self.told = true;
            if (kind.resumes() || self.is_counted_anew) && event.data == "null" {
                // The relay does not know its id, or not yet, and may be behind it.
                self.number = None;
            }
            return Ok(());
        }
        let number = number(&event.data).ok_or("it is no whole event")?;
        if let Some(last) = self.number {
            let is_next = match kind {
                Kind::Resumes | Kind::Inclusive | Kind::NoIds => {
                    number == last + 1 || number > last && self.told
                }
                Kind::ResumesSome => {
                    let is_lost = self.is_filled && self.upstream_before.is_none();
                    number == last + 1 || number > last && (self.told || is_lost)
                }
                // That the upstream left something out is not to be seen.
                Kind::Live | Kind::OneId => number > last,
                // That is told by ids alone.
                Kind::Anew => true,
            };
            if !is_next {
                return Err(format!("{number} behind {last}, told {}", self.told));
            }
        }
        self.number = Some(number);
        self.told = false;
        Ok(())
    }
}

/// What a client has had of a relay when it is told of a gap.
enum Before {
    /// Up to this number.
    Known(u64),
    /// Up to one of these: the upstream may have set the id that the client came with more than once.
    OneOf(Vec<u64>),
    /// It began somewhere.
    Unknown,
}

/// For a client that has had nothing of this relay, and all up to this id of its upstream.
fn joined(relay: &RelayRecord, id: Option<&[u8]>) -> Before {
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Before::Unknown;
    };
    let mut numbers = Vec::new();
    if relay.behind.as_deref() == Some(id) {
        numbers.push(0);
    }
    numbers.extend(relay.set_at(id).iter().map(|place| relay.sequence(*place)));
    match numbers.is_empty() {
        true => Before::Unknown,
        false => Before::OneOf(numbers),
    }
}

/// A gap that one client was told of.
fn told(
    relay: &RelayRecord,
    event: &Dispatched,
    before: Before,
    sequence: u64,
    sums: &mut Sums,
) -> Result<(), String> {
    // A gap that all have counts for one, and nobody knows for how many it stands, nor what comes again behind it.
    let has_gap = |from, is_gap: fn(&Entry) -> bool| {
        let mut missed = (from + 1..=sequence).filter_map(|number| relay.numbered(number));
        missed.any(is_gap)
    };
    if event.data == "null" {
        sums.unknown_gaps += 1;
        return match before {
            Before::Known(before) if !has_gap(before, |entry| entry.is_gap) => {
                Err(format!("it is known that {before} was seen"))
            }
            _ => Ok(()),
        };
    }
    let missed: u64 = event.data.parse().map_err(|_| "a number")?;
    let from = sequence
        .checked_sub(missed)
        .filter(|_| missed > 0)
        .ok_or_else(|| format!("there were {sequence}"))?;
    match before {
        Before::Known(before) if before != from => {
            return Err(format!("from {before} to {sequence}"));
        }
        Before::OneOf(numbers) if !numbers.contains(&from) => {
            return Err(format!("from one of {numbers:?} to {sequence}"));
        }
        _ => {}
    }
    if has_gap(from, |entry| {
        entry.is_gap && entry.data.as_deref() == Some("null")
    }) {
        return Err("one of them was a gap of null".into());
    }
    let first = relay.place(from + 1).ok_or("there was none")?;
    if first as u64 >= relay.evicted {
        return Err("the first of them was kept".into());
    }
    sums.gaps += 1;
    sums.missed += missed;
    Ok(())
}

/// What of an id that a relay is asked with is its upstream's.
fn upstreams(id: &[u8]) -> Option<&[u8]> {
    SequentialId::parse(id).map_or(Some(id), |ours| ours.upstream)
}

/// Whether the event with this number is the first behind this id of the upstream.
fn behind(relay: &RelayRecord, id: &[u8], sequence: u64) -> Result<(), String> {
    let place = relay.place(sequence).ok_or("it was never appended")?;
    for entry in relay.entries[..place].iter().rev() {
        if entry.sets_id && entry.upstream.as_deref() == Some(id) {
            return Ok(());
        }
        if entry.data.is_some() {
            return Err(format!("{entry:?} was left out"));
        }
    }
    match relay.behind.as_deref() == Some(id) {
        true => Ok(()),
        false => Err("the relay did not know where to go on".into()),
    }
}

fn is(entry: &Entry, event: &Dispatched) -> bool {
    entry.data.as_ref() == Some(&event.data) && entry.event_type == event.event_type
}

/// The number in the id that the upstream itself has set, also behind those of gateways.
fn number_at_upstream(id: &[u8]) -> Option<u64> {
    match SequentialId::parse(id) {
        Some(ours) => number_at_upstream(ours.upstream?),
        None => number_of_id(id),
    }
}
