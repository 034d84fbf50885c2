//! The layer, and what it makes of a service.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, HeaderName, Uri};
use tower_layer::Layer;

use super::config::{Config, GapEvent, TargetOf, UpstreamStages};
use super::registry::Registry;
use super::{
    AfterEnd, CleanEnd, Key, OnFull, OnLeave, RelayInfo, RelayService, Secret, SlowClient, Start,
};
use crate::history::{History, MemoryHistory};
use crate::stage::{BrokenEnds, CleanEnds, CloneStage};
use crate::wire::{EventBuilder, IdTag};

/// Puts relays between the clients and the event streams of a service. See the [module docs](super).
///
/// Clones, and the services that they make, have the same relays.
///
/// A router that is nested sees a path without what it is nested under, and what it does not see would be no part of the key.
/// With the feature `axum` the path is the one that axum says it was, so that nests do not mix their streams. Where another
/// router strips paths, tell the layer what they were by [`with_target`](Self::with_target), put it around the outer router,
/// or give each nest a layer of its own.
pub struct RelayLayer<H = MemoryHistory, X = CleanEnds> {
    config: Arc<Config>,
    registry: Arc<Registry<H>>,
    ends: PhantomData<X>,
}

impl RelayLayer {
    /// All requests with the same key share one upstream request.
    ///
    /// The layer has a [`MemoryHistory`] of its own; see [`shared_in`](Self::shared_in) for another.
    pub fn shared(key: Key) -> Self {
        Self::shared_in(key, MemoryHistory::new())
    }

    /// Each request has its own upstream request, which is found again by the ids that it gave.
    ///
    /// Its history keeps 4 MiB of each stream, however many events these are: more than any answer of a language model.
    pub fn resumable() -> Self {
        let history = MemoryHistory::new().with_events(usize::MAX);
        Self::resumable_in(history.with_bytes(4 * 1024 * 1024))
    }
}

impl<H: History> RelayLayer<H> {
    /// As [`shared`](RelayLayer::shared), with events kept in this history.
    ///
    /// # Example: two layers under one budget
    ///
    /// ```
    /// use tower_sse::history::MemoryHistory;
    /// use tower_sse::relay::{Key, RelayLayer};
    ///
    /// let history = MemoryHistory::new().with_budget(64 * 1024 * 1024);
    /// let prices = RelayLayer::shared_in(Key::default(), history.clone().with_events(100));
    /// let news = RelayLayer::shared_in(Key::default(), history.clone());
    /// assert_eq!(history.bytes(), 0);
    /// ```
    pub fn shared_in(key: Key, history: H) -> Self {
        Self::new(Config::new(Some(key)), history)
    }

    /// As [`resumable`](RelayLayer::resumable), with events kept in this history, by its bounds.
    pub fn resumable_in(history: H) -> Self {
        Self::new(Config::new(None), history)
    }

    fn new(config: Config, history: H) -> Self {
        RelayLayer {
            config: Arc::new(config),
            registry: Arc::new(Registry::new(history)),
            ends: PhantomData,
        }
    }
}

impl<H, X> RelayLayer<H, X> {
    /// Sets what a client without a last event ID is given. Default: what comes from now on.
    #[must_use]
    pub fn with_start(self, start: Start) -> Self {
        self.with(|config| config.start = start)
    }

    /// Sets the type of the event that tells of a gap, or that nothing does. Default: `stream-gap`, and where the body of a
    /// stream that breaks [fails](Self::with_broken_ends) only for GET: the answer to a POST is then broken off behind a
    /// comment, since the parser of an answer may take any event for a part of it.
    ///
    /// Its data is the number of events that were missed, or `null` where that is not known, unless
    /// [`with_gap_data`](Self::with_gap_data) says otherwise.
    ///
    /// # Panics
    ///
    /// When it holds CR, LF or NULL.
    ///
    /// ```should_panic
    /// use tower_sse::relay::{Key, RelayLayer};
    ///
    /// RelayLayer::shared(Key::default()).with_gap_event(Some("two\nlines"));
    /// ```
    #[must_use]
    pub fn with_gap_event(self, event_type: Option<&str>) -> Self {
        if let Some(name) = event_type {
            let checked = EventBuilder::new().event_type(name);
            assert!(checked.is_ok(), "an event type cannot hold CR, LF or NULL");
        }
        let event = event_type.map_or(GapEvent::Off, |name| GapEvent::Named(name.into()));
        self.with(|config| config.gap_event = event)
    }

