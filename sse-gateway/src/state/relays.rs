//! The relays of all routes: what makes them, and a list to look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{Gauge, describe_gauge, gauge};
use serde_json::{Value, json};
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{RelayInfo, RelayLayer, Secret};
use tower_sse::stage::BrokenEnds;
use tower_sse::store::RedisStore;

use super::store::Store;
use crate::config::upstreams::Upstreams;
use crate::config::{GapEvent, HeartbeatFrame, Ids, Kept, NoAnswer, Relayed, Route, RouteSettings};

pub(crate) type Layer = RelayLayer<MemoryHistory, BrokenEnds>;

/// The relays of all routes, under one budget.
#[derive(Clone)]
pub(crate) struct Relays {
    secret: Secret,
    store: Option<Store>,
    reserved: Gauge,
    history: MemoryHistory,
    made: Arc<Mutex<Vec<Made>>>,
}

/// The layer of a route, and what it was made by. As long as these are the same, all else may change around its relays.
#[derive(Clone)]
pub(crate) struct Made {
    route: String,
    relayed: Relayed,
    kept: Kept,
    age: Duration,
    upstream: Upstreams,
    keeps_ids: bool,
    pub(crate) layer: Layer,
    /// Whether new requests come to it.
    is_current: bool,
}

impl Relays {
    /// `budget` is how many bytes are kept at most; without a secret they have one of their own.
    pub(crate) fn new(budget: usize, secret: Option<Secret>, store: Option<RedisStore>) -> Self {
        describe_gauge!(
            "sse_history_reserved_bytes",
            "Bytes of the budget that relays hold beside events: keys, heads, and bodies of requests."
        );
        Relays {
            reserved: gauge!("sse_history_reserved_bytes"),
            secret: secret.unwrap_or_else(Secret::random),
            store: store.map(Store::new),
            history: MemoryHistory::new().with_budget(budget),
            made: Arc::default(),
        }
    }

    /// The layer of a route, if it is to have one: that which it has, if that can be. Requests are yet to [come to it](Self::use_these).
    pub(crate) fn layer(&self, route: &Route) -> Option<Made> {
        let made = Made {
            route: route.name.clone(),
            relayed: route.relayed.clone(),
            kept: route.kept(),
            age: route.settings.history_age,
            upstream: route.settings.upstream.clone(),
            keeps_ids: route.settings.ids == Ids::Keep,
            layer: match self.made().iter().find(|made| made.serves(route)) {
                Some(made) => made.layer.clone(),
                None => self.new_layer(route)?,
            },
            is_current: true,
        };
        let layer = set(made.layer, &route.settings)
            .with_on_full(made.kept.on_full)
            .with_hold_without_upstream(route.settings.no_answer == NoAnswer::Hold)
            .with_comment_blocks(route.settings.heartbeat_frame == HeartbeatFrame::Block)
            .with_max_event_bytes(route.settings.max_event_bytes)
            .with_request_timeout(route.settings.head_timeout);
        Some(Made { layer, ..made })
    }

    fn new_layer(&self, route: &Route) -> Option<Layer> {
        let kept = route.kept();
        let history = self.history.clone();
        let history = history
            .with_events(kept.events)
            .with_bytes(kept.bytes)
            .with_age(route.settings.history_age);
        let layer = match &route.relayed {
            Relayed::No => return None,
            Relayed::Shared(key) => RelayLayer::shared_in(key.clone(), history),
            Relayed::Resumable(bound) => RelayLayer::resumable_in(history)
                .with_bound_fields(bound.fields.iter().cloned())
                .with_bound_cookies(bound.cookies.iter().cloned()),
        };
        let layer = layer
            .with_broken_ends()
            .with_upstream_ids(route.settings.ids == Ids::Keep)
            .with_tag(route.id_tag())
            .with_secret(self.secret.for_name(&route.name))
            .with_metrics(route.name.clone());
        let layer = match &self.store {
            Some(store) => layer.with_store(store.of_route(&route.name)),
            None => layer,
        };
        Some(layer)
    }

    /// New requests come to these. Others stay as long as they have streams.
    pub(crate) fn use_these(&self, made: Vec<Made>) {
        let mut all = self.made();
        let mut others = std::mem::replace(&mut *all, made);
        others.retain(|other| !all.iter().any(|made| made.is_around_the_same(other)));
        for other in &mut others {
            other.is_current = false;
        }
        all.extend(others);
    }

    /// All that are of use.
    fn made(&self) -> MutexGuard<'_, Vec<Made>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|made| made.is_current || !made.layer.relays().is_empty());
        made
    }

    /// Reads on what no other gateway can, for clients that may be there by now.
    pub(crate) async fn finish_answers(&self) {
        if let Some(store) = &self.store {
            store.finish_answers().await;
        }
    }

    /// Other gateways go on where this one has read for all.
    pub(crate) async fn leave(&self) {
        if let Some(store) = &self.store {
            store.leave().await;
        }
    }

    /// Brings their metrics up to date.
    pub(crate) fn update_metrics(&self) {
        for made in self.made().iter() {
            made.layer.update_metrics();
        }
        self.reserved.set(self.history.reserved() as f64);
        if let Some(store) = &self.store {
            store.update_metrics();
        }
    }

    /// What other gateways call this one, where they share streams.
    pub(crate) fn instance(&self) -> Option<String> {
        self.store.as_ref().map(Store::instance)
    }

    /// All that there are, route by route.
    pub(crate) fn to_json(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for made in self.made().iter() {
            let mut relays = made.layer.relays();
            relays.sort_by(|a, b| a.key.cmp(&b.key));
            all.extend(relays.iter().map(|relay| to_json(&made.route, relay)));
        }
        all
    }
}

impl Made {
    fn serves(&self, route: &Route) -> bool {
        self.route == route.name
            && self.relayed == route.relayed
            && self.kept == route.kept()
            && self.age == route.settings.history_age
            && self.upstream == route.settings.upstream
            && self.keeps_ids == (route.settings.ids == Ids::Keep)
    }

    /// Whether the relays of both are the same.
    fn is_around_the_same(&self, other: &Made) -> bool {
        self.route == other.route
            && self.relayed == other.relayed
            && self.kept == other.kept
            && self.age == other.age
            && self.upstream == other.upstream
            && self.keeps_ids == other.keeps_ids
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
    let mut told = json!({
        "route": route,
        "key": relay.key,
        "clients": relay.clients,
        "upstream": relay.upstream.as_str(),
        "events": relay.events,
        "bytes": relay.bytes,
        "not_shared_because_of": apart_by.map(|name| name.as_str()),
        "last_id": last_id.map(ToString::to_string),
    });
    if let Some(owner) = &relay.owner {
        told["owner"] = json!(owner);
    }
    told
}
