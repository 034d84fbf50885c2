//! The relays that there are, and how a request finds its own.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, request};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

use super::RelayInfo;
use super::apart::{self, Said};
use super::config::Config;
use super::idle::Idle;
use super::keyed::Keyed;
use super::last_event_id::LastEventId;
use super::metrics::Refused;
use super::outside::{Wanted, Way};
use super::passed::{Known, Passed};
use super::secret::Hash;
use super::shared::{Client, Ended, Of, Parts, Phase, Relay};
use super::vary::Vary;
use super::{catch_up, random, room};
use crate::history::{History, Log};
use crate::wire::Epoch;

mod own;
mod reach;

pub(super) use own::Followed;
use reach::Reach;

pub(super) struct Registry<H> {
    pub(super) history: H,
    relays: Mutex<Relays>,
    pub(super) idle: Arc<Idle>,
    pub(super) catch_ups: catch_up::Bounds,
    /// When it was said last that there is no room.
    pub(super) complained: Mutex<Option<Instant>>,
}

pub(super) struct Relays {
    by_key: HashMap<Hash, Vec<Arc<Relay>>>,
    /// All of them: those that finished can be found by their ids after another began under their key.
    pub(super) by_epoch: HashMap<Epoch, Arc<Relay>>,
    passed: Passed,
    /// The relay that began last for a target.
    by_target: HashMap<Hash, Epoch>,
    said: Said,
}

/// A request that looks for the relay of its key.
pub(super) struct Ask<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) request: &'a request::Parts,
    pub(super) keyed: &'a Keyed,
    pub(super) last: Option<&'a LastEventId>,
    pub(super) address: Option<IpAddr>,
    /// Whether it waits for another's answer, and asks for others too.
    pub(super) is_named: bool,
    /// With it a relay that finished is not taken.
    pub(super) anew: bool,
}

/// By what a request has found its relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Key,
    Id,
}

/// What becomes of a request.
pub(super) enum Entry<L> {
    Join(Client, By),
    /// It is the first, and has to make the upstream request, with the client's own in fields of these names.
    Lead(Opened<L>, Vec<HeaderName>),
    /// The same, and nobody else waits for its answer.
    Alone(Opened<L>, Vec<HeaderName>),
    /// It makes its own request.
    Own,
    /// There are too many.
    Full(Refused),
}

/// A relay that was made, with the client that it was made for.
pub(super) struct Opened<L> {
    pub(super) client: Client,
    /// For its task to append to.
    pub(super) log: L,
}

/// What a relay begins as.
struct Opening<'a> {
    config: &'a Arc<Config>,
    request: &'a request::Parts,
    of: Of,
    address: Option<IpAddr>,
    /// What the upstream is asked to go on behind.
    behind: Option<&'a [u8]>,
    /// How other processes find it, if they may.
    reach: Reach,
}

impl<H> Registry<H> {
    pub(super) fn new(history: H) -> Self {
        Registry {
            history,
            relays: Mutex::new(Relays {
                by_key: HashMap::new(),
                by_epoch: HashMap::new(),
                passed: Passed::default(),
                by_target: HashMap::new(),
                said: Said::default(),
            }),
            idle: Arc::new(Idle::new()),
            catch_ups: catch_up::Bounds::new(),
            complained: Mutex::new(None),
        }
    }

    pub(super) fn history(&self) -> &H {
        &self.history
    }
}

