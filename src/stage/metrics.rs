//! Counts and times streams, on the [`metrics`] facade.
//!
//! All names begin with `sse_` and have one label, `route`, with the value given to [`Metrics::new`];
//! `sse_streams_closed_total` has `reason` too, a word of [`End::as_str`]. A path, an id or an address is
//! never a label.
//!
//! | name | kind | what |
//! |---|---|---|
//! | `sse_streams_active` | gauge | streams that are open |
//! | `sse_streams_opened_total` | counter | streams that were opened |
//! | `sse_streams_closed_total` | counter | streams that ended, by reason |
//! | `sse_stream_duration_seconds` | histogram | from the head of the response to the end |
//! | `sse_head_seconds` | histogram | from the request to the head of the response |
//! | `sse_first_event_seconds` | histogram | from the head to the first event with data |
//! | `sse_event_gap_seconds` | histogram | silences of a second or more between two events with data, when they end |
//! | `sse_events_total` | counter | events with data from upstream |
//! | `sse_event_bytes_total` | counter | bytes of all events from upstream |
//! | `sse_heartbeats_total` | counter | heartbeats written |
//! | `sse_ids_added_total` | counter | ids given to events |
//! | `sse_oversize_events_total` | counter | events too large for the stages |
//! | `sse_encoded_streams_total` | counter | event streams passed untouched because of their content coding |
//!
//! Handles are made once, when the stage is, and those of reasons when one first comes: the recorder must be installed before. Gaps below a second are
//! left out since a histogram keeps every sample until it is rendered, and a stream of tokens has many.
//!
//! # Example
//!
//! ```
//! use tower_sse::{EventLayer, stage::Metrics};
//!
//! let layer = EventLayer::new(Metrics::new("/notices"));
//! # let _ = layer.clone();
//! ```

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::response;
use metrics::{
    Counter, Gauge, Histogram, SharedString, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};
use tokio::time::Instant;

use super::{Bypass, Counts, End, Outbox, Stage, Times};
use crate::wire::Event;

/// Counts and times streams, on the `metrics` facade. See the [module docs](self).
#[derive(Clone)]
pub struct Metrics {
    handles: Arc<Handles>,
    /// What was counted already.
    counted: Counts,
    last_event: Option<Instant>,
}

struct Handles {
    route: SharedString,
    active: Gauge,
    opened: Counter,
    duration: Histogram,
    head: Histogram,
    first_event: Histogram,
    event_gap: Histogram,
    events: Counter,
    event_bytes: Counter,
    heartbeats: Counter,
    ids_added: Counter,
    oversize_events: Counter,
    encoded: Counter,
    /// By reason; each from the first stream on that ends with it.
    closed: Mutex<Vec<(&'static str, Counter)>>,
}

impl Handles {
    fn count_closed(&self, reason: &'static str) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = closed.iter().find(|(known, _)| *known == reason) {
            counter.increment(1);
            return;
        }
        let labels = [("route", self.route.clone()), ("reason", reason.into())];
        let counter = counter!("sse_streams_closed_total", &labels);
        counter.increment(1);
        closed.push((reason, counter));
    }
}

const GAP_FROM: Duration = Duration::from_secs(1);

impl Metrics {
    /// Counts under this value of the label `route`: a name that the configuration knows, not a path of a
    /// request.
    pub fn new(route: impl Into<Cow<'static, str>>) -> Self {
        describe();
        let route = SharedString::from(route.into());
        let label = || [("route", route.clone())];
        Metrics {
            handles: Arc::new(Handles {
                active: gauge!("sse_streams_active", &label()),
                opened: counter!("sse_streams_opened_total", &label()),
                duration: histogram!("sse_stream_duration_seconds", &label()),
                head: histogram!("sse_head_seconds", &label()),
                first_event: histogram!("sse_first_event_seconds", &label()),
                event_gap: histogram!("sse_event_gap_seconds", &label()),
                events: counter!("sse_events_total", &label()),
                event_bytes: counter!("sse_event_bytes_total", &label()),
                heartbeats: counter!("sse_heartbeats_total", &label()),
                ids_added: counter!("sse_ids_added_total", &label()),
                oversize_events: counter!("sse_oversize_events_total", &label()),
                encoded: counter!("sse_encoded_streams_total", &label()),
                closed: Mutex::default(),
                route,
            }),
            counted: Counts::default(),
            last_event: None,
        }
    }

