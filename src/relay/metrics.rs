//! Counts replays, slow clients and connections, on the `metrics` facade if the feature is on.

use super::SlowClient;

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

#[cfg(not(feature = "metrics"))]
impl Metrics {
    pub(super) fn replayed(&self, _: u64) {}
    pub(super) fn replay(&self, _: Replay) {}
    pub(super) fn slow(&self, _: SlowClient) {}
    pub(super) fn relays(&self, _: f64) {}
    pub(super) fn clients(&self, _: f64) {}
    pub(super) fn connected(&self, _: f64) {}
}

#[cfg(feature = "metrics")]
mod on {
    use std::fmt;
    use std::sync::Arc;

    use metrics::{Counter, Gauge, SharedString, counter, gauge};

    use super::{Metrics, Replay, SlowClient};

    pub(super) struct Handles {
        replays: [Counter; 4],
        replayed_events: Counter,
        slow_clients: [Counter; 3],
        relays: Gauge,
        clients: Gauge,
        connected: Gauge,
    }

    impl Metrics {
        pub(in crate::relay) fn new(route: SharedString) -> Self {
            let with = |name: &'static str, value: &'static str| {
                [("route", route.clone()), (name, value.into())]
            };
            let replays = |result| counter!("sse_replays_total", &with("result", result));
            let slow = |policy| counter!("sse_slow_clients_total", &with("policy", policy));
            let label = [("route", route.clone())];
            Metrics {
                handles: Some(Arc::new(Handles {
                    replays: ["hit", "gap", "unknown", "rejected"].map(replays),
                    replayed_events: counter!("sse_replayed_events_total", &label),
                    slow_clients: ["disconnect", "skip", "latest"].map(slow),
                    relays: gauge!("sse_relays_active", &label),
                    clients: gauge!("sse_relay_clients", &label),
                    connected: gauge!("sse_upstream_connected", &label),
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

        pub(in crate::relay) fn connected(&self, by: f64) {
            if let Some(handles) = &self.handles {
                handles.connected.increment(by);
            }
        }
    }

    impl fmt::Debug for Handles {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Handles")
        }
    }
}