impl<H: History> Registry<H> {
    /// Finds the relay of a request whose stream is shared, or makes it.
    pub(super) fn enter(&self, ask: &Ask<'_>) -> Entry<H::Log> {
        let Ask { keyed, last, .. } = *ask;
        let fields = &ask.request.headers;
        let mut relays = self.lock();
        let by_id = last
            .and_then(LastEventId::epoch)
            .and_then(|epoch| relays.by_epoch.get(&epoch))
            .filter(|relay| relay.knows(&keyed.hash, &keyed.full, fields));
        if let Some(client) = by_id.and_then(Relay::join) {
            return Entry::Join(client, By::Id);
        }
        let family = relays.by_key.get(&keyed.hash).map_or(&[][..], |all| all);
        // Who asked for the same before has told by which fields the answers differ.
        let known = relays.passed.of(&keyed.hash);
        let names = match (family.iter().find_map(|relay| relay.vary()), known) {
            (Some(vary @ Vary::Fields(_)), _) => vary.names(),
            (_, Some(Known::Differs(names))) => names.clone(),
            _ => Vec::new(),
        };
        for relay in family {
            let may_join = match relay.phase() {
                Phase::Starting => ask.is_named,
                Phase::Ended(_, Ended::Finished | Ended::Failed) => {
                    last.is_some() && !ask.anew && ask.is_named
                }
                // An end that an event source is to be told.
                Phase::Ended(..) => ask.is_named,
                // One that was opened early is yet to be one.
                Phase::Open(_) => ask.is_named || relay.vary().is_some(),
                Phase::Refused(_) => false,
            };
            if may_join && relay.is_for(&keyed.hash, fields) {
                if let Some(client) = relay.join() {
                    return Entry::Join(client, By::Key);
                }
            }
        }
        if !ask.is_named {
            return Entry::Own;
        }
        let is_alone = match known {
            Some(Known::Private) if !keyed.is_whole => return Entry::Own,
            Some(Known::Private | Known::NoStream) => true,
            Some(Known::Differs(_)) | None => false,
        };
        let is_private = matches!(known, Some(Known::Private));
        let is_for_all = names.is_empty() && !is_private;
        let wants_rest = last.is_some() && !ask.anew;
        let opening = Opening {
            config: ask.config,
            request: ask.request,
            of: of_key(keyed, true),
            address: ask.address,
            behind: self.proven(ask),
            reach: match is_for_all {
                true => Reach::ByKey { wants_rest },
                false => Reach::Here,
            },
        };
        match self.open(&mut relays, opening) {
            Ok(opened) if is_alone => Entry::Alone(opened, names),
            Ok(opened) => {
                opened.client.await_for(&names, fields);
                let family = relays.by_key.entry(keyed.hash).or_default();
                family.push(Arc::clone(&opened.client));
                Entry::Lead(opened, names)
            }
            Err(why) => Entry::Full(why),
        }
    }

    /// A stream for which nobody has waited has opened: others find it by its key, unless there is another meanwhile.
    ///
    /// `fields` are those of the client that it was opened for.
    pub(super) fn publish(&self, relay: &Arc<Relay>, fields: &HeaderMap) -> bool {
        let Of::Key { key, .. } = &relay.of else {
            return false;
        };
        let mut relays = self.lock();
        relays.passed.forget(key);
        let family = relays.by_key.entry(*key).or_default();
        let is_there = family
            .iter()
            .any(|relay| matches!(relay.phase(), Phase::Open(_)) && relay.is_for(key, fields));
        if !is_there {
            family.push(Arc::clone(relay));
        }
        !is_there
    }