    /// Records how long the stream waited for an event with data.
    #[inline(always)]
    fn record_gap(&mut self, times: &Times) {
        match self.last_event.replace(times.now) {
            None => self.handles.first_event.record(times.now - times.opened),
            // To add is less work than to subtract, and is done for each event.
            Some(last)
                if last
                    .checked_add(GAP_FROM)
                    .is_some_and(|gap| gap <= times.now) =>
            {
                self.handles.event_gap.record(times.now - last);
            }
            Some(_) => {}
        }
    }

    /// Counts what has happened since the last time.
    #[inline(always)]
    fn count(&mut self, times: &Times) {
        let (now, before) = (&times.counts, &self.counted);
        add(&self.handles.events, now.events, before.events);
        add(
            &self.handles.event_bytes,
            now.event_bytes,
            before.event_bytes,
        );
        let others =
            |counts: &Counts| (counts.heartbeats, counts.ids_added, counts.oversize_events);
        if others(now) != others(before) {
            self.count_others(now);
        }
        self.counted = *now;
    }

    /// Apart from what is counted each time.
    #[inline(never)]
    fn count_others(&self, now: &Counts) {
        let (handles, before) = (&*self.handles, &self.counted);
        add(&handles.heartbeats, now.heartbeats, before.heartbeats);
        add(&handles.ids_added, now.ids_added, before.ids_added);
        add(
            &handles.oversize_events,
            now.oversize_events,
            before.oversize_events,
        );
    }
}

impl Stage for Metrics {
    fn on_response(&mut self, _: &mut response::Parts, times: &Times, _: &mut Outbox) {
        self.counted = Counts::default();
        self.last_event = None;
        self.handles.opened.increment(1);
        self.handles.active.increment(1.0);
        self.handles.head.record(times.opened - times.requested);
    }

    fn on_bypass(&mut self, _: &response::Parts, why: Bypass, _: &Times) {
        if why == Bypass::Encoded {
            self.handles.encoded.increment(1);
        }
    }

    #[inline]
    fn on_event(&mut self, event: Event, times: &Times) -> Option<Event> {
        if event.has_data() {
            self.record_gap(times);
        }
        Some(event)
    }

    #[inline]
    fn passes(&self) -> bool {
        true
    }

    /// They came in one moment, so there are no gaps between them.
    #[inline(always)]
    fn on_passed(&mut self, _: u64, times: &Times) {
        self.record_gap(times);
    }

    #[inline(always)]
    fn on_sent(&mut self, times: &Times) {
        self.count(times);
    }

    fn on_end(&mut self, end: End, times: &Times) {
        self.count(times);
        self.handles.active.decrement(1.0);
        self.handles.duration.record(times.now - times.opened);
        self.handles.count_closed(end.as_str());
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics")
            .field("route", &self.handles.route)
            .finish_non_exhaustive()
    }
}

#[inline]
fn add(counter: &Counter, now: u64, before: u64) {
    if now != before {
        counter.increment(now - before);
    }
}

fn describe() {
    for (name, text) in [
        (
            "sse_streams_opened_total",
            "Event streams that were opened.",
        ),
        (
            "sse_streams_closed_total",
            "Event streams that ended, by reason.",
        ),
        (
            "sse_events_total",
            "Events with data that came from upstream.",
        ),
        (
            "sse_event_bytes_total",
            "Bytes of all events that came from upstream.",
        ),
        ("sse_heartbeats_total", "Heartbeats that were written."),
        ("sse_ids_added_total", "Ids that were given to events."),
        (
            "sse_oversize_events_total",
            "Events that were too large to be seen by the stages.",
        ),
        (
            "sse_encoded_streams_total",
            "Event streams passed untouched because of their content coding.",
        ),
    ] {
        describe_counter!(name, text);
    }
    describe_gauge!("sse_streams_active", "Event streams that are open.");
    for (name, text) in [
        (
            "sse_stream_duration_seconds",
            "Time from the head of the response to the end of the event stream.",
        ),
        (
            "sse_head_seconds",
            "Time from the request to the head of the event stream's response.",
        ),
        (
            "sse_first_event_seconds",
            "Time from the head of the response to the first event with data.",
        ),
        (
            "sse_event_gap_seconds",
            "Silences of a second or more between two events with data.",
        ),
    ] {
        describe_histogram!(name, Unit::Seconds, text);
    }
}
