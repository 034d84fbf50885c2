//! What a relay's task and its clients share.

use std::future::pending;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header, response};
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

use super::config::Config;
use super::hangup::Places;
use super::{OnLeave, SlowClient, UpstreamState};
use crate::history::{Log, Stats};
use crate::stage::ABOUT_THE_BYTES;
use crate::wire::Epoch;

pub(super) struct Relay<L> {
    pub(super) key: Vec<u8>,
    pub(super) label: String,
    /// A hash of the credentials of the request that opened it.
    pub(super) credentials: [u64; 2],
    pub(super) epoch: Epoch,
    /// Whether clients ask again by themselves when it ends, as they do for a GET.
    pub(super) is_asked_again: bool,
    pub(super) log: L,
    pub(super) config: Arc<Config>,
    pub(super) places: Places,
    phase: watch::Sender<Phase>,
    presence: watch::Sender<Presence>,
    state: AtomicU8,
    /// The reconnection time of the upstream, in milliseconds and one more; zero while there is none.
    retry: AtomicU64,
    /// What of the log was counted already; none when it has gone, and with it all that was.
    counted: Mutex<Option<Stats>>,
}

#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// There is no head yet.
    Starting,
    Open(Arc<Head>),
    /// The upstream gave no event stream.
    Refused(Refusal),
    Ended(Option<Arc<Head>>, How),
}

#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// For all who wait: an error.
    Same(Arc<Head>),
    /// For who asked alone.
    Own,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
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
}

/// The head of a response, without what is not for all.
#[derive(Debug)]
pub(super) struct Head {
    status: StatusCode,
    headers: HeaderMap,
    set_cookie: Vec<HeaderValue>,
}

#[derive(Debug, Default)]
struct Presence {
    clients: usize,
    closed: bool,
}

/// A client of a relay, from its request to the end of its body.
pub(super) struct Client<L> {
    relay: Arc<Relay<L>>,
}

impl<L> Relay<L> {
    pub(super) fn new(
        key: Vec<u8>,
        label: String,
        credentials: [u64; 2],
        epoch: Epoch,
        is_asked_again: bool,
        log: L,
        config: Arc<Config>,
    ) -> Self {
        Relay {
            key,
            label,
            credentials,
            epoch,
            is_asked_again,
            log,
            config,
            places: Places::default(),
            phase: watch::Sender::new(Phase::Starting),
            presence: watch::Sender::default(),
            state: AtomicU8::new(UpstreamState::Connecting as u8),
            retry: AtomicU64::new(0),
            counted: Mutex::new(Some(Stats::default())),
        }
    }

    /// A client comes, unless the relay is about to go.
    pub(super) fn join(self: &Arc<Self>) -> Option<Client<L>> {
        let joined = self.presence.send_if_modified(|presence| {
            presence.clients += usize::from(!presence.closed);
            !presence.closed
        });
        joined.then(|| {
            self.config.metrics.clients(1.0);
            Client {
                relay: self.clone(),
            }
        })
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
            OnLeave::Finish => return pending().await,
            OnLeave::Cancel => Duration::ZERO,
            OnLeave::Linger(time) => time,
        };
        let mut presence = self.presence.subscribe();
        loop {
            let empty = presence.wait_for(|presence| presence.clients == 0).await;
            drop(empty);
            let back = timeout(linger, presence.wait_for(|presence| presence.clients > 0));
            let is_back = back.await.is_ok();
            let closed = !is_back
                && self.presence.send_if_modified(|presence| {
                    presence.closed |= presence.clients == 0;
                    presence.closed
                });
            if closed {
                return;
            }
        }
    }

    /// Asks servers to let those go who do not read, and never ends.
    pub(super) async fn hang_up_on_slow(&self)
    where
        L: Log,
    {
        match self.config.slow_client {
            SlowClient::Disconnect => self.places.look_after(&self.log).await,
            SlowClient::Skip | SlowClient::Latest => pending().await,
        }
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
            Err(_) => Phase::Ended(None, How::Left),
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
    pub(super) fn count(&self, goes: bool)
    where
        L: Log,
    {
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

impl<L> std::ops::Deref for Client<L> {
    type Target = Arc<Relay<L>>;

    fn deref(&self) -> &Arc<Relay<L>> {
        &self.relay
    }
}

impl<L> Drop for Client<L> {
    fn drop(&mut self) {
        self.relay.config.metrics.clients(-1.0);
        self.relay
            .presence
            .send_modify(|presence| presence.clients -= 1);
    }
}

impl Head {
    /// What of this head is for all.
    pub(super) fn of(response: &response::Parts) -> Self {
        let mut headers = response.headers.clone();
        let set_cookie = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .cloned()
            .collect();
        headers.remove(header::SET_COOKIE);
        for name in ABOUT_THE_BYTES {
            headers.remove(name);
        }
        Head {
            status: response.status,
            headers,
            set_cookie,
        }
    }

    /// The same of an error, whose body is not there for all.
    pub(super) fn of_error(response: &response::Parts) -> Self {
        let mut head = Self::of(response);
        for name in [
            header::CONTENT_TYPE,
            header::CONTENT_ENCODING,
            header::TRANSFER_ENCODING,
        ] {
            head.headers.remove(name);
        }
        head
    }

    /// One of ours, while there is none of the upstream.
    pub(super) fn own() -> Self {
        let event_stream = HeaderValue::from_static("text/event-stream");
        let no_cache = HeaderValue::from_static("no-cache");
        let fields = [
            (header::CONTENT_TYPE, event_stream),
            (header::CACHE_CONTROL, no_cache),
        ];
        Head {
            headers: fields.into_iter().collect(),
            ..Self::status(StatusCode::OK)
        }
    }

    pub(super) fn status(status: StatusCode) -> Self {
        Head {
            status,
            headers: HeaderMap::new(),
            set_cookie: Vec::new(),
        }
    }

    pub(super) fn response<B>(&self, with_cookies: bool, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        if with_cookies {
            for cookie in &self.set_cookie {
                response
                    .headers_mut()
                    .append(header::SET_COOKIE, cookie.clone());
            }
        }
        response
    }
}