    /// What the upstream's part of an id is, if it was written by who has our secret, and for this very key.
    pub(super) fn proven<'a>(&self, ask: &Ask<'a>) -> Option<&'a [u8]> {
        let seal = ask.config.secret.seal(&ask.keyed.hash);
        ask.last.and_then(|last| seal.proven(&last.id))
    }

    /// Makes a relay of the stream that a request of its own has given. Others find it by its key if they may and there is
    /// none yet.
    pub(super) fn adopt(
        &self,
        ask: &Ask<'_>,
        may_be_joined: bool,
        is_for_all: bool,
    ) -> Result<Opened<H::Log>, Refused> {
        let keyed = ask.keyed;
        let mut relays = self.lock();
        let opening = Opening {
            config: ask.config,
            request: ask.request,
            of: of_key(keyed, may_be_joined),
            address: ask.address,
            behind: ask.last.and_then(|last| last.upstream.as_deref()),
            reach: match may_be_joined && is_for_all {
                true => Reach::ByKeyIfFree,
                false => Reach::Here,
            },
        };
        let opened = self.open(&mut relays, opening)?;
        // What other processes share is asked for once.
        let is_shared = ask.config.store.is_none() || opened.client.outside().is_some();
        if may_be_joined && is_shared {
            relays.passed.forget(&keyed.hash);
            let family = relays.by_key.entry(keyed.hash).or_default();
            family.push(Arc::clone(&opened.client));
        }
        Ok(opened)
    }

    /// Others do not find it by its key any more.
    pub(super) fn withdraw(&self, relay: &Relay) {
        self.lock().withdraw(relay);
    }

    /// Makes a relay. Where there is no room one without clients goes.
    fn open(&self, relays: &mut Relays, opening: Opening<'_>) -> Result<Opened<H::Log>, Refused> {
        let Opening {
            config,
            request,
            of,
            address,
            behind,
            reach,
        } = opening;
        while relays.by_epoch.len() >= config.max_relays {
            let goes = self.idle.make_room(address);
            self.let_go(relays, &*goes.ok_or(Refused::Relays)?);
        }
        let (label, seal, epoch) = match &of {
            Of::Key {
                key,
                full,
                is_joined,
                ..
            } => {
                let by = config.key.clone().unwrap_or_default();
                let epoch = config.tagged(Epoch::from_bits(random::bits() as u64));
                // Nobody's own id is to prove anything of the stream that is shared.
                let seal = config.secret.seal(if *is_joined { key } else { full });
                (by.label(&config.secret, request), seal, epoch)
            }
            Of::Client(binding) => {
                let label = super::Key::default().label(&config.secret, request);
                let epoch = match reach {
                    Reach::Found { epoch, .. } => epoch,
                    _ => config.tagged(Epoch::from_secret(random::bits())),
                };
                (label, config.secret.seal(binding), epoch)
            }
        };
        let bytes = room::of_relay(config, &label, &of, request);
        let held = self
            .reserve_in(relays, bytes, address)
            .ok_or(Refused::Budget)?;
        let apart_by = relays
            .last_of(&of)
            .and_then(|last| apart::by(&of, &last.of));
        if let Some(name) = &apart_by {
            relays.said.say(name);
        }
        let behind = behind.map(Bytes::copy_from_slice);
        let is_asked_again = match reach {
            Reach::Found { is_asked_again, .. } => is_asked_again,
            _ => request.method == Method::GET,
        };
        let store = config.store.as_ref();
        let wanted = reach.wanted(&of, epoch, is_asked_again);
        // Another process may have begun what is shared, behind another id: this log says so itself.
        let is_others = store.is_some()
            && matches!(
                wanted,
                Some(Way::Key {
                    is_answered: false,
                    ..
                })
            );
        let begins = behind.clone().filter(|_| !is_others);
        let log = self.history.open(epoch, seal.clone(), begins);
        let outside = store.zip(wanted).and_then(|(store, way)| {
            let seal = &seal;
            store.stream(config, &Wanted { way, seal, behind }, log.replica())
        });
        let relay = Arc::new(Relay::new(Parts {
            log: log.replica().clone(),
            outside,
            of,
            label,
            epoch,
            seal,
            is_asked_again,
            address,
            apart_by,
            config: config.clone(),
            idle: self.idle.clone(),
            held,
        }));
        let client = relay.join().ok_or(Refused::Relays)?;
        if let Of::Key { target, .. } = &relay.of {
            relays.by_target.insert(*target, epoch);
        }
        relays.by_epoch.insert(epoch, relay);
        self.idle.began(address);
        Ok(Opened { client, log })
    }
}

impl<H> Registry<H> {
    /// What the answer to a request for all has said of its key.
    pub(super) fn note(&self, key: Hash, known: Known) {
        self.lock().passed.note(key, known);
    }

    pub(super) fn remove(&self, relay: &Arc<Relay>) {
        self.idle.leave(&relay.epoch);
        if self.lock().forget(relay) {
            self.idle.ended(relay.address);
        }
    }

    fn all(&self) -> Vec<Arc<Relay>> {
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
        let info = |relay: Arc<Relay>| {
            let stats = relay.log.stats();
            RelayInfo {
                key: relay.label.clone(),
                clients: relay.clients(),
                upstream: relay.state(),
                owner: relay.outside().and_then(|stream| stream.owner()),
                events: stats.events,
                bytes: stats.bytes,
                // That of a resumable stream lets people into it.
                last_id: stats.last_id.filter(|_| relay.config.key.is_some()),
                apart_by: relay.apart_by.clone(),
            }
        };
        self.all().into_iter().map(info).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Relays> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relays {
    /// Whether it was there.
    pub(super) fn forget(&mut self, relay: &Relay) -> bool {
        let was_there = self.by_epoch.remove(&relay.epoch).is_some();
        if let Of::Key { target, .. } = &relay.of {
            if self.by_target.get(target) == Some(&relay.epoch) {
                self.by_target.remove(target);
            }
        }
        self.withdraw(relay);
        was_there
    }

    /// Others do not find it by its key any more.
    fn withdraw(&mut self, relay: &Relay) {
        let Of::Key { key, .. } = &relay.of else {
            return;
        };
        if let Some(family) = self.by_key.get_mut(key) {
            family.retain(|one| one.epoch != relay.epoch);
            if family.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    /// The relay that began last for the same target.
    fn last_of(&self, of: &Of) -> Option<&Arc<Relay>> {
        let Of::Key { target, .. } = of else {
            return None;
        };
        self.by_epoch.get(self.by_target.get(target)?)
    }
}

fn of_key(keyed: &Keyed, is_joined: bool) -> Of {
    Of::Key {
        key: keyed.hash,
        full: keyed.full,
        target: keyed.target,
        fields: keyed.fields.clone(),
        is_joined,
    }
}
