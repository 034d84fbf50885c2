//! Where a client goes on.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::{Fate, PATIENCE, State, Stream};
use crate::history::{Follower, Joined};
use crate::store::Sought;
use crate::wire::{Epoch, SequentialId};

impl Stream {
    /// Begins to read behind this id.
    pub(crate) async fn follow_behind(self: &Arc<Self>, id: &[u8]) -> (Follower, Joined) {
        let mut since = 0;
        self.have(|member, cx| since = member.look(cx));
        let log = &self.log;
        let found = self.until(move |state| {
            let inner = self.inner(state, id);
            if inner.as_ref().is_some_and(|id| id.sequence == 0) {
                // It stands in front of all events.
                let is_lost = state.member.replica().keep() > 1;
                return Some(log.follow_at(0, is_lost));
            }
            let inner = inner.map(|id| id.to_event_id());
            let id = inner.as_ref().map_or(id, |id| id.as_bytes());
            let epoch = SequentialId::parse(id).map(|id| id.epoch);
            let sought = state.member.sought(id, since);
            // What has ended here is still read, and nothing comes any more.
            let is_over = state.fate != Fate::Shared;
            // Nobody knows it of another log, and whoever asks the upstream behind it need not wait. One that is shown here is of
            // this log, which the store may have forgotten before it was read.
            let is_read = state.member.has_read(since);
            let replica = state.member.replica();
            let is_shown = epoch.is_some() && epoch == self.writing.shown;
            let is_awaited = is_shown && replica.epoch().is_none();
            let is_strange = epoch.is_none_or(|epoch| !replica.knows(epoch)) && !is_awaited;
            match sought {
                Sought::At { place, is_lost } => Some(log.follow_at(place, is_lost)),
                Sought::Unknown | Sought::Wait if is_over => Some(log.follow_unknown()),
                Sought::Unknown | Sought::Wait if !is_read => None,
                Sought::Unknown => Some(log.follow_unknown()),
                Sought::Wait => is_strange.then(|| log.follow_unknown()),
            }
        });
        let mut found = pin!(found);
        loop {
            if let Ok(found) = timeout(PATIENCE, found.as_mut()).await {
                return found;
            }
            // What a store that is away has may turn up yet.
            if self.is_reached_since(PATIENCE) {
                return self.log.follow_unknown();
            }
        }
    }

    /// Whether there were connections to the store for so long.
    fn is_reached_since(&self, time: Duration) -> bool {
        let state = self.lock();
        let session = state.session.as_ref();
        session.is_some_and(|session| session.began.elapsed() >= time)
    }

    /// An id that begins with what clients here are shown, with what the log has in its place.
    fn inner<'a>(&self, state: &State, id: &'a [u8]) -> Option<SequentialId<'a>> {
        let id = SequentialId::parse(id)?;
        (self.writing.shown == Some(id.epoch)).then_some(())?;
        let epoch = Epoch::from_bits(state.member.replica().epoch()?);
        Some(SequentialId { epoch, ..id })
    }

    /// Waits until the log was read, or at most this long.
    pub(crate) async fn known(self: &Arc<Self>, at_most: Duration) {
        let known = self.until(|state| {
            let is_over = state.fate != Fate::Shared;
            (is_over || state.member.is_known()).then_some(())
        });
        let _ = timeout_at(Instant::now() + at_most, known).await;
    }

    /// Whether the numbers of this epoch are those of the log, or of one that was there before.
    pub(crate) fn knows(&self, epoch: Epoch) -> bool {
        self.lock().member.replica().knows(epoch)
    }

    /// The last reconnection time of the upstream.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.lock().feed.retry
    }
}
