//! The layer, and what it makes of a service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use super::config::Config;
use super::registry::Registry;
use super::{Begin, CleanEnd, Key, OnLeave, RelayInfo, RelayService, SlowClient};
use crate::history::{History, MemoryHistory};
use crate::wire::EventBuilder;

/// Puts relays between the clients and the event streams of a service. See the [module docs](super).
///
/// Clones, and the services that they make, have the same relays. So give routers that are nested under
/// different paths each a layer of its own: what is stripped from a path cannot be part of its key.
pub struct RelayLayer<H: History = MemoryHistory> {
    config: Arc<Config>,
    registry: Arc<Registry<H>>,
}

impl RelayLayer {
    /// All requests with the same key share one upstream request.
    pub fn shared(key: Key) -> Self {
        Self::new(Config::new(Some(key)))
    }

    /// Each request has its own upstream request, which is found again by the ids that it gave.
    pub fn resumable() -> Self {
        Self::new(Config::new(None))
    }

    fn new(config: Config) -> Self {
        RelayLayer {
            config: Arc::new(config),
            registry: Arc::new(Registry::new(MemoryHistory::new())),
        }
    }
}

impl<H: History> RelayLayer<H> {
    /// Keeps events in this history: one may serve many layers, under one budget.
    #[must_use]
    pub fn with_history<N: History>(self, history: N) -> RelayLayer<N> {
        RelayLayer {
            config: self.config,
            registry: Arc::new(Registry::new(history)),
        }
    }

    /// Sets what a client without a last event ID is given. Default: what comes from now on.
    #[must_use]
    pub fn with_begin(self, begin: Begin) -> Self {
        self.with(|config| config.begin = begin)
    }

    /// Sets the type of the event that tells of a gap, or that nothing does. Default: `stream-gap`.
    ///
    /// Its data is the number of events that were missed, or `null` where that is not known.
    ///
    /// # Panics
    ///
    /// When it holds CR, LF or NULL.
    #[must_use]
    pub fn with_gap_event(self, event_type: Option<&str>) -> Self {
        if let Some(name) = event_type {
            let checked = EventBuilder::new().event_type(name);
            assert!(checked.is_ok(), "an event type cannot hold CR, LF or NULL");
        }
        self.with(|config| config.gap_event = event_type.map(Into::into))
    }

    /// Sets what becomes of a client that is too slow. Default: it is disconnected.
    #[must_use]
    pub fn with_slow_client(self, slow_client: SlowClient) -> Self {
        self.with(|config| config.slow_client = slow_client)
    }

    /// Sets what becomes of the upstream's stream when the last client has left. Default: it lingers for 10 s.
    #[must_use]
    pub fn with_on_leave(self, on_leave: OnLeave) -> Self {
        self.with(|config| config.on_leave = on_leave)
    }

    /// Sets what a clean end means. Default: a stream that is shared and was asked for by GET was lost, any other finished.
    #[must_use]
    pub fn with_clean_end(self, clean_end: CleanEnd) -> Self {
        self.with(|config| config.clean_end = Some(clean_end))
    }

    /// Opens the client's stream at once, whatever the upstream says, and hides its failures from the first on.
    ///
    /// The price is that status and header fields of the upstream are lost.
    #[must_use]
    pub fn with_hold(self, hold: bool) -> Self {
        self.with(|config| config.hold = hold)
    }

    /// Does the same when the upstream's head has not come after this time. Default: never.
    #[must_use]
    pub fn with_open_after(self, time: Option<Duration>) -> Self {
        self.with(|config| config.open_after = time)
    }

    /// Sets how long a lost upstream is tried again. Default: 5 min.
    ///
    /// The last attempt is made at its end if the upstream asked for a longer wait.
    #[must_use]
    pub fn with_give_up(self, time: Duration) -> Self {
        self.with(|config| config.give_up = time)
    }

    /// Sets how long a stream that finished can be replayed. Default: 60 s.
    #[must_use]
    pub fn with_keep_finished(self, time: Duration) -> Self {
        self.with(|config| config.keep_finished = time)
    }

    /// Leaves the upstream's own ids to the events that have one: they must be unique over its lifetime. Events without
    /// one are still given one of ours. Resumable streams are found by ours alone, and so leave this out.
    #[must_use]
    pub fn with_upstream_ids(self, keep: bool) -> Self {
        self.with(|config| config.keep_ids = keep)
    }

    /// Sets how large an event may be, in bytes. A larger one becomes a gap. Default: 1 MiB.
    #[must_use]
    pub fn with_max_event_bytes(self, bytes: usize) -> Self {
        self.with(|config| config.max_event_bytes = bytes)
    }

    /// Sets how large the body of a request may be to be relayed, in bytes. Default: 1 MiB.
    ///
    /// Requests with a larger one, or with one whose length is not known before, pass by unrelayed.
    #[must_use]
    pub fn with_max_request_bytes(self, bytes: u64) -> Self {
        self.with(|config| config.max_request_bytes = bytes)
    }

    /// Sets how many relays there may be. Requests for more pass by unrelayed. Default: 10,000.
    #[must_use]
    pub fn with_max_relays(self, relays: usize) -> Self {
        self.with(|config| config.max_relays = relays)
    }

    /// Counts under this value of the label `route`, on the `metrics` facade. The recorder must be installed before.
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    #[must_use]
    pub fn with_metrics(self, route: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        let metrics = super::metrics::Metrics::new(metrics::SharedString::from(route.into()));
        self.with(|config| config.metrics = metrics)
    }

    /// Brings the metrics of the history up to date. To be called before they are read.
    ///
    /// A relay counts what has become of its events when its upstream sends something. What was dropped meanwhile, since
    /// the streams of others took all of the budget, is counted here.
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn update_metrics(&self) {
        self.registry.count();
    }

    /// The relays that there are.
    pub fn relays(&self) -> Vec<RelayInfo> {
        self.registry.list()
    }

    /// The history.
    pub fn history(&self) -> &H {
        self.registry.history()
    }

    fn with(mut self, set: impl FnOnce(&mut Config)) -> Self {
        set(Arc::make_mut(&mut self.config));
        self
    }
}

impl<H: History> Clone for RelayLayer<H> {
    fn clone(&self) -> Self {
        RelayLayer {
            config: self.config.clone(),
            registry: self.registry.clone(),
        }
    }
}

impl<S, H: History> Layer<S> for RelayLayer<H> {
    type Service = RelayService<S, H>;

    fn layer(&self, inner: S) -> Self::Service {
        RelayService::new(inner, self.config.clone(), self.registry.clone())
    }
}

impl<H: History> fmt::Debug for RelayLayer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayLayer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
