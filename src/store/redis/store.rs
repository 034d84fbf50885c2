//! A Redis server as the store of the streams of several processes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::address::Address;
use super::{RedisOptions, StoreError, WhenAway};
use crate::relay;
use crate::store::outside::Hub;
use crate::wire::Epoch;

/// So long it is waited for that others have been told.
const PARTING: Duration = Duration::from_secs(1);

/// A Redis server that keeps the streams which several processes share.
///
/// Each process that is given the same server, the same secret and the same prefix is one of them. For each stream one of
/// them asks the upstream, and all give its events to their clients, with the same ids: a client may come back to any of them. When
/// the one that asks dies, another goes on within a second; where it hangs, within two.
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
    pub(super) route: Arc<str>,
    pub(crate) when_away: WhenAway,
    /// Closed once nobody has the store any more.
    pub(super) _user: mpsc::Sender<()>,
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
    /// Batches of events that were given to clients before a replica or the disk had them, where that was waited for.
    pub unacknowledged: u64,
    /// Streams that were left alone, since what the store has of them cannot be used.
    pub left_alone: u64,
}

impl RedisStore {
    /// Connects with the server at an address such as `redis://user:password@host:6379` or `unix:///run/redis.sock`. With
    /// `rediss://` it speaks TLS, if the feature `redis-tls` is there. `redis+sentinel://user:password@host,host:26379/name` asks
    /// sentinels for the primary of that name, each time it connects, and `rediss+sentinel://` does so over TLS. The sentinels' own
    /// user and password, where they have any, stand behind: `…/name?sentinel_user=user&sentinel_pass=password`.
    /// `redis+cluster://host,host:port` names some nodes of a cluster. Each may begin with `valkey` in place of `redis`.
    /// Another database than 0 is a path, as in `redis://host/1`; streams of two databases are not shared.
    ///
    /// The secret has at least 32 bytes that are not guessed, as `openssl rand -hex 32` writes them, and is the same in each
    /// process. The keys of streams and the checks in their ids are made with it.
    ///
    /// # Errors
    ///
    /// - When the secret is too short.
    /// - When the address is none, or there is no server, or it asks for another password.
    /// - When its certificate is not trusted, or it does not accept ours.
    /// - When the server is a replica, or older than Redis 7.0.
    /// - When its user may not do all that is needed; the error names what is missing.
    /// - When its `maxmemory` is reached.
    pub async fn connect(url: &str, secret: impl AsRef<[u8]>) -> Result<Self, StoreError> {
        Self::options().connect(url, secret).await
    }

    /// Whether an address is one that [`connect`](Self::connect) takes, with all that it may have: nobody is asked.
    ///
    /// # Errors
    ///
    /// When it is none. What is wrong is said without the address, in which there may be a password.
    pub fn check_url(url: &str) -> Result<(), StoreError> {
        Address::parse(url).map(drop)
    }

    /// Options, to be set before it is connected to.
    pub fn options() -> RedisOptions {
        RedisOptions::new()
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

    /// Waits until all answers have come to their ends that were asked for here, and that no other process can ask for again:
    /// those to a POST, whose clients may have gone on at others. To be called in front of [`leave`](Self::leave), behind which
    /// clients of what is left are told that the rest is missing. It ends when they do, so that it is for the caller to bound.
    pub async fn finish_answers(&self) {
        for stream in self.hub.streams() {
            stream.is_read_out().await;
        }
    }

    /// What this process is called in the store, and by others: 16 hexadecimal digits, other ones after each start.
    pub fn instance(&self) -> String {
        self.hub.me.to_string()
    }

    /// What has happened so far.
    pub fn stats(&self) -> StoreStats {
        let streams = self.hub.streams();
        let counts = &self.hub.counts;
        StoreStats {
            is_up: self.hub.is_up(),
            streams: streams.len(),
            owned: streams.iter().filter(|stream| stream.is_owner()).count(),
            terms: counts.terms.load(Ordering::Relaxed),
            appended: counts.appended.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            connections: counts.sessions.load(Ordering::Relaxed),
            unacknowledged: counts.unacknowledged.load(Ordering::Relaxed),
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

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("route", &self.route)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
