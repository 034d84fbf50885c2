//! What is set of sharing and resuming.

use http::{HeaderName, header};
use tower_sse::relay::{Key, OnFull};

use super::RouteSettings;

/// How the requests of a route come to their event streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// Each has its own.
    No,
    /// Those with the same key have one together.
    Shared(Key),
    /// Each has its own, and finds it again with the same values of these.
    Resumable(Bound),
}

/// To what a resumable stream is bound, beside its id, the path and the route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) fields: Vec<HeaderName>,
    pub(crate) cookies: Vec<String>,
}

impl Default for Bound {
    fn default() -> Self {
        Bound {
            fields: vec![header::AUTHORIZATION],
            cookies: Vec::new(),
        }
    }
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

/// How much of a stream is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) on_full: OnFull,
}

impl Relayed {
    /// None when the streams of a route are to be both shared and resumable: then one request had two relays.
    pub(super) fn of(settings: &RouteSettings) -> Option<Self> {
        match (settings.share.clone(), settings.resume.clone()) {
            (None, None) => Some(Self::No),
            (Some(key), None) => Some(Self::Shared(key.ignoring(settings.ignore.clone()))),
            (None, Some(bound)) => Some(Self::Resumable(bound)),
            (Some(_), Some(_)) => None,
        }
    }

    /// What holds where the settings say `auto`.
    pub(super) fn kept(&self) -> Kept {
        let (events, bytes, on_full) = match self {
            // One client's own stream is bound by its bytes: they hold any answer of a language model.
            Self::Resumable(_) => (usize::MAX, 4 << 20, OnFull::Wait),
            Self::Shared(_) | Self::No => (1000, 1 << 20, OnFull::Drop),
        };
        Kept {
            events,
            bytes,
            on_full,
        }
    }
}
