//! Ends a stream whose upstream fell silent.
//!
//! There are two clocks. [`IdleTimeout::after`] hears any byte from upstream. An upstream whose generator
//! died may go on to send heartbeats, so [`events_only`](IdleTimeout::events_only) hears events with data
//! alone, and [`ignoring`](IdleTimeout::ignoring) not all of these. Neither hears what we write ourselves,
//! so a [`Heartbeat`](super::Heartbeat) does not keep a dead stream open.
//!
//! This is about the *upstream*. A client that does not read is not polled for, and must be dealt with by
//! the server that holds its connection.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{EventLayer, stage::IdleTimeout};
//!
//! let timeout = IdleTimeout::after(Duration::from_secs(60)).events_only().ignoring("ping");
//! let layer = EventLayer::new(timeout);
//! # let _ = layer.clone();
//! ```

use std::sync::Arc;
use std::time::Duration;

use http::response;
use tokio::time::Instant;

use super::{Farewell, Outbox, Reason, Stage, Times};
use crate::wire::Event;

/// Ends a stream whose upstream fell silent. See the [module docs](self).
#[derive(Clone, Debug)]
pub struct IdleTimeout {
    timeout: Duration,
    events_only: bool,
    settings: Arc<Settings>,
    last_event: Option<Instant>,
    /// How many events that were too large to be seen are accounted for in `last_event`.
    oversize_events: u64,
}

/// Shared, since each stream has its copy of the stage.
#[derive(Clone, Debug, Default)]
struct Settings {
    ignored: Vec<Box<[u8]>>,
    farewell: Farewell,
}

impl IdleTimeout {
    /// Ends a stream from whose upstream nothing came for this time, not even a comment.
    pub fn after(timeout: Duration) -> Self {
        IdleTimeout {
            timeout,
            events_only: false,
            settings: Arc::default(),
            last_event: None,
            oversize_events: 0,
        }
    }

    /// Counts only events with data, so that comments of the upstream do not hide that it has nothing to say.
    /// An event too large to be seen counts as one.
    #[must_use]
    pub fn events_only(mut self) -> Self {
        self.events_only = true;
        self
    }

    /// Counts only events with data, and none of this type. May be called for several types.
    #[must_use]
    pub fn ignoring(mut self, event_type: impl AsRef<[u8]>) -> Self {
        self.set().ignored.push(event_type.as_ref().into());
        self.events_only()
    }

    /// Sets the last words to the client.
    #[must_use]
    pub fn with_farewell(mut self, farewell: Farewell) -> Self {
        self.set().farewell = farewell;
        self
    }

    fn set(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    fn last(&self, times: &Times) -> Instant {
        if self.events_only {
            self.last_event.unwrap_or(times.opened)
        } else {
            times.received
        }
    }
}

impl Stage for IdleTimeout {
    fn on_response(&mut self, _: &mut response::Parts, _: &Times, _: &mut Outbox) {
        self.last_event = None;
    }

    #[inline]
    fn on_event(&mut self, event: Event, times: &Times) -> Option<Event> {
        let ignored = &self.settings.ignored;
        let counts = event.has_data()
            && (ignored.is_empty() || !ignored.iter().any(|name| **name == *event.event_type()));
        if counts {
            self.last_event = Some(times.now);
        }
        Some(event)
    }

    /// Only where it need not know of which type they are.
    #[inline]
    fn passes(&self) -> bool {
        self.settings.ignored.is_empty()
    }

    #[inline]
    fn on_passed(&mut self, _: u64, times: &Times) {
        self.last_event = Some(times.now);
    }

    fn deadline(&self, times: &Times) -> Option<Instant> {
        self.last(times).checked_add(self.timeout)
    }

    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        if self.oversize_events != times.counts.oversize_events {
            // They were not seen, but not later than this.
            self.oversize_events = times.counts.oversize_events;
            self.last_event = Some(times.received);
        }
        if self.deadline(times).is_some_and(|due| due <= times.now) {
            let reason = if times.received > self.last(times) {
                Reason::STALLED
            } else {
                Reason::IDLE
            };
            self.settings.farewell.write(reason, out);
        }
    }
}
