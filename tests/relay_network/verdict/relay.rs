//! What one relay made of what it was given: each event is kept once, in order, and nothing else is.

use super::Sums;
use crate::oracle::{self, Dispatched};
use crate::plan::Plan;
use crate::record::{Book, Entry, RelayRecord};

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
    for (place, bytes) in connections.iter().enumerate() {
        sums.upstream_connections += 1;
        let is_last = place + 1 == connections.len();
        connection(plan, record, place + 1, is_last, bytes, sums)
            .map_err(|error| format!("connection {}: {error}", place + 1))?;
    }
    Ok(())
}

fn connection(
    plan: &Plan,
    record: &RelayRecord,
    number: usize,
    is_last: bool,
    bytes: &[u8],
    sums: &mut Sums,
) -> Result<(), String> {
    let seen = oracle::read(bytes);
    let mut own = record
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| {
            entry.connection == number && entry.data.is_some() && entry.is_whole && !entry.is_gap
        })
        .peekable();
    // The one that was left out last, since it is there already.
    let mut repeated = None;
    for event in seen.events() {
        if let Some((place, entry)) = own.next_if(|(_, entry)| is(entry, event)) {
            if let Some(kept) = kept(record, place, entry, repeated) {
                let kept = &record.entries[kept];
                return Err(format!("{entry:?} is there already: {kept:?}"));
            }
            continue;
        }
        let from = repeated.map_or(0, |place| place + 1);
        let before = record.entries[from..]
            .iter()
            .rposition(|entry| entry.connection < number && is(entry, event));
        match before {
            Some(place) => {
                repeated = Some(from + place);
                sums.repeated += 1;
            }
            // What was read last may not have been looked at.
            None if is_last && own.peek().is_none() => break,
            None if event.data.len() + 100 > plan.max_event_bytes => {}
            None => return Err(format!("{event:?} is lost")),
        }
    }
    match own.next() {
        Some((place, entry)) => Err(format!("{entry:?} at {place} was never sent")),
        None => Ok(()),
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
    let with_same_id = |other: &Entry| other.sets_id && other.upstream == entry.upstream;
    let before = record.entries[..place].iter().rposition(with_same_id)?;
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