    /// Sets the data of the event that tells of a gap. `{missed}` in it stands for the number of events that were missed,
    /// or for `null`. Default: `{missed}`.
    ///
    /// # Example: data that the parser of an answer survives
    ///
    /// ```
    /// use tower_sse::relay::RelayLayer;
    ///
    /// let relays = RelayLayer::resumable()
    ///     .with_gap_event(Some("message"))
    ///     .with_gap_data(r#"{"choices":[],"missed":{missed}}"#);
    /// ```
    #[must_use]
    pub fn with_gap_data(self, data: impl Into<String>) -> Self {
        self.with(|config| config.gap_data = Some(data.into()))
    }

    /// Lets the events of the upstream go through these stages, once for all clients. Default: none.
    ///
    /// They see each stream of the upstream, and may change and drop events. Where one ends the stream, as
    /// [`IdleTimeout`](crate::stage::IdleTimeout) does, the upstream counts as lost: it is asked again, or an answer that
    /// cannot be asked for again is broken off. What they write is left out: heartbeats, the reconnection time and last words
    /// are for the stages of a client, in an [`EventLayer`](crate::EventLayer) around this layer, and ids are the history's.
    ///
    /// # Example: an upstream that fell silent is asked again, and clients stay
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::relay::{Key, RelayLayer};
    /// use tower_sse::stage::IdleTimeout;
    ///
    /// let relays = RelayLayer::shared(Key::default())
    ///     .with_upstream_stages(IdleTimeout::after(Duration::from_secs(60)));
    /// ```
    #[must_use]
    pub fn with_upstream_stages(self, stages: impl CloneStage + 'static) -> Self {
        self.with(|config| config.upstream_stages = Some(UpstreamStages(Box::new(stages))))
    }

    /// Sets what a client gets that comes back for a resumable stream which it was given whole. Default: the upstream is
    /// asked anew.
    #[must_use]
    pub fn with_after_end(self, after_end: AfterEnd) -> Self {
        self.with(|config| config.after_end = after_end)
    }

    /// Lets the body of an answer that broke fail, so that the server cuts the connection: HTTP/1.1 without the last chunk,
    /// HTTP/2 with a reset. Its error is then a [`StreamError`](crate::stage::StreamError).
    ///
    /// That is the answer to another method than GET, whose client does not come back by itself, when its upstream was
    /// lost, or when some of it is not kept any more. Without this it is told of by an event, and ends cleanly.
    #[must_use]
    pub fn with_broken_ends(self) -> RelayLayer<H, BrokenEnds> {
        let relays = self.with(|config| config.breaks = true);
        RelayLayer {
            config: relays.config,
            registry: relays.registry,
            ends: PhantomData,
        }
    }

    /// Sets what becomes of a client that is too slow. Default: it is disconnected.
    #[must_use]
    pub fn with_slow_client(self, slow_client: SlowClient) -> Self {
        self.with(|config| config.slow_client = slow_client)
    }

    /// Sets how long a client may read nothing while the history is full of what it has yet to read, and is waited for.
    /// Default: 30 s.
    ///
    /// The upstream is read no further ahead of the fastest client than the history holds. After this time a client that
    /// has stopped counts no more, until it reads on: one that is to be disconnected is, if its server can be asked by a
    /// [`Hangup`](super::Hangup), and the stream goes on for the others. Where there are none, [`with_on_full`](Self::with_on_full)
    /// holds as if it were away. One that is not to be disconnected is not waited for any longer, and told of the gap.
    #[must_use]
    pub fn with_client_stall_timeout(self, time: Duration) -> Self {
        self.with(|config| config.client_stall_timeout = time)
    }

