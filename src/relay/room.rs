//! Makes room for what relays hold beside their events: their number and the budget are bounded.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, request};
use tokio::time::Instant;

use super::config::Config;
use super::metrics::Refused;
use super::registry::{Registry, Relays};
use super::shared::{Of, Relay};
use crate::history::{History, Reserved};

impl<H: History> Registry<H> {
    /// Bytes that are held for a client with this address. Where there is no room, relays without clients go.
    pub(super) fn reserve(&self, bytes: usize, address: Option<IpAddr>) -> Option<Reserved> {
        let held = self.history.reserve(bytes);
        held.or_else(|| self.reserve_in(&mut self.lock(), bytes, address))
    }

    pub(super) fn reserve_in(
        &self,
        relays: &mut Relays,
        bytes: usize,
        address: Option<IpAddr>,
    ) -> Option<Reserved> {
        let mut freed = 0;
        loop {
            let held = self.history.reserve(bytes);
            // No more go than make room for it, also where others take that room.
            if held.is_some() || freed >= bytes {
                return held;
            }
            let goes = self.idle.make_room(address)?;
            freed += self.let_go(relays, &goes);
        }
    }

    /// Forgets a relay that makes room for others, and tells how much. Its task may take a while to end.
    pub(super) fn let_go(&self, relays: &mut Relays, relay: &Relay) -> usize {
        if relays.forget(relay) {
            self.idle.ended(relay.address);
        }
        relay.give_back()
    }

    /// A relay holds so much more of the budget, also where that is more than may be had: its stream is open.
    pub(super) fn hold(&self, relay: &Relay, bytes: usize) {
        match self.reserve(bytes, relay.address) {
            Some(held) => relay.hold(held),
            None => self.refuse(&relay.config, Refused::Budget),
        }
    }

    /// Counts a request that is not relayed, and says so once in a while.
    pub(super) fn refuse(&self, config: &Config, why: Refused) {
        const EVERY: Duration = Duration::from_secs(60);
        config.metrics.refused(why);
        let now = Instant::now();
        let mut last = self
            .complained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.duration_since(last) >= EVERY) {
            *last = Some(now);
            let relays = self.lock().by_epoch.len();
            let why = Refused::ALL[why as usize];
            tracing::warn!(
                why,
                relays,
                "no room for more relays: requests pass by unrelayed"
            );
        }
    }
}

/// The bytes that a relay holds which begins so.
pub(super) fn of_relay(config: &Config, label: &str, of: &Of, request: &request::Parts) -> usize {
    // Who leads has it kept once more, until it is known whom the answer is for.
    let heads = 1 + usize::from(config.opens_early());
    label.len() + RELAY + fields_of(of) + heads * head_of(request)
}

/// What a relay takes beside what is counted for it: itself, its entries in the registry, and the state of its task.
const RELAY: usize = 2_048;

fn fields_of(of: &Of) -> usize {
    match of {
        Of::Key { fields, .. } => fields.len() * 64,
        Of::Client(_) => 0,
    }
}

/// The request's head, which is kept to make the request again.
fn head_of(request: &request::Parts) -> usize {
    fn bytes(headers: &HeaderMap) -> usize {
        let field =
            |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 64;
        headers.iter().map(field).sum()
    }
    bytes(&request.headers) + request.uri.path().len() + request.uri.query().map_or(0, str::len)
}
