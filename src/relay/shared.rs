//! What a relay's task and its clients share.

use std::cmp;
use std::future::pending;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

use super::catch_up::Groups;
use super::config::Config;
use super::hangup::Places;
use super::head::Head;
use super::idle::Idle;
use super::secret::Hash;
use super::vary::Vary;
use super::{OnLeave, SlowClient, UpstreamState};
use crate::history::{MemoryLog, Reserved, Seal, Stats, order};
use crate::wire::Epoch;

pub(super) struct Relay {
    pub(super) of: Of,
    pub(super) label: String,
    pub(super) epoch: Epoch,
    /// Of its ids.
    pub(super) seal: Seal,
    /// Whether clients ask again by themselves when it ends, as they do for a GET.
    pub(super) is_asked_again: bool,
    /// Of the client that opened it.
    pub(super) address: Option<IpAddr>,
    /// A field by which alone it differs from another relay.
    pub(super) apart_by: Option<HeaderName>,
    pub(super) log: MemoryLog,
    pub(super) config: Arc<Config>,
    pub(super) places: Places,
    pub(super) idle: Arc<Idle>,
    /// For whom else the upstream's answer is; not known before its head.
    vary: OnceLock<Vary>,
    /// The same as far as it was known when the request was made.
    awaited: OnceLock<Vary>,
    /// What is known of the upstream's events: 0 nothing, 1 that there are some without an id, 2 that there are ids.
    ids: AtomicU8,
    /// Whether some client was given an id, with which it may come back.
    has_given: AtomicBool,
    /// What of the budget it holds beside its events.
    held: Mutex<Reserved>,
    /// The furthest id of the upstream that a client was given ahead of the log, by a request of its own.
    given_ahead: Mutex<Option<Bytes>>,
    /// Clients that are not yet where it is.
    pub(super) catch_ups: Groups,
    phase: watch::Sender<Phase>,
    presence: watch::Sender<Presence>,
    state: AtomicU8,
    /// The reconnection time of the upstream, in milliseconds and one more; zero while there is none.
    retry: AtomicU64,
    /// What of the log was counted already; none when it has gone, and with it all that was.
    counted: Mutex<Option<Stats>>,
}

/// Whose stream it is.
#[derive(Clone, Debug)]
pub(super) enum Of {
    /// Of all whose requests have this key.
    Key {
        key: Hash,
        /// The same of the request that opened it, by all of its fields.
        full: Hash,
        /// The key without fields, and those of it.
        target: Hash,
        fields: Vec<(HeaderName, Hash)>,
        /// Whether it is found by its key, and not by its ids alone.
        is_joined: bool,
    },
    /// Of one client, which proves by this that it is the same.
    Client(Hash),
}

#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// There is no head yet.
    Starting,
    Open(Arc<Head>),
    /// The upstream gave no event stream.
    Refused(Refusal),
    Ended(Option<Arc<Head>>, Ended),
}

#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// The same for all who wait: an error with its body.
    Same(Arc<Head>, Bytes),
    /// Of who asked alone.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The last client left.
    Left,
    Refused,
    Finished,
    /// The upstream said that there is no more.
    NoContent,
    /// It cannot be asked again.
    Failed,
    /// The upstream's answer is no, or it gave none for too long.
    GaveUp,
    /// The upstream's answer is not for all who wait for it behind a head that they were given.
    NotForAll,
}

#[derive(Debug, Default)]
struct Presence {
    clients: usize,
    had_one: bool,
    /// Whether there was ever a second one.
    was_shared: bool,
    closed: bool,
    /// Told to make room for others.
    evicted: bool,
}

/// What a relay is made of.
pub(super) struct Parts {
    pub(super) of: Of,
    pub(super) label: String,
    pub(super) epoch: Epoch,
    pub(super) seal: Seal,
    pub(super) is_asked_again: bool,
    pub(super) address: Option<IpAddr>,
    pub(super) apart_by: Option<HeaderName>,
    pub(super) log: MemoryLog,
    pub(super) config: Arc<Config>,
    pub(super) idle: Arc<Idle>,
    pub(super) held: Reserved,
}

/// A client of a relay, from its request to the end of its body.
pub(super) struct Client {
    relay: Arc<Relay>,
}