    /// Sets what becomes of the upstream's stream when the history is full and no client reads. Default: it waits for the
    /// client where a stream is one client's alone, for at most the time of [`with_give_up`](Self::with_give_up); the oldest
    /// events are dropped where it is shared.
    #[must_use]
    pub fn with_on_full(self, on_full: OnFull) -> Self {
        self.with(|config| config.on_full = on_full)
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
    /// The price is that status and header fields of the upstream are lost. Where streams are shared, clients wait together
    /// for an answer of which it is not known whom it is for: if it is not for all of them, their streams end, and each comes
    /// back and asks for itself. See [the relay's docs](super#what-is-sent-upstream).
    #[must_use]
    pub fn with_hold(self, hold: bool) -> Self {
        self.with(|config| config.hold = hold)
    }

    /// Does the same when the first answer says that there is no upstream, by a [`NoUpstream`](super::NoUpstream): it is asked
    /// again until it is there. For requests that are made again, which are those by GET, and have no `Origin`: the page would give
    /// up at a head that does not allow it. Default: no.
    #[must_use]
    pub fn with_hold_without_upstream(self, hold: bool) -> Self {
        self.with(|config| config.hold_without_upstream = hold)
    }

    /// Does the same as [`with_hold`](Self::with_hold) when the upstream's head has not come after this time. Default: never.
    #[must_use]
    pub fn with_open_after(self, time: Option<Duration>) -> Self {
        self.with(|config| config.open_after = time)
    }

    /// Sets how long a lost upstream is tried again, and how long one is held whose client is away. Default: 5 min.
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

    /// Says by whom the ids are written, where others who write such ids stand behind this layer: theirs are taken for the
    /// upstream's. Default: nobody in particular, and all ids of this shape are taken for its own.
    #[must_use]
    pub fn with_tag(self, tag: IdTag) -> Self {
        self.with(|config| config.tag = Some(tag))
    }

    /// Keeps the blank lines of blocks that hold only comments, for clients that need them. Default: no, since others
    /// take them for the end of an event once they have read an id; see
    /// [`Outbox::keep_comment_blocks`](crate::stage::Outbox::keep_comment_blocks).
    #[must_use]
    pub fn with_comment_blocks(self, keep: bool) -> Self {
        self.with(|config| config.keep_comment_blocks = keep)
    }

    /// Sets how large an event may be, in bytes. A larger one becomes a gap, if it has data. Default: 1 MiB.
    #[must_use]
    pub fn with_max_event_bytes(self, bytes: usize) -> Self {
        self.with(|config| config.max_event_bytes = bytes)
    }

    /// Takes the target of a request from its extensions: what it was before a router stripped something off. Its path counts.
    /// Default: what axum says, with the feature `axum`.
    ///
    /// # Example: a router of axum that is nested under a parameter
    ///
    /// ```
    /// use axum::{Router, extract::OriginalUri, routing::get};
    /// use tower_sse::relay::{Key, RelayLayer};
    ///
    /// let relays = RelayLayer::shared(Key::default())
    ///     .with_target(|extensions| Some(extensions.get::<OriginalUri>()?.0.clone()));
    /// let tenant = Router::new().route("/events", get(|| async { "…" })).layer(relays);
    /// let app: Router = Router::new().nest("/{tenant}", tenant);
    /// ```
    #[must_use]
    pub fn with_target(
        self,
        target: impl Fn(&Extensions) -> Option<Uri> + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| config.target = Some(TargetOf(Arc::new(target))))
    }

    /// Shares also what the upstream says is not to be shared: answers with `Cache-Control: private` or `Vary: *`, and those
    /// that differ by a field that `Vary` names and the key leaves out. Default: no.
    ///
    /// To be set where the key is known to say all that counts, and the upstream says otherwise of all that it sends.
    #[must_use]
    pub fn with_insistence(self, insist: bool) -> Self {
        self.with(|config| config.insist = insist)
    }

    /// Binds a resumable stream also to the cookies of these names. Default: none.
    ///
    /// It is bound to its id, the path and [the fields](Self::with_bound_fields) in any case. A cookie that changes while a stream
    /// is open, as that of a session which is renewed, must not be named: its client would not find the stream again.
    #[must_use]
    pub fn with_bound_cookies(self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.with(|config| config.bound_cookies = names)
    }

