//! What is set of sharing and resuming.

use std::time::Duration;

use tower_sse::relay::{AfterEnd, Key, OnFull, OnLeave, SlowClient, Start};

use super::given::Layers;
use super::{Error, known};

/// How the requests of a route come to their event streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// Each has its own.
    No,
    /// Those with the same key have one together.
    Shared(Key),
    /// Each has its own, and finds it again with the same values of these cookies.
    Resumable(Vec<String>),
}

/// By what clients are told of what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GapEvent {
    /// By an event, unless they may take it for a part of an answer.
    Auto,
    Off,
    /// One of this type: one line, not empty.
    Named(String),
}

/// How events are kept and given to clients; of no meaning where nothing is relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelaySettings {
    pub(crate) relayed: Relayed,
    pub(crate) share_private: bool,
    pub(crate) max_relays: usize,
    pub(crate) max_idle: usize,
    pub(crate) max_idle_for_client: usize,
    pub(crate) history_events: usize,
    pub(crate) history_bytes: usize,
    pub(crate) history_age: Duration,
    pub(crate) start: Start,
    pub(crate) gap_event: GapEvent,
    pub(crate) gap_data: String,
    pub(crate) slow_client: SlowClient,
    pub(crate) client_stall_timeout: Duration,
    pub(crate) on_full: OnFull,
    pub(crate) on_leave: OnLeave,
    pub(crate) hold: bool,
    pub(crate) open_after: Option<Duration>,
    pub(crate) give_up: Duration,
    pub(crate) after_end: AfterEnd,
    pub(crate) keep_finished: Duration,
}

impl RelaySettings {
    /// # Errors
    ///
    /// When a route is to be both shared and resumable: then one request had two relays.
    pub(super) fn resolve(layers: Layers<'_>) -> Result<Self, Error> {
        let relayed = match (layers.get(&known::SHARE)?, layers.get(&known::RESUME)?) {
            (None, None) => Relayed::No,
            (Some(key), None) => Relayed::Shared(key.ignoring(layers.get(&known::IGNORE)?)),
            (None, Some(cookies)) => Relayed::Resumable(cookies),
            (Some(_), Some(_)) => {
                return Err(super::resolve::contradiction(
                    layers,
                    &known::SHARE,
                    "does not go with",
                    &known::RESUME,
                    "turn one of them off; a shared stream is resumed anyway",
                ));
            }
        };
        // One client's own stream is bound by its bytes: they hold any answer of a language model.
        let (events, bytes, on_full) = match relayed {
            Relayed::Resumable(_) => (usize::MAX, 4 << 20, OnFull::Wait),
            Relayed::Shared(_) | Relayed::No => (1000, 1 << 20, OnFull::Drop),
        };
        Ok(RelaySettings {
            relayed,
            share_private: layers.get(&known::SHARE_PRIVATE)?,
            max_relays: layers.get(&known::MAX_RELAYS)?,
            max_idle: layers.get(&known::MAX_IDLE_RELAYS)?,
            max_idle_for_client: layers.get(&known::MAX_IDLE_RELAYS_PER_CLIENT)?,
            history_events: layers.get(&known::HISTORY_EVENTS)?.unwrap_or(events),
            history_bytes: layers.get(&known::HISTORY_BYTES)?.unwrap_or(bytes),
            history_age: layers.get(&known::HISTORY_AGE)?,
            start: layers.get(&known::START)?,
            gap_event: layers.get(&known::GAP_EVENT)?,
            gap_data: layers.get(&known::GAP_DATA)?,
            slow_client: layers.get(&known::SLOW_CLIENT)?,
            client_stall_timeout: layers.get(&known::CLIENT_STALL_TIMEOUT)?,
            on_full: layers.get(&known::ON_FULL)?.unwrap_or(on_full),
            on_leave: layers.get(&known::ON_LEAVE)?,
            hold: layers.get(&known::HOLD)?,
            open_after: layers.get(&known::OPEN_AFTER)?,
            give_up: layers.get(&known::GIVE_UP)?,
            after_end: layers.get(&known::AFTER_END)?,
            keep_finished: layers.get(&known::KEEP_FINISHED)?,
        })
    }
}