impl Relay {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            of,
            label,
            epoch,
            seal,
            is_asked_again,
            address,
            apart_by,
            log,
            config,
            idle,
            held,
        } = parts;
        Relay {
            of,
            label,
            epoch,
            seal,
            is_asked_again,
            address,
            apart_by,
            log,
            config,
            places: Places::default(),
            idle,
            vary: OnceLock::new(),
            awaited: OnceLock::new(),
            ids: AtomicU8::new(0),
            has_given: AtomicBool::new(false),
            held: Mutex::new(held),
            given_ahead: Mutex::new(None),
            catch_ups: Groups::default(),
            phase: watch::Sender::new(Phase::Starting),
            presence: watch::Sender::default(),
            state: AtomicU8::new(UpstreamState::Connecting as u8),
            retry: AtomicU64::new(0),
            counted: Mutex::new(Some(Stats::default())),
        }
    }

    /// Whether a client with this key shares it, as far as is known.
    pub(super) fn is_for(&self, key: &Hash, fields: &HeaderMap) -> bool {
        match &self.of {
            Of::Key {
                key: own,
                is_joined: true,
                ..
            } => {
                own == key
                    && self
                        .vary
                        .get()
                        .map_or_else(|| self.awaits(fields), |vary| vary.suits(fields))
            }
            Of::Key { .. } | Of::Client(_) => false,
        }
    }

    /// Whether a client with one of its ids may have been its client: one that is not shared is for who asks for the same
    /// in all fields.
    pub(super) fn knows(&self, key: &Hash, full: &Hash, fields: &HeaderMap) -> bool {
        match &self.of {
            Of::Key { full: own, .. } => own == full || self.is_for(key, fields),
            Of::Client(_) => false,
        }
    }

    /// Its answer will differ by fields of these names, as far as is known.
    pub(super) fn await_for(&self, names: &[HeaderName], fields: &HeaderMap) {
        let _ = self.awaited.set(Vary::by(names, fields));
    }

    /// Whether the answer to come is for a request with these fields, as far as is known.
    fn awaits(&self, fields: &HeaderMap) -> bool {
        self.awaited
            .get()
            .is_none_or(|awaited| awaited.suits(fields))
    }

    /// Whether all who wait for the answer have the same in this field.
    pub(super) fn awaits_by(&self, name: &HeaderName) -> bool {
        let awaited = self.awaited.get().map_or(Vec::new(), Vary::names);
        awaited.contains(name)
    }

    /// For whom else the answer is, once it has come.
    pub(super) fn vary(&self) -> Option<&Vary> {
        self.vary.get()
    }

    pub(super) fn set_vary(&self, vary: Vary) {
        let _ = self.vary.set(vary);
    }

    /// Whether it is an answer that has ended before it was whole, and clients are to see that.
    pub(super) fn is_broken(&self) -> bool {
        let is_whole = match self.phase() {
            Phase::Ended(_, how) => matches!(how, Ended::Finished | Ended::NoContent),
            Phase::Starting | Phase::Open(_) | Phase::Refused(_) => true,
        };
        self.config.breaks && !self.is_asked_again && !is_whole
    }

    /// Whether it can be replayed, and that is all.
    pub(super) fn has_finished(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Ended(..))
    }

    /// A client was given an id.
    pub(super) fn gives_ids(&self) {
        if !self.has_given.load(Ordering::Relaxed) {
            self.has_given.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the upstream has sent events, and no id.
    pub(super) fn has_no_ids(&self) -> bool {
        self.ids.load(Ordering::Relaxed) == 1
    }

    /// The upstream has sent events, with an id or not.
    pub(super) fn saw_events(&self, with_id: bool) {
        let known = if with_id { 2 } else { 1 };
        if self.ids.load(Ordering::Relaxed) < known {
            self.ids.store(known, Ordering::Relaxed);
        }
    }

    /// It holds more of the budget.
    pub(super) fn hold(&self, more: Reserved) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.join(more);
    }

    /// It holds nothing of the budget any more, and gives back so many bytes.
    pub(super) fn give_back(&self) -> usize {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *held).bytes()
    }

    /// Ends it, unless it has a client.
    pub(super) fn evict(&self) -> bool {
        self.presence.send_if_modified(|presence| {
            let goes = presence.clients == 0;
            presence.evicted |= goes;
            presence.closed |= goes;
            goes
        })
    }

    /// Waits until it is to make room for others.
    pub(super) async fn evicted(&self) {
        let mut presence = self.presence.subscribe();
        // The sender is in `self`.
        let _ = presence.wait_for(|presence| presence.evicted).await;
    }

    /// A client comes, unless the relay is about to go.
    pub(super) fn join(self: &Arc<Self>) -> Option<Client> {
        let mut is_first = false;
        let joined = self.presence.send_if_modified(|presence| {
            presence.clients += usize::from(!presence.closed);
            is_first = presence.clients == 1;
            presence.was_shared |= presence.had_one;
            presence.had_one |= !presence.closed;
            !presence.closed
        });
        joined.then(|| {
            if is_first {
                self.idle.leave(&self.epoch);
            }
            self.config.metrics.clients(1.0);
            Client {
                relay: self.clone(),
            }
        })
    }

    /// Whether the client that opened it was the only one so far.
    pub(super) fn had_one_client(&self) -> bool {
        !self.presence.borrow().was_shared
    }

    pub(super) fn clients(&self) -> usize {
        self.presence.borrow().clients
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.presence.send_modify(|presence| presence.closed = true);
    }

    /// Waits until the last client has left, and left for good. Nobody is let in then.
    pub(super) async fn abandoned(&self) {
        let linger = match self.config.on_leave {
            OnLeave::Finish => return self.evicted().await,
            OnLeave::Cancel => Duration::ZERO,
            OnLeave::Linger(time) => time,
        };
        let mut presence = self.presence.subscribe();
        loop {
            let empty = presence.wait_for(|presence| presence.clients == 0).await;
            drop(empty);
            // Who was given no id cannot find it again.
            let is_lost =
                matches!(self.of, Of::Client(_)) && !self.has_given.load(Ordering::Relaxed);
            let linger = if is_lost { Duration::ZERO } else { linger };
            let change = presence.wait_for(|presence| presence.clients > 0 || presence.evicted);
            let _ = timeout(linger, change).await;
            let closed = self.presence.send_if_modified(|presence| {
                presence.closed |= presence.clients == 0;
                presence.closed
            });
            if closed {
                return;
            }
        }
    }

    /// Waits while it can be replayed.
    pub(super) async fn kept(&self, time: Duration) {
        let _ = timeout(time, self.evicted()).await;
    }

    /// Asks servers to let those go who do not read, and never ends.
    pub(super) async fn hang_up_on_slow(&self) {
        match self.config.slow_client {
            SlowClient::Disconnect => self.places.look_after(&self.log).await,
            SlowClient::Skip | SlowClient::Latest => pending().await,
        }
    }

    /// A client was given the event with this id of the upstream by a request of its own.
    pub(super) fn gave_ahead(&self, upstream: &Bytes) {
        let mut known = self.given_ahead();
        let is_further = known
            .as_deref()
            .is_none_or(|known| order(upstream, known) != Some(cmp::Ordering::Less));
        if is_further {
            *known = Some(upstream.clone());
        }
    }

    /// Whether some client was given the event with this id, or one behind it, before the log had it.
    pub(super) fn has_given_ahead(&self, upstream: &[u8]) -> bool {
        let known = self.given_ahead();
        let order = known.as_deref().and_then(|known| order(upstream, known));
        order.is_some_and(cmp::Ordering::is_le)
    }

    /// The upstream counts anew: what was given by its earlier ids says nothing of those to come.
    pub(super) fn begins_anew(&self) {
        *self.given_ahead() = None;
        self.catch_ups.close();
    }

    fn given_ahead(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.given_ahead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Waits until it is known what the upstream gives.
    pub(super) async fn settled(&self) -> Phase {
        let mut phase = self.phase.subscribe();
        let settled = phase
            .wait_for(|phase| !matches!(phase, Phase::Starting))
            .await;
        match settled {
            Ok(phase) => phase.clone(),
            // The sender is in `self`.
            Err(_) => Phase::Ended(None, Ended::Left),
        }
    }

    pub(super) fn state(&self) -> UpstreamState {
        match self.state.load(Ordering::Relaxed) {
            0 => UpstreamState::Connecting,
            1 => UpstreamState::Connected,
            2 => UpstreamState::Waiting,
            _ => UpstreamState::Ended,
        }
    }

    /// Counts what has become of the log; when the relay goes, all that is left of it goes too.
    pub(super) fn count(&self, goes: bool) {
        if !self.config.metrics.is_on() {
            return;
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = counted.take() else { return };
        let mut stats = self.log.stats();
        if goes {
            stats.events = 0;
            stats.bytes = 0;
        }
        self.config.metrics.history(&before, &stats);
        *counted = Some(stats).filter(|_| !goes);
    }

    pub(super) fn retry(&self) -> Option<Duration> {
        let millis = self.retry.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(millis))
    }

    pub(super) fn set_retry(&self, retry: Option<Duration>) {
        let millis = retry.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let stored = millis.map_or(0, |millis| millis.saturating_add(1));
        self.retry.store(stored, Ordering::Relaxed);
    }

    pub(super) fn set_state(&self, state: UpstreamState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }
}

impl std::ops::Deref for Client {
    type Target = Arc<Relay>;

    fn deref(&self) -> &Arc<Relay> {
        &self.relay
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.relay.config.metrics.clients(-1.0);
        let mut is_last = false;
        self.relay.presence.send_modify(|presence| {
            presence.clients -= 1;
            is_last = presence.clients == 0 && !presence.closed;
        });
        if is_last {
            self.relay.idle.enter(&self.relay);
        }
    }
}
