//! The store by which several gateways share streams, and what is counted of it.

use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use tokio::time::{Instant, sleep};
use tower_sse::store::{RedisStore, StoreError, WhenAway};

use crate::config::{Config, Error};

/// The store keeps a stream for longer than any gateway does.
const LONGER: Duration = Duration::from_secs(60);

/// So long a store is waited for that may be about to start too.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(200);

/// The store by which several gateways share streams.
#[derive(Clone)]
pub(crate) struct Store {
    store: RedisStore,
    up: Gauge,
    streams: Gauge,
    owned: Gauge,
    terms: Counter,
    appends: [Counter; 2],
    connects: Counter,
    unacknowledged: Counter,
    left_alone: Counter,
}

/// Connects with the store, if there is to be one. One that cannot be reached may come later where streams need not wait for it.
///
/// # Errors
///
/// When it is none that can be used, or cannot be reached for a while.
pub(crate) async fn connect(config: &Config) -> Result<Option<RedisStore>, Error> {
    let settings = &config.gateway;
    let (Some(url), Some(secret)) = (&settings.store, &settings.store_secret) else {
        return Ok(None);
    };
    let routes = config.routes.iter().chain(&config.fallback);
    let kept = routes.map(|route| route.settings.history_age.max(route.settings.keep_finished));
    let lifetime = kept.max().unwrap_or_default().saturating_add(LONGER);
    let mut options = RedisStore::options()
        .with_prefix(settings.store_prefix.clone())
        .with_seal(settings.store_seal)
        .with_acknowledge(settings.store_ack)
        .with_when_away(settings.store_down)
        .with_lifetime(lifetime);
    if let Some(ca) = &settings.store_ca {
        options = options.with_ca(&*ca.0);
    }
    if let (Some(cert), Some(key)) = (&settings.store_cert, &settings.store_key) {
        options = options.with_client_certificate(&*cert.0, &*key.0);
    }
    let began = Instant::now();
    loop {
        let why = match options.clone().connect(&url.0, &secret.0).await {
            Err(error) if error.is_away() && settings.store_down == WhenAway::Local => {
                let store = options.open(&url.0, &secret.0);
                return store.map(Some).map_err(|error| refusal(&error, ""));
            }
            Err(error) if !error.is_away() => return Err(refusal(&error, "")),
            Err(error) => error,
            Ok(store) => return Ok(Some(store)),
        };
        if began.elapsed() > PATIENCE {
            return Err(refusal(&why, AWAY));
        }
        sleep(AGAIN).await;
    }
}

const AWAY: &str = "; it has to be there first, or set --store-down local to start without it";

fn refusal(error: &StoreError, what_to_do: &str) -> Error {
    let cause = std::error::Error::source(error);
    let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
    Error::at("--store", format_args!("{error}{cause}{what_to_do}"))
}

impl Store {
    pub(crate) fn new(store: RedisStore) -> Self {
        tracing::info!(instance = store.instance(), "streams are shared by a store");
        describe_gauge!("sse_store_up", "Whether the store is connected to.");
        describe_gauge!(
            "sse_store_streams",
            "Streams that this gateway shares with others."
        );
        describe_gauge!(
            "sse_store_owned",
            "Those of which this gateway reads the upstream, for all."
        );
        describe_counter!(
            "sse_store_terms_total",
            "Times at which this gateway has begun to read an upstream for all."
        );
        describe_counter!(
            "sse_store_appends_total",
            "Batches of events that were written to the store, by what became of them."
        );
        describe_counter!(
            "sse_store_connects_total",
            "Times at which the store was connected to."
        );
        describe_counter!(
            "sse_store_unacknowledged_total",
            "Batches that clients were given before a replica or the disk had them, where that was waited for."
        );
        describe_counter!(
            "sse_store_left_alone_total",
            "Streams that are not shared, since what the store has of them cannot be used."
        );
        let appends =
            ["ok", "refused"].map(|result| counter!("sse_store_appends_total", "result" => result));
        Store {
            store,
            up: gauge!("sse_store_up"),
            streams: gauge!("sse_store_streams"),
            owned: gauge!("sse_store_owned"),
            terms: counter!("sse_store_terms_total"),
            appends,
            connects: counter!("sse_store_connects_total"),
            unacknowledged: counter!("sse_store_unacknowledged_total"),
            left_alone: counter!("sse_store_left_alone_total"),
        }
    }

    /// What other gateways call this one.
    pub(crate) fn instance(&self) -> String {
        self.store.instance()
    }

    /// The same for a route, whose streams are its own.
    pub(crate) fn of_route(&self, name: &str) -> RedisStore {
        self.store.for_route(name)
    }

    /// Reads answers to their ends whose clients may be at other gateways by now, and which those cannot ask for.
    pub(crate) async fn finish_answers(&self) {
        let mut finished = pin!(self.store.finish_answers());
        tokio::select! {
            biased;
            () = &mut finished => return,
            () = ready(()) => {}
        }
        tracing::info!("reading answers to their ends, for clients at other gateways");
        finished.await;
    }

    /// Other gateways go on at once.
    pub(crate) async fn leave(&self) {
        self.store.leave().await;
    }

    /// To be called before the metrics are read.
    pub(crate) fn update_metrics(&self) {
        let stats = self.store.stats();
        self.up.set(if stats.is_up { 1.0 } else { 0.0 });
        self.streams.set(stats.streams as f64);
        self.owned.set(stats.owned as f64);
        self.terms.absolute(stats.terms);
        let [ok, refused] = &self.appends;
        ok.absolute(stats.appended);
        refused.absolute(stats.refused);
        self.connects.absolute(stats.connections);
        self.unacknowledged.absolute(stats.unacknowledged);
        self.left_alone.absolute(stats.left_alone);
    }
}
