//! Streams that are one client's alone, which are found by their ids.

use std::net::IpAddr;
use std::sync::Arc;

use http::{header, request};

use super::{Opened, Opening, Reach, Registry};
use crate::history::History;
use crate::relay::config::Config;
use crate::relay::keyed::{cookies, joined};
use crate::relay::last_event_id::LastEventId;
use crate::relay::metrics::{Refused, Replay};
use crate::relay::secret::Hash;
use crate::relay::shared::{Client, Of, Relay};
use crate::wire::Epoch;

/// What becomes of a client whose stream another process has.
pub(in crate::relay) enum Followed<L> {
    Joined(Client),
    Opened(Opened<L>),
    /// What is left of an earlier one is about to go.
    Busy,
    Full(Refused),
}

impl<H: History> Registry<H> {
    /// The relay of a stream that is one client's alone.
    pub(in crate::relay) fn open_own(
        &self,
        config: &Arc<Config>,
        request: &request::Parts,
        binding: Hash,
        address: Option<IpAddr>,
        behind: Option<&[u8]>,
    ) -> Result<Opened<H::Log>, Refused> {
        let opening = Opening {
            config,
            request,
            of: Of::Client(binding),
            address,
            behind,
            reach: Reach::ByIds,
        };
        self.open(&mut self.lock(), opening)
    }

    /// The relay of a stream that is one client's alone, and that another process has.
    pub(in crate::relay) fn follow_own(
        &self,
        config: &Arc<Config>,
        request: &request::Parts,
        (epoch, binding): (Epoch, Hash),
        is_asked_again: bool,
        address: Option<IpAddr>,
    ) -> Followed<H::Log> {
        let mut relays = self.lock();
        if let Some(relay) = relays.by_epoch.get(&epoch) {
            let is_bound = matches!(relay.of, Of::Client(bound) if bound == binding);
            let client = is_bound.then(|| Relay::join(relay)).flatten();
            return client.map_or(Followed::Busy, Followed::Joined);
        }
        let opening = Opening {
            config,
            request,
            of: Of::Client(binding),
            address,
            behind: None,
            reach: Reach::Found {
                epoch,
                is_asked_again,
            },
        };
        let opened = match self.open(&mut relays, opening) {
            Ok(opened) => opened,
            Err(why) => return Followed::Full(why),
        };
        if opened.client.outside().is_none() {
            opened.client.close();
            self.let_go(&mut relays, &opened.client);
            return Followed::Busy;
        }
        Followed::Opened(opened)
    }

    /// Finds the stream that is one client's alone by one of its ids.
    pub(in crate::relay) fn find_own(
        &self,
        config: &Config,
        last: &LastEventId,
        binding: &Hash,
    ) -> Option<Client> {
        let relays = self.lock();
        let relay = relays.by_epoch.get(&last.epoch()?)?;
        match &relay.of {
            Of::Client(bound) if bound == binding => Relay::join(relay),
            _ => {
                config.metrics.replay(Replay::Rejected);
                None
            }
        }
    }

    /// What a stream that is one client's alone is bound to.
    pub(in crate::relay) fn binding(
        &self,
        config: &Config,
        request: &request::Parts,
        room: &[u8],
    ) -> Hash {
        let mut fields = config.secret.fields("binding");
        fields.add(room);
        fields.add(request.uri.path().as_bytes());
        for name in &config.bound_fields {
            fields.add(name.as_str().as_bytes());
            fields.add_if_any(joined(&request.headers, name).as_deref());
        }
        if !config.bound_cookies.is_empty() {
            let all = joined(&request.headers, &header::COOKIE).unwrap_or_default();
            fields.add(&cookies(&config.bound_cookies, &all));
        }
        fields.hash()
    }
}
