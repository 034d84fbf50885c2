//! What one relay made of what it was given: each event is kept once, in order, and nothing else is.

use std::collections::{HashMap, HashSet};

use super::Sums;
use crate::oracle::{self, Dispatched};
use crate::plan::{Kind, Plan};
use crate::record::{Book, Entry, GAP, RelayRecord};

pub(super) fn judge(
    plan: &Plan,
    record: &RelayRecord,
    book: &Book,
    sums: &mut Sums,
) -> Result<(), String> {
    sums.relays += 1;
    sums.evicted += record.evicted;
    let Some(connections) = record.task.and_then(|task| book.read.get(&task)) else {
        return Ok(());
    };
    let mut by_data: HashMap<_, Vec<usize>> = HashMap::new();
    for (place, entry) in record.entries.iter().enumerate() {
        let key = (entry.event_type.as_str(), entry.data.as_deref());
        by_data.entry(key).or_default().push(place);
    }
    let judged = Judged {
        record,
        by_data,
        max_event_bytes: plan.gateways[record.gateway].max_event_bytes,
        begins_anew: plan.kind == Kind::Anew,
    };
    for (place, bytes) in connections.iter().enumerate() {
        sums.upstream_connections += 1;
        let is_last = place + 1 == connections.len();
        judged
            .connection(place + 1, is_last, bytes, sums)
            .map_err(|error| format!("connection {}: {error}", place + 1))?;
    }
    Ok(())
}

struct Judged<'a> {
    record: &'a RelayRecord,
    /// Where the events are, by type and data.
    by_data: HashMap<(&'a str, Option<&'a str>), Vec<usize>>,
    max_event_bytes: usize,
    /// Whether the upstream may count anew.
    begins_anew: bool,
}

impl Judged<'_> {
    fn connection(
        &self,
        number: usize,
        is_last: bool,
        bytes: &[u8],
        sums: &mut Sums,
    ) -> Result<(), String> {
        let record = self.record;
        let seen = oracle::read(bytes);
        // Other gaps are the relay's own.
        let told_by_upstream: HashSet<_> = seen
            .events()
            .into_iter()
            .filter(|event| event.event_type == GAP && event.sets_id)
            .map(|event| Some(event.last_event_id.as_bytes()))
            .collect();
        let is_told_by_upstream =
            |entry: &Entry| entry.sets_id && told_by_upstream.contains(&entry.upstream.as_deref());
        let mut own = record
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| {
                let is_sent = !entry.is_gap || is_told_by_upstream(entry);
                entry.connection == number && entry.data.is_some() && entry.is_whole && is_sent
            })
            .peekable();
        // The one that was left out last, since it is there already.
        let mut repeated = None;
        for event in seen.events() {
            if let Some((place, entry)) = own.next_if(|(_, entry)| is(entry, event)) {
                let kept = kept(record, place, entry, repeated);
                // What follows in a new count is none of those from before, and is told to be none.
                let kept = kept.filter(|kept| {
                    let between = &record.entries[*kept..place];
                    let is_null = |other: &Entry| other.data.as_deref() == Some("null");
                    !(self.begins_anew
                        && between.iter().any(|other| other.is_gap && is_null(other)))
                });
                if let Some(kept) = kept {
                    let kept = &record.entries[kept];
                    return Err(format!("{entry:?} is there already: {kept:?}"));
                }
                continue;
            }
            let from = repeated.map_or(0, |place| place + 1);
            let key = (event.event_type.as_str(), Some(event.data.as_str()));
            let like_it = self.by_data.get(&key).map_or(&[][..], Vec::as_slice);
            let before = like_it
                .iter()
                .rfind(|place| **place >= from && record.entries[**place].connection < number);
            match before {
                Some(place) => {
                    repeated = Some(*place);
                    sums.repeated += 1;
                }
                // What was read last may not have been looked at.
                None if is_last && own.peek().is_none() => break,
                None if event.data.len() + 100 > self.max_event_bytes => {}
                // That is told to one client that is not there any more.
                None if event.event_type == GAP && !event.sets_id => {}
                None => return Err(format!("{event:?} is lost")),
            }
        }
        match own.next() {
            Some((place, entry)) => Err(format!("{entry:?} at {place} was never sent")),
            None => Ok(()),
        }
    }
}

/// Where this entry was kept already from an earlier connection, so that it should have been known again.
fn kept(
    record: &RelayRecord,
    place: usize,
    entry: &Entry,
    repeated: Option<usize>,
) -> Option<usize> {
    if !entry.sets_id {
        return None;
    }
    let same = entry
        .upstream
        .as_deref()
        .map_or(&[][..], |id| record.set_at(id));
    let before = *same[..same.partition_point(|other| *other < place)].last()?;
    let other = &record.entries[before];
    let is_kept = before as u64 >= entry.evicted_before
        && other.connection < entry.connection
        && repeated.is_none_or(|repeated| before > repeated)
        && (&other.data, &other.event_type) == (&entry.data, &entry.event_type);
    is_kept.then_some(before)
}

fn is(entry: &Entry, event: &Dispatched) -> bool {
    entry.data.as_ref() == Some(&event.data) && entry.event_type == event.event_type
}
