//! Relays without clients: those that linger, and those that have finished and can be replayed. They are bounded in all and
//! for each client address, so that one client cannot fill all of the room, nor push out what is kept for others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::shared::Relay;
use crate::wire::Epoch;

pub(super) struct Idle {
    all: Mutex<All>,
}

struct All {
    next: u64,
    /// In the order in which their last client left.
    relays: BTreeMap<u64, Entry>,
    by_epoch: HashMap<Epoch, u64>,
    by_address: HashMap<Option<IpAddr>, BTreeSet<u64>>,
    /// How many relays there are of each address, with clients or without.
    of_address: HashMap<IpAddr, usize>,
    /// Those that have finished.
    finished: BTreeSet<u64>,
}

struct Entry {
    relay: Weak<Relay>,
    epoch: Epoch,
    address: Option<IpAddr>,
}

impl Idle {
    pub(super) fn new() -> Self {
        Idle {
            all: Mutex::new(All {
                next: 0,
                relays: BTreeMap::new(),
                by_epoch: HashMap::new(),
                by_address: HashMap::new(),
                of_address: HashMap::new(),
                finished: BTreeSet::new(),
            }),
        }
    }

    /// Its last client has left. If there are too many now, one that makes room ends.
    pub(super) fn enter(&self, relay: &Arc<Relay>) {
        let config = &relay.config;
        let mut all = self.lock();
        all.leave(&relay.epoch);
        let ticket = all.next;
        all.next += 1;
        let address = relay.address.map(network);
        let entry = Entry {
            relay: Arc::downgrade(relay),
            epoch: relay.epoch,
            address,
        };
        all.relays.insert(ticket, entry);
        all.by_epoch.insert(relay.epoch, ticket);
        all.by_address.entry(address).or_default().insert(ticket);
        if relay.has_finished() {
            all.finished.insert(ticket);
        }
        let mut evicted = Vec::new();
        let of_this = all.by_address.get(&address);
        if address.is_some()
            && of_this.is_some_and(|tickets| tickets.len() > config.max_idle_for_client)
        {
            evicted.extend(of_this.and_then(BTreeSet::first).copied());
        } else if all.relays.len() > config.max_idle {
            evicted.extend(all.first_to_go());
        }
        let evicted: Vec<_> = evicted.iter().filter_map(|one| all.take(*one)).collect();
        drop(all);
        for relay in evicted {
            relay.evict();
        }
    }

    /// A client has come, or the relay goes.
    pub(super) fn leave(&self, epoch: &Epoch) {
        self.lock().leave(epoch);
    }

    /// It can still be replayed, and that is all.
    pub(super) fn finished(&self, epoch: &Epoch) {
        let mut all = self.lock();
        if let Some(ticket) = all.by_epoch.get(epoch).copied() {
            all.finished.insert(ticket);
        }
    }

    /// A relay was opened by a client with this address.
    pub(super) fn began(&self, address: Option<IpAddr>) {
        if let Some(address) = address.map(network) {
            *self.lock().of_address.entry(address).or_default() += 1;
        }
    }

    /// It is forgotten.
    pub(super) fn ended(&self, address: Option<IpAddr>) {
        if let Some(address) = address.map(network) {
            let mut all = self.lock();
            if let Some(relays) = all.of_address.get_mut(&address) {
                *relays -= 1;
                if *relays == 0 {
                    all.of_address.remove(&address);
                }
            }
        }
    }

    /// One that is to make room for another of this address, if there is any.
    pub(super) fn make_room(&self, address: Option<IpAddr>) -> Option<Arc<Relay>> {
        let address = address.map(network);
        let mut all = self.lock();
        while let Some(ticket) = all.goes_for(address) {
            let relay = all.take(ticket);
            // It may have a client by now.
            if let Some(relay) = relay.filter(|relay| relay.evict()) {
                return Some(relay);
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    fn leave(&mut self, epoch: &Epoch) {
        if let Some(ticket) = self.by_epoch.get(epoch).copied() {
            self.take(ticket);
        }
    }

    fn take(&mut self, ticket: u64) -> Option<Arc<Relay>> {
        let entry = self.relays.remove(&ticket)?;
        self.by_epoch.remove(&entry.epoch);
        self.finished.remove(&ticket);
        if let Some(tickets) = self.by_address.get_mut(&entry.address) {
            tickets.remove(&ticket);
            if tickets.is_empty() {
                self.by_address.remove(&entry.address);
            }
        }
        entry.relay.upgrade()
    }

    /// Of the address that has the most, the one to go.
    fn first_to_go(&self) -> Option<u64> {
        let most = self
            .by_address
            .values()
            .max_by_key(|tickets| tickets.len())?;
        self.first_of(most)
    }

    /// The same, unless it is of another address that has fewer relays than this: whoever has many open makes room by what
    /// is his own, or not at all.
    fn goes_for(&self, address: Option<IpAddr>) -> Option<u64> {
        let ticket = self.first_to_go()?;
        let of = self.relays.get(&ticket)?.address;
        if of == address || self.relays_of(of) >= self.relays_of(address) {
            return Some(ticket);
        }
        self.first_of(self.by_address.get(&address)?)
    }

    fn relays_of(&self, address: Option<IpAddr>) -> usize {
        let relays = address.and_then(|address| self.of_address.get(&address));
        relays.copied().unwrap_or(0)
    }

    /// The oldest that has finished, or else the oldest.
    fn first_of(&self, tickets: &BTreeSet<u64>) -> Option<u64> {
        let finished = tickets.iter().find(|ticket| self.finished.contains(ticket));
        finished.or(tickets.first()).copied()
    }
}

/// What stands for a client: an IPv6 client has a whole /64 at its hands.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}
