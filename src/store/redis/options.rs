//! How a store is used, before it is connected to.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::address::Address;
use super::find::Finder;
use super::serve::First;
use super::session::Place;
use super::tls::Certificates;
use super::{Keys, Lifetimes, Partitions, RedisStore, Secret, StoreError};
use crate::relay;
use crate::store::outside::Hub;

/// How long a log is kept that nobody reads or writes, unless it is set.
const LIFETIME: Duration = Duration::from_secs(6 * 60);
const PREFIX: &str = "sse";

/// What becomes of a stream that begins while the store is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WhenAway {
    /// Its clients wait until the store is back, for as long as a lost upstream is tried again.
    #[default]
    Wait,
    /// It is this process' own until it ends: each process asks the upstream for itself.
    Local,
}

/// Who has an event before clients are given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Acknowledge {
    /// The primary.
    #[default]
    Primary,
    /// A replica too (`WAIT 1 100`).
    Replica,
    /// The primary's disk too (`WAITAOF 1 0 100`), with `appendonly yes`. Redis 7.2 is needed.
    Disk,
}

/// How a [`RedisStore`] is used, before it is connected to.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    prefix: String,
    lifetime: Duration,
    when_away: WhenAway,
    is_sealed: bool,
    acknowledge: Acknowledge,
    certificates: Certificates,
}

/// A store, where it is, and who is told when it has no users any more.
type Parts = (RedisStore, Place, mpsc::Receiver<()>);

impl RedisOptions {
    pub(super) fn new() -> Self {
        RedisOptions {
            prefix: PREFIX.to_owned(),
            lifetime: LIFETIME,
            when_away: WhenAway::Wait,
            is_sealed: false,
            acknowledge: Acknowledge::Primary,
            certificates: Certificates::default(),
        }
    }

    /// Sets what the names of all keys and channels begin with. Default: `sse`.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long the server keeps a stream whose upstream no process reads any more, from its last event on. It should be
    /// longer than the history keeps an event, and the same in all processes: the one that reads the upstream has a silent
    /// stream kept when a quarter of it is over. Default: 6 min.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets what becomes of a stream that begins while the store is away. Default: its clients wait.
    #[must_use]
    pub fn with_when_away(mut self, when_away: WhenAway) -> Self {
        self.when_away = when_away;
        self
    }

    /// Sets whether all that is stored of events is sealed (ChaCha20-Poly1305, RFC 8439) with keys made of the secret, so that
    /// whoever reads or writes in the server can neither read an event nor make one. All processes that share streams do so, or
    /// none: what is written in the other way is left alone. Default: it is not.
    #[must_use]
    pub fn with_seal(mut self, is_sealed: bool) -> Self {
        self.is_sealed = is_sealed;
        self
    }

    /// Sets who has an event before clients are given it. What is not acknowledged within 100 ms is given all the same, and counted in
    /// [`StoreStats::unacknowledged`](super::StoreStats). It narrows what a failover or restart of the server can lose together with the
    /// process that asks the upstream, at the price of a round trip more. Default: the primary.
    #[must_use]
    pub fn with_acknowledge(mut self, acknowledge: Acknowledge) -> Self {
        self.acknowledge = acknowledge;
        self
    }

    /// Sets whose certificates are trusted where the address begins with `rediss://`, as PEM. Default: those that the system trusts.
    #[cfg(feature = "redis-tls")]
    #[must_use]
    pub fn with_ca(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.certificates.ca = Some(certificates.into());
        self
    }

    /// Sets the certificate that is shown to the server, with those that lead from it to one that the server knows, and its
    /// private key, as PEM. Default: none.
    #[cfg(feature = "redis-tls")]
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        certificates: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.own = Some((certificates.into(), key.into()));
        self
    }

    /// Connects; see [`RedisStore::connect`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn connect(
        self,
        url: &str,
        secret: impl AsRef<[u8]>,
    ) -> Result<RedisStore, StoreError> {
        let (store, place, users) = self.store(url, secret.as_ref())?;
        let first = First::connect(&place, &store.hub).await?;
        tokio::spawn(first.serve(store.hub.clone(), place, users));
        Ok(store)
    }

    /// Does not wait for the server, which may come later: as if it had been lost.
    ///
    /// # Errors
    ///
    /// When the secret is too short, the address is none, or a certificate or key cannot be used.
    ///
    /// # Panics
    ///
    /// Outside of a runtime of tokio.
    pub fn open(self, url: &str, secret: impl AsRef<[u8]>) -> Result<RedisStore, StoreError> {
        let (store, place, users) = self.store(url, secret.as_ref())?;
        tokio::spawn(First::of(&place).serve(store.hub.clone(), place, users));
        Ok(store)
    }

    fn store(self, url: &str, secret: &[u8]) -> Result<Parts, StoreError> {
        let names = Secret::new(secret).ok_or_else(StoreError::secret)?;
        let relays = relay::Secret::new(secret).map_err(|_| StoreError::secret())?;
        let address = Address::parse(url)?;
        let tls = address.is_tls.then(|| self.certificates.tls());
        let tls = tls.transpose()?;
        let database = address.login.db();
        let finder = Finder::new(address, tls);
        let partitions = match finder.is_cluster() {
            true => Partitions::of_cluster(),
            false => Partitions::single(),
        };
        let count = partitions.count();
        // Channels are of all databases.
        let prefix = match database {
            0 => self.prefix,
            database => format!("{}:{database}", self.prefix),
        };
        let mut keys = Keys::new(&prefix, partitions);
        if self.is_sealed {
            keys = keys.with_seal(names.seal());
        }
        let (user, users) = mpsc::channel(1);
        let hub = Hub::new(relay::random_bits(), names, self.lifetime, count);
        let store = RedisStore {
            hub: Arc::new(hub),
            secret: relays,
            route: Arc::from(""),
            when_away: self.when_away,
            _user: user,
        };
        let place = Place {
            finder,
            acknowledge: self.acknowledge,
            keys,
            lifetimes: Lifetimes {
                log: self.lifetime,
                ended: self.lifetime,
            },
        };
        Ok((store, place, users))
    }
}
