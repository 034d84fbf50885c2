//! Finds a stream that is one client's alone where another process has it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, request};
use http_body::Body;
use tokio::time::sleep;

use super::inside::Inside;
use super::last_event_id::LastEventId;
use super::outside::Elsewhere;
use super::registry::{Followed, Opened};
use super::secret::Hash;
use super::service::Relaying;
use super::shared::{Client, Ended};
use super::template::Template;
use super::upstream::Source;
use super::{ClientAddress, note, task};
use crate::history::History;
use crate::wire::Epoch;

/// What is left of an earlier relay is waited for so often, and so long.
const TRIES: usize = 100;
const AGAIN: Duration = Duration::from_millis(20);

/// Nobody can say whether there is one, since the store is away.
pub(super) struct Unknown;

/// A client that comes back.
pub(super) struct Came<'a> {
    pub(super) request: &'a request::Parts,
    pub(super) has_body: bool,
    pub(super) last: &'a LastEventId,
    pub(super) binding: Hash,
}

impl Came<'_> {
    /// Follows its stream, if there is one for who is bound as it is.
    pub(super) async fn find<S, B, R, H>(
        &self,
        with: &Relaying<H>,
        service: S,
    ) -> Result<Option<Client>, Unknown>
    where
        S: Inside<B, R>,
        B: From<Bytes> + Send + 'static,
        R: Body + Send + 'static,
        H: History,
    {
        let epoch = self.last.epoch().filter(Epoch::is_secret);
        let (Some(store), Some(epoch)) = (&with.config.store, epoch) else {
            return Ok(None);
        };
        let found = store.find_own(&epoch, &self.binding, with.config.give_up);
        let note = match found.await {
            Elsewhere::There(note) => note::parse(&note),
            Elsewhere::Nothing => return Ok(None),
            Elsewhere::Unknown => return Err(Unknown),
        };
        if note.as_ref().and_then(|note| note.ended) == Some(Ended::Left) {
            return Ok(None);
        }
        let is_asked_again = note.is_some_and(|note| note.is_asked_again);
        for _ in 0..TRIES {
            match self.follow(with, epoch, is_asked_again) {
                Followed::Joined(client) => return Ok(Some(client)),
                Followed::Opened(opened) => {
                    return Ok(Some(self.begin(with, service, opened)));
                }
                Followed::Full(why) => {
                    with.registry.refuse(&with.config, why);
                    return Ok(None);
                }
                Followed::Busy => sleep(AGAIN).await,
            }
        }
        Ok(None)
    }

    fn follow<H: History>(
        &self,
        with: &Relaying<H>,
        epoch: Epoch,
        is_asked_again: bool,
    ) -> Followed<H::Log> {
        let address = self.request.extensions.get();
        with.registry.follow_own(
            &with.config,
            self.request,
            (epoch, self.binding),
            is_asked_again,
            address.map(|ClientAddress(address)| *address),
        )
    }

    fn begin<S, B, R, H>(&self, with: &Relaying<H>, service: S, opened: Opened<H::Log>) -> Client
    where
        S: Inside<B, R>,
        B: From<Bytes> + Send + 'static,
        R: Body + Send + 'static,
        H: History,
    {
        let Opened { client, log } = opened;
        let can_repeat = self.request.method == Method::GET && !self.has_body;
        let template = can_repeat.then(|| Template::copy(self.request));
        let relay = Arc::clone(&client);
        let registry = with.registry.clone();
        tokio::spawn(task::run(
            relay,
            log,
            registry,
            service,
            template,
            Source::Elsewhere,
        ));
        client
    }
}
