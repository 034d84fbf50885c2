//! What a relay's task and its clients share.

use std::future::pending;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use tokio::sync::watch;

use super::catch_up::Groups;
use super::config::Config;
use super::hangup::Watchdog;
use super::idle::Idle;
use super::vary::Vary;
use super::{SlowClient, UpstreamState, outside};
use crate::history::{MemoryLog, Reserved, Seal, Stats};
use crate::wire::Epoch;

mod client;
mod ids;
mod phase;
mod whom;

pub(super) use client::Client;
use client::Presence;
pub(super) use phase::{Ended, Phase, Refusal};
pub(super) use whom::Of;

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
    /// What other processes have of it.
    outside: Option<Arc<outside::Stream>>,
    pub(super) config: Arc<Config>,
    pub(super) watchdog: Watchdog,
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
    pub(super) outside: Option<Arc<outside::Stream>>,
    pub(super) config: Arc<Config>,
    pub(super) idle: Arc<Idle>,
    pub(super) held: Reserved,
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
            outside,
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
            outside,
            config,
            watchdog: Watchdog::default(),
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

    /// Asks servers to let those go who do not read, and never ends.
    pub(super) async fn hang_up_on_slow(&self) {
        match self.config.slow_client {
            SlowClient::Disconnect => self.watchdog.look_after(&self.log).await,
            SlowClient::Skip | SlowClient::Latest => pending().await,
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

    /// What other processes have of it, if they have.
    #[inline]
    pub(super) fn outside(&self) -> Option<&Arc<outside::Stream>> {
        self.outside.as_ref().filter(|stream| !stream.is_alone())
    }

    /// Whether numbers of this epoch count its events.
    pub(super) fn knows_epoch(&self, epoch: Option<Epoch>) -> bool {
        match (self.outside(), epoch) {
            (Some(stream), Some(epoch)) => stream.knows(epoch),
            _ => epoch == Some(self.epoch),
        }
    }

    pub(super) fn retry(&self) -> Option<Duration> {
        if let Some(stream) = self.outside() {
            return stream.retry();
        }
        let millis = self.retry.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(millis))
    }

    pub(super) fn set_retry(&self, retry: Option<Duration>) {
        let millis = retry.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let stored = millis.map_or(0, |millis| millis.saturating_add(1));
        self.retry.store(stored, Ordering::Relaxed);
    }
}
