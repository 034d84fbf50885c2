//! The relays that there are, and how a request finds its own.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, header, request};

use super::config::Config;
use super::last_event_id::{LAST_EVENT_ID, LastEventId};
use super::metrics::Replay;
use super::shared::{Client, How, Phase, Relay};
use super::{RelayInfo, random};
use crate::history::{History, Log};
use crate::wire::Epoch;

pub(super) struct Registry<H: History> {
    history: H,
    hasher: [RandomState; 2],
    relays: Mutex<Relays<H::Log>>,
}

struct Relays<L> {
    by_key: HashMap<Vec<u8>, Arc<Relay<L>>>,
    /// All of them: those that finished can be found by their ids after another began under their key.
    by_epoch: HashMap<Epoch, Arc<Relay<L>>>,
}

/// What becomes of a request.
pub(super) enum Entry<L> {
    Join(Client<L>),
    /// It is the first, and has to make the upstream request.
    Lead(Client<L>),
    /// What it asks to go on with is not there, and must not be asked for twice.
    Gone,
    /// There are too many.
    Full,
}

impl<H: History> Registry<H> {
    pub(super) fn new(history: H) -> Self {
        Registry {
            history,
            hasher: [RandomState::new(), RandomState::new()],
            relays: Mutex::new(Relays {
                by_key: HashMap::new(),
                by_epoch: HashMap::new(),
            }),
        }
    }

    pub(super) fn history(&self) -> &H {
        &self.history
    }

    /// Finds the relay of a request, or makes it. With `anew` one that finished is not taken.
    pub(super) fn enter(
        &self,
        config: &Arc<Config>,
        request: &request::Parts,
        body: &[u8],
        last: Option<&LastEventId>,
        anew: bool,
    ) -> Entry<H::Log> {
        let credentials = self.credentials(request);
        let mut relays = self.lock();
        let by_id = last
            .and_then(LastEventId::epoch)
            .and_then(|epoch| relays.by_epoch.get(&epoch));
        let Some(key) = &config.key else {
            if by_id.is_some_and(|relay| relay.credentials != credentials) {
                config.metrics.replay(Replay::Rejected);
            }
            let known = by_id.filter(|relay| relay.credentials == credentials);
            if let Some(client) = known.and_then(Relay::join) {
                return Entry::Join(client);
            }
            let asked = last.is_some_and(|last| last.upstream.is_none());
            if asked && request.method != Method::GET {
                return Entry::Gone;
            }
            let epoch = Epoch::from_secret(random::bits());
            return self.lead(&mut relays, config, request, Vec::new(), credentials, epoch);
        };

        let name = key.of(request, body);
        if let Some(client) = by_id
            .filter(|relay| relay.key == name)
            .and_then(Relay::join)
        {
            return Entry::Join(client);
        }
        if let Some(relay) = relays.by_key.get(&name) {
            let finished = matches!(relay.phase(), Phase::Ended(_, How::Finished | How::Failed));
            if !finished || (last.is_some() && !anew) {
                if let Some(client) = relay.join() {
                    return Entry::Join(client);
                }
            }
        }
        let epoch = Epoch::from_bits(random::bits() as u64);
        self.lead(&mut relays, config, request, name, credentials, epoch)
    }

    fn lead(
        &self,
        relays: &mut Relays<H::Log>,
        config: &Arc<Config>,
        request: &request::Parts,
        key: Vec<u8>,
        credentials: [u64; 2],
        epoch: Epoch,
    ) -> Entry<H::Log> {
        if relays.by_epoch.len() >= config.max_relays {
            return Entry::Full;
        }
        let label = match &config.key {
            Some(key) => key.label(request, &self.hasher[0]),
            None => super::Key::default().label(request, &self.hasher[0]),
        };
        // What it is asked for upstream, it has to give.
        let behind = request.headers.get(&LAST_EVENT_ID);
        let behind = behind.map(|id| Bytes::copy_from_slice(id.as_bytes()));
        let log = self.history.open(epoch, behind);
        let config = config.clone();
        let get = request.method == Method::GET;
        let relay = Arc::new(Relay::new(key, label, credentials, epoch, get, log, config));
        let Some(client) = relay.join() else {
            return Entry::Full;
        };
        if relay.config.key.is_some() {
            relays.by_key.insert(relay.key.clone(), relay.clone());
        }
        relays.by_epoch.insert(epoch, relay);
        Entry::Lead(client)
    }

    pub(super) fn remove(&self, relay: &Arc<Relay<H::Log>>) {
        let mut relays = self.lock();
        relays.by_epoch.remove(&relay.epoch);
        let same = relays.by_key.get(&relay.key);
        if same.is_some_and(|same| Arc::ptr_eq(same, relay)) {
            relays.by_key.remove(&relay.key);
        }
    }

    fn all(&self) -> Vec<Arc<Relay<H::Log>>> {
        self.lock().by_epoch.values().cloned().collect()
    }

    /// Counts what has become of each log, also by the doing of others.
    #[cfg(feature = "metrics")]
    pub(super) fn count(&self) {
        for relay in self.all() {
            relay.count(false);
        }
    }

    pub(super) fn list(&self) -> Vec<RelayInfo> {
        let info = |relay: Arc<Relay<H::Log>>| {
            let stats = relay.log.stats();
            RelayInfo {
                key: relay.label.clone(),
                clients: relay.clients(),
                upstream: relay.state(),
                events: stats.events,
                bytes: stats.bytes,
                // That of a resumable stream lets people into it.
                last_id: stats.last_id.filter(|_| relay.config.key.is_some()),
            }
        };
        self.all().into_iter().map(info).collect()
    }

    fn credentials(&self, request: &request::Parts) -> [u64; 2] {
        let mut all = Vec::new();
        for name in [header::AUTHORIZATION, header::COOKIE] {
            for value in request.headers.get_all(&name) {
                all.push((name.clone(), value.as_bytes()));
            }
        }
        [0, 1].map(|one: usize| self.hasher[one].hash_one(&all))
    }

    fn lock(&self) -> MutexGuard<'_, Relays<H::Log>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
