//! Tells clients of what they missed.

use super::config::Config;
use crate::history::Gap;
use crate::wire::{Event, EventBuilder};

/// The event of a gap, or nothing if clients are not to be told.
///
/// It has an id, so that a client that comes back is not told again.
pub(super) fn event(config: &Config, gap: &Gap) -> Vec<u8> {
    let Some(event) = builder(config, gap.missed) else {
        return Vec::new();
    };
    let event = event.id(gap.id.clone()).line_ending(gap.ending).build();
    event.to_bytes().into()
}

/// The same without an id, for a log to give it one.
pub(super) fn without_id(config: &Config, missed: Option<u64>) -> Option<Event> {
    Some(builder(config, missed)?.build())
}

fn builder(config: &Config, missed: Option<u64>) -> Option<EventBuilder> {
    let name = config.gap_event.as_deref()?;
    let data = missed.map_or_else(|| "null".to_owned(), |missed| missed.to_string());
    // The name was checked when it was given.
    let event = EventBuilder::new().event_type(name).ok()?;
    Some(event.data(data))
}
