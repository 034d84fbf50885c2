//! What is known of the ids that the upstream has set, and of those that clients were given.

use std::cmp;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;

use super::Relay;
use crate::history::order;

impl Relay {
    /// A client was given an id.
    pub(in super::super) fn gives_ids(&self) {
        if !self.has_given.load(Ordering::Relaxed) {
            self.has_given.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the upstream has sent events, and no id.
    pub(in super::super) fn has_no_ids(&self) -> bool {
        self.ids.load(Ordering::Relaxed) == 1
    }

    /// The upstream has sent events, with an id or not.
    pub(in super::super) fn saw_events(&self, with_id: bool) {
        let known = if with_id { 2 } else { 1 };
        if self.ids.load(Ordering::Relaxed) < known {
            self.ids.store(known, Ordering::Relaxed);
        }
    }

    /// A client was given the event with this id of the upstream by a request of its own.
    pub(in super::super) fn gave_ahead(&self, upstream: &Bytes) {
        let mut known = self.given_ahead();
        let is_further = known
            .as_deref()
            .is_none_or(|known| order(upstream, known) != Some(cmp::Ordering::Less));
        if is_further {
            *known = Some(upstream.clone());
        }
    }

    /// Whether some client was given the event with this id, or one behind it, before the log had it.
    pub(in super::super) fn has_given_ahead(&self, upstream: &[u8]) -> bool {
        let known = self.given_ahead();
        let order = known.as_deref().and_then(|known| order(upstream, known));
        order.is_some_and(cmp::Ordering::is_le)
    }

    /// The upstream counts anew: what was given by its earlier ids says nothing of those to come.
    pub(in super::super) fn begins_anew(&self) {
        *self.given_ahead() = None;
        self.catch_ups.close();
    }

    fn given_ahead(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.given_ahead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
