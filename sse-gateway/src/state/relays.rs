//! The relays of all routes: what makes them, and a list to look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Gauge, describe_gauge, gauge};
use serde_json::{Value, json};
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{RelayInfo, RelayLayer, Secret};
use tower_sse::stage::BrokenEnds;

use crate::config::{GapEvent, HeartbeatFrame, Ids, NoAnswer, Relayed, Route, RouteSettings};

pub(crate) type Layer = RelayLayer<MemoryHistory, BrokenEnds>;

/// The relays of all routes, under one budget.
#[derive(Clone)]
pub(crate) struct Relays {
    secret: Secret,
    reserved: Gauge,
    history: MemoryHistory,
    /// By the name of the route.
    layers: Arc<Mutex<Vec<(String, Layer)>>>,
}

impl Relays {
    /// `budget` is how many bytes are kept at most; without a secret they have one of their own.
    pub(crate) fn new(budget: usize, secret: Option<Secret>) -> Self {
        describe_gauge!(
            "sse_history_reserved_bytes",
            "Bytes of the budget that relays hold beside events: keys, heads, and bodies of requests."
        );
        Relays {
            reserved: gauge!("sse_history_reserved_bytes"),
            secret: secret.unwrap_or_else(Secret::random),
            history: MemoryHistory::new().with_budget(budget),
            layers: Arc::default(),
        }
    }

    /// The layer of a route, if it is to have one.
    pub(crate) fn layer(&self, route: &Route) -> Option<Layer> {
        let (settings, kept) = (&route.settings, route.kept());
        let history = self.history.clone();
        let history = history
            .with_events(kept.events)
            .with_bytes(kept.bytes)
            .with_age(settings.history_age);
        let layer = match &route.relayed {
            Relayed::No => return None,
            Relayed::Shared(key) => RelayLayer::shared_in(key.clone(), history),
            Relayed::Resumable(cookies) => {
                RelayLayer::resumable_in(history).with_bound_cookies(cookies.iter().cloned())
            }
        };
        let layer = set(layer.with_broken_ends(), settings)
            .with_on_full(kept.on_full)
            .with_hold_without_upstream(settings.no_answer == NoAnswer::Hold)
            .with_upstream_ids(settings.ids == Ids::Keep)
            .with_comment_blocks(settings.heartbeat_frame == HeartbeatFrame::Block)
            .with_tag(route.id_tag())
            .with_max_event_bytes(settings.max_event_bytes)
            .with_request_timeout(settings.head_timeout)
            .with_secret(self.secret.for_name(&route.name))
            .with_metrics(route.name.clone());
        self.layers().push((route.name.clone(), layer.clone()));
        Some(layer)
    }

    fn layers(&self) -> MutexGuard<'_, Vec<(String, Layer)>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings their metrics up to date.
    pub(crate) fn update_metrics(&self) {
        for (_, layer) in self.layers().iter() {
            layer.update_metrics();
        }
        self.reserved.set(self.history.reserved() as f64);
    }

    /// All that there are, route by route.
    pub(crate) fn to_json(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for (route, layer) in self.layers().iter() {
            let mut relays = layer.relays();
            relays.sort_by(|a, b| a.key.cmp(&b.key));
            all.extend(relays.iter().map(|relay| to_json(route, relay)));
        }
        all
    }
}

/// What of the settings is the same for all kinds of layers.
fn set(layer: Layer, settings: &RouteSettings) -> Layer {
    let layer = match &settings.gap_event {
        GapEvent::Auto => layer,
        GapEvent::Off => layer.with_gap_event(None),
        GapEvent::Named(name) => layer.with_gap_event(Some(name)),
    };
    layer
        .with_gap_data(settings.gap_data.clone())
        .with_after_end(settings.after_end)
        .with_insistence(settings.share_private)
        .with_max_relays(settings.max_relays)
        .with_max_idle(settings.max_idle_relays)
        .with_max_idle_for_client(settings.max_idle_relays_per_client)
        .with_start(settings.start)
        .with_slow_client(settings.slow_client)
        .with_client_stall_timeout(settings.client_stall_timeout)
        .with_on_leave(settings.on_leave)
        .with_hold(settings.hold)
        .with_open_after(settings.open_after)
        .with_give_up(settings.give_up)
        .with_keep_finished(settings.keep_finished)
}

fn to_json(route: &str, relay: &RelayInfo) -> Value {
    let last_id = relay.last_id.as_ref();
    let apart_by = relay.apart_by.as_ref();
    json!({
        "route": route,
        "key": relay.key,
        "clients": relay.clients,
        "upstream": relay.upstream.as_str(),
        "events": relay.events,
        "bytes": relay.bytes,
        "not_shared_because_of": apart_by.map(|name| name.as_str()),
        "last_id": last_id.map(ToString::to_string),
    })
}
