//! Counts replays, slow clients and connections, on the `metrics` facade if the feature is on.

use super::SlowClient;
#[cfg(not(feature = "metrics"))]
use crate::history::Stats;

/// Why a request passes by unrelayed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    /// There are as many relays as there may be.
    Relays,
    /// The budget is used up.
    Budget,
}

impl Refused {
    pub(super) const ALL: [&'static str; 2] = ["relays", "budget"];
}

/// What became of a last event ID.
#[derive(Clone, Copy, Debug)]
pub(super) enum Replay {
    Hit,
    Gap,
    Unknown,
    Rejected,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    #[cfg(feature = "metrics")]
    handles: Option<std::sync::Arc<on::Handles>>,
}

impl Metrics {
    pub(super) fn is_on(&self) -> bool {
        #[cfg(feature = "metrics")]
        return self.handles.is_some();
        #[cfg(not(feature = "metrics"))]
        false
    }
}

#[cfg(not(feature = "metrics"))]
impl Metrics {
    pub(super) fn replayed(&self, _: u64) {}
    pub(super) fn replay(&self, _: Replay) {}
    pub(super) fn refused(&self, _: Refused) {}
    pub(super) fn slow(&self, _: SlowClient) {}
    pub(super) fn relays(&self, _: f64) {}
    pub(super) fn clients(&self, _: f64) {}
    pub(super) fn connected(&self, _: f64) {}
    pub(super) fn history(&self, _: &Stats, _: &Stats) {}
}

#[cfg(feature = "metrics")]
mod on {
    use std::fmt;
    use std::sync::Arc;

    use metrics::{Counter, Gauge, SharedString, counter, describe_counter, describe_gauge, gauge};

    use super::{Metrics, Refused, Replay, SlowClient};
    use crate::history::Stats;

    pub(super) struct Handles {
        replays: [Counter; 4],
        refused: [Counter; Refused::ALL.len()],
        replayed_events: Counter,
        slow_clients: [Counter; 3],
        relays: Gauge,
        clients: Gauge,
        connected: Gauge,
        history_events: Gauge,
        history_bytes: Gauge,
        evictions: [Counter; 4],
    }

    impl Metrics {
        pub(in crate::relay) fn new(route: SharedString) -> Self {
            describe();
            let with = |name: &'static str, value: &'static str| {
                [("route", route.clone()), (name, value.into())]
            };
            let replays = |result| counter!("sse_replays_total", &with("result", result));
            let refused = |why| counter!("sse_relays_refused_total", &with("why", why));
            let slow = |policy| counter!("sse_slow_clients_total", &with("policy", policy));
            let evictions = |by| counter!("sse_history_evictions_total", &with("by", by));
            let label = [("route", route.clone())];
            Metrics {
                handles: Some(Arc::new(Handles {
                    replays: ["hit", "gap", "unknown", "rejected"].map(replays),
                    refused: Refused::ALL.map(refused),
                    replayed_events: counter!("sse_replayed_events_total", &label),
                    slow_clients: ["disconnect", "skip", "latest"].map(slow),
                    relays: gauge!("sse_relays_active", &label),
                    clients: gauge!("sse_relay_clients", &label),
                    connected: gauge!("sse_upstream_connected", &label),
                    history_events: gauge!("sse_history_events", &label),
                    history_bytes: gauge!("sse_history_bytes", &label),
                    evictions: ["events", "bytes", "age", "budget"].map(evictions),
                })),
            }
        }

        pub(in crate::relay) fn replayed(&self, events: u64) {
            if let Some(handles) = self.handles.as_ref().filter(|_| events > 0) {
                handles.replayed_events.increment(events);
            }
        }

        pub(in crate::relay) fn replay(&self, result: Replay) {
            if let Some(handles) = &self.handles {
                handles.replays[result as usize].increment(1);
            }
        }

        pub(in crate::relay) fn refused(&self, why: Refused) {
            if let Some(handles) = &self.handles {
                handles.refused[why as usize].increment(1);
            }
        }

        pub(in crate::relay) fn slow(&self, policy: SlowClient) {
            if let Some(handles) = &self.handles {
                handles.slow_clients[policy as usize].increment(1);
            }
        }

        pub(in crate::relay) fn relays(&self, by: f64) {
            if let Some(handles) = &self.handles {
                handles.relays.increment(by);
            }
        }

        pub(in crate::relay) fn clients(&self, by: f64) {
            if let Some(handles) = &self.handles {
                handles.clients.increment(by);
            }
        }

        /// A log has changed.
        pub(in crate::relay) fn history(&self, before: &Stats, now: &Stats) {
            let Some(handles) = &self.handles else { return };
            let by = |now: usize, before: usize| now as f64 - before as f64;
            handles
                .history_events
                .increment(by(now.events, before.events));
            handles.history_bytes.increment(by(now.bytes, before.bytes));
            let all = |stats: &Stats| {
                let all = stats.evictions;
                [all.events, all.bytes, all.age, all.budget]
            };
            for (counter, (now, before)) in handles
                .evictions
                .iter()
                .zip(all(now).into_iter().zip(all(before)))
            {
                counter.increment(now - before);
            }
        }

        pub(in crate::relay) fn connected(&self, by: f64) {
            if let Some(handles) = &self.handles {
                handles.connected.increment(by);
            }
        }
    }

    fn describe() {
        for (name, text) in [
            (
                "sse_replays_total",
                "Clients that came with a last event ID, by whether all behind it was still kept.",
            ),
            (
                "sse_relays_refused_total",
                "Requests that passed by unrelayed since there was no room, by what was used up.",
            ),
            (
                "sse_replayed_events_total",
                "Events that clients were given again from the history.",
            ),
            (
                "sse_slow_clients_total",
                "Clients whose next event was not kept any more, by what became of them.",
            ),
            (
                "sse_history_evictions_total",
                "Events that were dropped from histories, by the bound that made them be.",
            ),
        ] {
            describe_counter!(name, text);
        }
        for (name, text) in [
            (
                "sse_relays_active",
                "Relays that there are, also those that only keep what was.",
            ),
            (
                "sse_relay_clients",
                "Clients of relays that are there, or wait for the head.",
            ),
            (
                "sse_upstream_connected",
                "Streams from upstream that are open for relays.",
            ),
            ("sse_history_events", "Events that are kept."),
            (
                "sse_history_bytes",
                "Bytes that are kept, with what it costs to keep them.",
            ),
        ] {
            describe_gauge!(name, text);
        }
    }

    impl fmt::Debug for Handles {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Handles")
        }
    }
}
