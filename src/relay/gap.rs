//! Tells clients of what they missed.

use super::config::{Config, GapEvent, STREAM_GAP};
use super::metrics::Replay;
use super::shared::Relay;
use crate::history::{Found, Gap};
use crate::wire::{Event, EventBuilder, LineEnding, SequentialId};

/// Where the number stands in data that users give.
const MISSED: &str = "{missed}";

/// The event of a gap, or nothing if clients are not to be told.
///
/// It has an id, so that a client that comes back is not told again.
pub(super) fn event(relay: &Relay, gap: &Gap) -> Vec<u8> {
    let Some(event) = builder(&relay.config, gap.missed, !relay.is_asked_again) else {
        return Vec::new();
    };
    let event = event.id(gap.id.clone()).line_ending(gap.ending).build();
    event.to_bytes().into()
}

/// The gap of a client about which nothing is known, in front of all events of a relay.
pub(super) fn from_the_start(relay: &Relay) -> Gap {
    let id = SequentialId {
        epoch: relay.epoch,
        sequence: 0,
        upstream: None,
    };
    Gap {
        missed: None,
        id: id.to_event_id(),
        ending: LineEnding::default(),
    }
}

/// Counts what there was behind the id of a client, and gives the event that tells of what was not.
pub(super) fn found(relay: &Relay, found: &Found) -> Vec<u8> {
    let (replay, gap) = match found {
        Found::NotAsked => return Vec::new(),
        Found::All => (Replay::Hit, None),
        Found::Some(gap) => (Replay::Gap, Some(gap)),
        Found::Unknown(gap) => (Replay::Unknown, Some(gap)),
    };
    relay.config.metrics.replay(replay);
    gap.map_or_else(Vec::new, |gap| event(relay, gap))
}

/// Whether this event, as it came from upstream, tells of a gap itself: a gateway behind this one, with the same settings,
/// has made it. The data tells as well, since the name may be `message`.
pub(super) fn is_told(config: &Config, event: &Event) -> bool {
    name(config).is_some_and(|name| event.event_type() == name.as_bytes())
        && event
            .data()
            .is_some_and(|data| is_gap_data(config.gap_data.as_deref(), &data))
}

fn is_gap_data(template: Option<&str>, data: &[u8]) -> bool {
    let template = template.unwrap_or(MISSED);
    let before = template.split(MISSED).next().unwrap_or_default();
    let Some(rest) = data.strip_prefix(before.as_bytes()) else {
        return false;
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let missed = match digits {
        0 => "null".into(),
        digits => String::from_utf8_lossy(&rest[..digits]),
    };
    template.replace(MISSED, &missed).as_bytes() == data
}

fn name(config: &Config) -> Option<&str> {
    match &config.gap_event {
        GapEvent::Off => None,
        GapEvent::Default => Some(STREAM_GAP),
        GapEvent::Named(name) => Some(name),
    }
}

/// The same without an id.
pub(super) fn without_id(config: &Config, missed: Option<u64>, is_finite: bool) -> Option<Event> {
    Some(builder(config, missed, is_finite)?.build())
}

/// Whether an answer is broken off where some of it is missing, rather than to tell of it by an event which its client may
/// take for a part of it.
pub(super) fn breaks_off(config: &Config, is_finite: bool) -> bool {
    is_finite && config.breaks && config.gap_event == GapEvent::Default
}

/// What such an event is made of, for a log to give it an id.
pub(super) fn builder(
    config: &Config,
    missed: Option<u64>,
    is_finite: bool,
) -> Option<EventBuilder> {
    if breaks_off(config, is_finite) {
        return None;
    }
    let name = name(config)?;
    let missed = missed.map_or_else(|| "null".to_owned(), |missed| missed.to_string());
    let data = match &config.gap_data {
        Some(data) => data.replace(MISSED, &missed),
        None => missed,
    };
    // The name was checked when it was given.
    let event = EventBuilder::new().event_type(name).ok()?;
    Some(event.data(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_of_a_gateway_behind_is_known_by_its_data() {
        for (template, data, expected) in [
            (None, "null", true),
            (None, "17", true),
            (None, "17 ", false),
            (None, "", false),
            (Some("gone"), "gone", true),
            (Some("gone"), "gone 7", false),
            (Some("{missed}, {missed}"), "7, 7", true),
            (Some("{missed}, {missed}"), "7, 8", false),
            (Some(r#"{"missed":{missed}}"#), r#"{"missed":null}"#, true),
            (Some(r#"{"missed":{missed}}"#), r#"{"missed":7}"#, true),
            (Some(r#"{"missed":{missed}}"#), r#"{"delta":"7"}"#, false),
        ] {
            let told = is_gap_data(template, data.as_bytes());
            assert_eq!(told, expected, "{template:?} {data:?}");
        }
    }
}
