//! What can be chosen.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName, Uri, header};

use super::metrics::Metrics;
use super::{Key, Secret, outside};
use crate::history;
use crate::stage::CloneStage;
use crate::wire::{DEFAULT_MAX_EVENT_BYTES, Epoch, IdTag};

/// What a client without a last event ID is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Start {
    /// What comes from now on.
    #[default]
    Live,
    /// The last so many events first.
    Last(u64),
    /// All that is kept first.
    All,
}

impl Start {
    /// The same, as it is said to a log.
    pub(super) fn of_log(self) -> history::Start {
        match self {
            Start::Live => history::Start::Live,
            Start::Last(events) => history::Start::Last(events),
            Start::All => history::Start::All,
        }
    }
}

/// What becomes of a client that is so slow that its next event is not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SlowClient {
    /// Its stream ends; it comes back with its last event ID and is told of the gap. When it was not asked for by GET
    /// it is told before, since its client may take the end for that of the answer.
    #[default]
    Disconnect,
    /// It is told of the gap and goes on with the oldest event that is kept.
    Skip,
    /// It is told of the gap and goes on with what comes next.
    Latest,
}

/// What becomes of the upstream's stream when the history is full and no client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnFull {
    /// It is read no further until a client is back, or for as long as a lost upstream is tried again.
    Wait,
    /// The oldest events are dropped, and who comes back is told of the gap.
    Drop,
}

/// What becomes of the upstream's stream when the last client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnLeave {
    /// It is closed at once.
    Cancel,
    /// It is closed when nobody came back in this time.
    Linger(Duration),
    /// It runs to its end.
    Finish,
}

/// What it means that the upstream ended its stream cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CleanEnd {
    /// That was all.
    Finished,
    /// The connection was lost, as to an `EventSource`: it is to be made again.
    Lost,
}

/// What a client gets that comes back for a resumable stream which it was given whole, if that was the answer to a GET, or if it comes
/// by a GET with an id of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AfterEnd {
    /// The upstream is asked anew, as it would be by a client that is connected to it.
    #[default]
    Again,
    /// A 204, at which an `EventSource` comes back no more: for streams that are finite.
    NoContent,
}

/// By what clients are told of a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GapEvent {
    /// By an event `stream-gap`, unless the client takes it for a part of an answer, and its stream can be broken off.
    Default,
    Named(String),
    Off,
}

pub(super) const STREAM_GAP: &str = "stream-gap";

/// Tells what the target of a request was before something in front of the relay has changed it.
#[derive(Clone)]
pub(super) struct TargetOf(pub(super) Arc<Target>);

type Target = dyn Fn(&Extensions) -> Option<Uri> + Send + Sync;

impl fmt::Debug for TargetOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TargetOf")
    }
}

/// What the stream of each request to the upstream goes through.
#[derive(Clone)]
pub(super) struct UpstreamStages(pub(super) Box<dyn CloneStage>);

impl fmt::Debug for UpstreamStages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamStages")
    }
}

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) upstream_stages: Option<UpstreamStages>,
    /// `None` when each request has its own.
    pub(super) key: Option<Key>,
    pub(super) start: Start,
    pub(super) gap_event: GapEvent,
    pub(super) gap_data: Option<String>,
    /// Whether the body of a stream that broke fails.
    pub(super) breaks: bool,
    pub(super) slow_client: SlowClient,
    pub(super) client_stall_timeout: Duration,
    pub(super) on_full: OnFull,
    pub(super) on_leave: OnLeave,
    pub(super) clean_end: Option<CleanEnd>,
    pub(super) after_end: AfterEnd,
    pub(super) hold: bool,
    pub(super) hold_without_upstream: bool,
    pub(super) open_after: Option<Duration>,
    pub(super) give_up: Duration,
    pub(super) keep_finished: Duration,
    pub(super) keep_ids: bool,
    pub(super) keep_comment_blocks: bool,
    /// By whom ids are written.
    pub(super) tag: Option<IdTag>,
    pub(super) target: Option<TargetOf>,
    pub(super) insist: bool,
    /// Fields to which a resumable stream is bound.
    pub(super) bound_fields: Vec<HeaderName>,
    /// Cookies to which it is bound as well.
    pub(super) bound_cookies: Vec<String>,
    pub(super) secret: Secret,
    /// Where other processes find the same streams.
    pub(super) store: Option<outside::Store>,
    pub(super) max_event_bytes: usize,
    pub(super) max_request_bytes: u64,
    pub(super) request_timeout: Duration,
    pub(super) max_relays: usize,
    pub(super) max_idle: usize,
    pub(super) max_idle_for_client: usize,
    pub(super) metrics: Metrics,
}

impl Config {
    /// The epoch that says by whom its ids are written.
    pub(super) fn tagged(&self, epoch: Epoch) -> Epoch {
        self.tag.map_or(epoch, |tag| epoch.with_tag(tag))
    }

    /// Whether clients may be given a stream before there is an answer.
    pub(super) fn opens_early(&self) -> bool {
        self.hold || self.hold_without_upstream || self.open_after.is_some()
    }

    /// Whether a stream is opened for a request with these fields when there is no upstream.
    ///
    /// A page of another origin gives up at a head that does not allow it, which only the upstream's does.
    pub(super) fn holds_without_upstream(&self, request: &HeaderMap) -> bool {
        self.hold_without_upstream && !request.contains_key(header::ORIGIN)
    }

    pub(super) fn new(key: Option<Key>) -> Self {
        let on_full = match key {
            Some(_) => OnFull::Drop,
            None => OnFull::Wait,
        };
        Config {
            upstream_stages: None,
            key,
            start: Start::Live,
            gap_event: GapEvent::Default,
            gap_data: None,
            breaks: false,
            slow_client: SlowClient::Disconnect,
            client_stall_timeout: Duration::from_secs(30),
            on_full,
            on_leave: OnLeave::Linger(Duration::from_secs(10)),
            clean_end: None,
            after_end: AfterEnd::Again,
            hold: false,
            hold_without_upstream: false,
            open_after: None,
            give_up: Duration::from_secs(300),
            keep_finished: Duration::from_secs(60),
            keep_ids: false,
            keep_comment_blocks: false,
            tag: None,
            target: None,
            insist: false,
            bound_fields: vec![header::AUTHORIZATION],
            bound_cookies: Vec::new(),
            secret: Secret::random(),
            store: None,
            max_event_bytes: DEFAULT_MAX_EVENT_BYTES,
            max_request_bytes: 1024 * 1024,
            request_timeout: Duration::from_secs(60),
            max_relays: 10_000,
            max_idle: 2_000,
            max_idle_for_client: 200,
            metrics: Metrics::default(),
        }
    }
}