    /// Binds a resumable stream to these fields of its request, beside its id and the path. Default: `Authorization`.
    ///
    /// To be set where `Authorization` changes while a stream is open, as a token does that is renewed every few minutes, and
    /// something in front of this layer says in a field who it is that asks. Clients must not be able to set that field by
    /// themselves: the layer believes it.
    ///
    /// ```
    /// use http::HeaderName;
    /// use tower_sse::relay::RelayLayer;
    ///
    /// let user = HeaderName::from_static("x-user");
    /// let layer = RelayLayer::resumable().with_bound_fields([user]);
    /// ```
    #[must_use]
    pub fn with_bound_fields(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let names = names.into_iter().collect();
        self.with(|config| config.bound_fields = names)
    }

    /// Sets the secret by which keys are hashed, and ids of the upstream are known again. Default: a random one.
    #[must_use]
    pub fn with_secret(self, secret: Secret) -> Self {
        self.with(|config| config.secret = secret)
    }

    /// Shares streams with other processes: all that are given the same [`RedisStore`](crate::store::RedisStore), by one
    /// upstream request for all of them, and one history. A client may come back to any of them.
    ///
    /// Where streams are shared, that holds for requests of which the upstream's answer is for all with the same key. Others are
    /// relayed as without a store, by each process for itself. Where each request has its own, it is asked for by the process that
    /// it came to.
    ///
    /// A request that cannot be repeated, such as a POST, is never made again by another process: where the one that has made it
    /// dies, the others give what there is of the answer, tell of a gap, and end.
    ///
    /// Two services whose requests may look the same take the same store for two routes, by
    /// [`for_route`](crate::store::RedisStore::for_route).
    ///
    /// The secret of the store takes the place of [`with_secret`](Self::with_secret). Key, gap event, bound fields and cookies, and
    /// upstream should be the same in all processes.
    ///
    /// What the history keeps is kept in each process that has clients of a stream, and in the store. Comments of the upstream are not
    /// kept there: clients need heartbeats of each process.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    #[must_use]
    pub fn with_store(self, store: crate::store::RedisStore) -> Self {
        self.with(|config| {
            config.secret = store.relay_secret();
            config.store = Some(store);
        })
    }

    /// Sets how long the client may be silent while the body of a request is read that is to be shared by its body. It is
    /// answered 408 then. Default: 60 s.
    #[must_use]
    pub fn with_request_timeout(self, time: Duration) -> Self {
        self.with(|config| config.request_timeout = time)
    }

    /// Sets how many relays there may be without clients: those that linger, and those that have finished. If there are
    /// more, the oldest ends, of those from where the most are. Default: 2,000.
    #[must_use]
    pub fn with_max_idle(self, relays: usize) -> Self {
        self.with(|config| config.max_idle = relays)
    }

    /// Sets how many of them may be of one client address. It is known where a server puts a
    /// [`ClientAddress`](super::ClientAddress) into the extensions of its requests. Default: 200.
    #[must_use]
    pub fn with_max_idle_for_client(self, relays: usize) -> Self {
        self.with(|config| config.max_idle_for_client = relays)
    }

    /// Sets how large the body of a request may be that is to be shared by its body, in bytes. Default: 1 MiB.
    ///
    /// Requests with a larger one, or with one whose length is not known before, pass by unrelayed.
    #[must_use]
    pub fn with_max_request_bytes(self, bytes: u64) -> Self {
        self.with(|config| config.max_request_bytes = bytes)
    }

    /// Sets how many relays there may be. For one more, one without clients ends; if all have some, the request passes by
    /// unrelayed, and is counted. Default: 10,000.
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

impl<H, X> Clone for RelayLayer<H, X> {
    fn clone(&self) -> Self {
        RelayLayer {
            config: self.config.clone(),
            registry: self.registry.clone(),
            ends: PhantomData,
        }
    }
}

impl<S, H, X> Layer<S> for RelayLayer<H, X> {
    type Service = RelayService<S, H, X>;

    fn layer(&self, inner: S) -> Self::Service {
        RelayService::new(inner, self.config.clone(), self.registry.clone())
    }
}

impl<H, X> fmt::Debug for RelayLayer<H, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayLayer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
