//! A Redis server as the store of the streams of several processes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::session::{Place, serve};
use super::{Keys, Lifetimes, Partitions, Secret, StoreError};
use crate::relay;
use crate::store::outside::Hub;
use crate::wire::Epoch;

/// How long a log is kept that nobody reads or writes, unless it is set.
const LIFETIME: Duration = Duration::from_secs(6 * 60);
const PREFIX: &str = "sse";
/// So long it is waited for that others have been told.
const PARTING: Duration = Duration::from_secs(1);

/// A Redis server that keeps the streams which several processes share.
///
/// Each process that is given the same server, the same secret and the same prefix is one of them. For each stream one of
/// them asks the upstream, and all give its events to their clients, with the same ids: a client may come back to any of them. When
/// the one that asks dies, another goes on within two seconds.
///
/// Redis 7.0 is needed, or what speaks as it does, as one primary. What is kept there is named by hashes that nobody can
/// make without the secret; the events themselves are not encrypted. No credentials are kept.
///
/// It needs a runtime of tokio, in which the connections are served for as long as there is a clone of it. Where the server is lost,
/// it is connected to again and again; clients that are there wait meanwhile, and nothing is lost.
///
/// # Example
///
/// ```no_run
/// use tower_sse::relay::{Key, RelayLayer};
/// use tower_sse::store::RedisStore;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let secret = std::fs::read("/run/secrets/sse-store")?;
/// let store = RedisStore::connect("redis://127.0.0.1", secret).await?;
/// let relays = RelayLayer::shared(Key::default()).with_store(store);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    pub(crate) hub: Arc<Hub>,
    pub(crate) secret: relay::Secret,
    route: Arc<str>,
    pub(crate) when_away: WhenAway,
    /// Closed once nobody has the store any more.
    _user: mpsc::Sender<()>,
}

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

/// How a [`RedisStore`] is used, before it is connected to.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    prefix: String,
    lifetime: Duration,
    when_away: WhenAway,
    is_sealed: bool,
}

/// What has happened to the streams of a store in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Whether the store is connected to.
    pub is_up: bool,
    /// Streams that are followed.
    pub streams: usize,
    /// Streams of which this process asks the upstream.
    pub owned: usize,
    /// How often this process has begun to ask an upstream, for itself and the others.
    pub terms: u64,
    /// Batches of events that were appended.
    pub appended: u64,
    /// Batches that were refused, since another process had taken over, or the store has forgotten something.
    pub refused: u64,
    /// How often the store was connected to.
    pub connections: u64,
    /// Streams that were left alone, since what the store has of them cannot be used.
    pub left_alone: u64,
}

impl RedisStore {
    /// Connects with the server at an address such as `redis://user:password@host:6379` or `unix:///run/redis.sock`.
    ///
    /// The secret has at least 32 bytes that are not guessed, as `openssl rand -hex 32` writes them, and is the same in each
    /// process. The keys of streams and the checks in their ids are made with it.
    ///
    /// # Errors
    ///
    /// - When the secret is too short.
    /// - When the address is none, or there is no server, or it asks for another password.
    /// - When the server is a replica, or older than Redis 7.0.
    /// - When its user may not do all that is needed; the error names what is missing.
    /// - When its `maxmemory` is reached.
    pub async fn connect(url: &str, secret: impl AsRef<[u8]>) -> Result<Self, StoreError> {
        Self::options().connect(url, secret).await
    }

    /// Options, to be set before it is connected to.
    pub fn options() -> RedisOptions {
        RedisOptions {
            prefix: PREFIX.to_owned(),
            lifetime: LIFETIME,
            when_away: WhenAway::Wait,
            is_sealed: false,
        }
    }

    /// The same store for another route. Streams of two routes are two streams, also where their requests look the same.
    #[must_use]
    pub fn for_route(&self, route: impl Into<Arc<str>>) -> Self {
        RedisStore {
            route: route.into(),
            ..self.clone()
        }
    }

    /// Hands all streams over, so that other processes go on at once and not once this one is not heard any more. To be called
    /// when the process is about to end, behind its last client: no stream goes on here.
    pub async fn leave(&self) {
        for stream in self.hub.streams() {
            stream.detach();
        }
        self.hub.flush(PARTING).await;
    }

    /// What has happened so far.
    pub fn stats(&self) -> StoreStats {
        let streams = self.hub.streams();
        let counts = &self.hub.counts;
        StoreStats {
            is_up: self.hub.session().is_some(),
            streams: streams.len(),
            owned: streams.iter().filter(|stream| stream.is_owner()).count(),
            terms: counts.terms.load(Ordering::Relaxed),
            appended: counts.appended.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            connections: counts.sessions.load(Ordering::Relaxed),
            left_alone: counts.left_alone.load(Ordering::Relaxed),
        }
    }

    /// The secret of the relays on its route.
    pub(crate) fn relay_secret(&self) -> relay::Secret {
        self.secret.for_name(&self.route)
    }

    /// What the stream of this key is called.
    pub(crate) fn name(&self, key: &[u8]) -> super::Name {
        self.hub.secret.name(self.route.as_bytes(), key)
    }

    /// What the stream is called that is one client's alone, and found by its ids: who has another binding finds nothing.
    pub(crate) fn name_of_own(&self, epoch: &Epoch, binding: &[u8; 32]) -> super::Name {
        self.name(&[b"own", epoch.as_bytes(), binding].concat())
    }
}

/// A store, where it is, and who is told when it has no users any more.
type Parts = (RedisStore, Place, mpsc::Receiver<()>);

impl RedisOptions {
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
        let links = place.connect(&store.hub).await?;
        tokio::spawn(serve(store.hub.clone(), place, Some(links), users));
        Ok(store)
    }

    /// Does not wait for the server, which may come later: as if it had been lost.
    ///
    /// # Errors
    ///
    /// When the secret is too short, or the address is none.
    ///
    /// # Panics
    ///
    /// Outside of a runtime of tokio.
    pub fn open(self, url: &str, secret: impl AsRef<[u8]>) -> Result<RedisStore, StoreError> {
        let (store, place, users) = self.store(url, secret.as_ref())?;
        tokio::spawn(serve(store.hub.clone(), place, None, users));
        Ok(store)
    }

    fn store(self, url: &str, secret: &[u8]) -> Result<Parts, StoreError> {
        let names = Secret::new(secret).ok_or_else(StoreError::secret)?;
        let relays = relay::Secret::new(secret).map_err(|_| StoreError::secret())?;
        redis::IntoConnectionInfo::into_connection_info(url).map_err(StoreError::redis)?;
        let partitions = Partitions::single();
        let tag = partitions.tags().next().unwrap_or_default().to_owned();
        let mut keys = Keys::new(&self.prefix, partitions);
        if self.is_sealed {
            keys = keys.with_seal(names.seal());
        }
        let (user, users) = mpsc::channel(1);
        let hub = Hub::new(relay::random_bits(), names, self.lifetime);
        let store = RedisStore {
            hub: Arc::new(hub),
            secret: relays,
            route: Arc::from(""),
            when_away: self.when_away,
            _user: user,
        };
        let place = Place {
            address: url.to_owned(),
            keys,
            lifetimes: Lifetimes {
                log: self.lifetime,
                ended: self.lifetime,
            },
            tag,
        };
        Ok((store, place, users))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("route", &self.route)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
