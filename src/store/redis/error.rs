//! Why a store has not answered.

use std::fmt;
use std::io;

/// Why there is no answer. Whether the command was carried out is not known, and the connection is to be given up.
#[derive(Debug)]
pub struct StoreError(Kind);

#[derive(Debug)]
enum Kind {
    Redis(redis::RedisError),
    Answer(&'static str),
    Version,
    NoPrimary,
    /// The server's.
    OldServer(String),
    Rights(Vec<String>),
    Changed,
    Deaf,
    Behind,
    Secret,
    Address,
    /// Whether the server is a node of one.
    Cluster(bool),
    NoMap,
    NoDisk,
    /// Of this name.
    UnknownPrimary(String),
    /// It does not answer whoever asks.
    Sentinel(redis::RedisError),
    /// A handshake that failed.
    Tls(io::Error),
    Certificates(Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// No `From`, which would make the crate's version a part of the public API.
    pub(super) fn redis(error: redis::RedisError) -> Self {
        let details = error.detail().unwrap_or_default();
        if details.contains("cluster support disabled") {
            return StoreError::cluster(false);
        }
        // A server that refuses our certificate says so once it is sent something, and what it said is known as a text only.
        let is_refused = error.is_io_error() && error.to_string().contains("fatal alert");
        match is_refused {
            true => StoreError(Kind::Tls(io::Error::other(error))),
            false => StoreError(Kind::Redis(error)),
        }
    }

    pub(super) fn io(error: io::Error) -> Self {
        match is_tls(&error) {
            true => StoreError(Kind::Tls(error)),
            false => StoreError::redis(error.into()),
        }
    }

    pub(super) fn answer(expected: &'static str) -> Self {
        StoreError(Kind::Answer(expected))
    }

    pub(super) fn version() -> Self {
        StoreError(Kind::Version)
    }

    pub(super) fn no_primary() -> Self {
        StoreError(Kind::NoPrimary)
    }

    pub(super) fn old_server(version: &str) -> Self {
        StoreError(Kind::OldServer(version.to_owned()))
    }

    pub(super) fn rights(missing: Vec<String>) -> Self {
        StoreError(Kind::Rights(missing))
    }

    pub(super) fn changed() -> Self {
        StoreError(Kind::Changed)
    }

    pub(super) fn deaf() -> Self {
        StoreError(Kind::Deaf)
    }

    pub(super) fn behind() -> Self {
        StoreError(Kind::Behind)
    }

    pub(super) fn secret() -> Self {
        StoreError(Kind::Secret)
    }

    pub(super) fn address() -> Self {
        StoreError(Kind::Address)
    }

    pub(super) fn cluster(is_node: bool) -> Self {
        StoreError(Kind::Cluster(is_node))
    }

    pub(super) fn no_map() -> Self {
        StoreError(Kind::NoMap)
    }

    pub(super) fn no_disk() -> Self {
        StoreError(Kind::NoDisk)
    }

    pub(super) fn unknown_primary(name: &str) -> Self {
        StoreError(Kind::UnknownPrimary(name.to_owned()))
    }

    /// The same, where a sentinel is asked: whatever it refuses, its users are not those of the primary.
    pub(super) fn of_sentinel(self) -> Self {
        let is_away = self.is_away();
        match self.0 {
            Kind::Redis(error) if !is_away => StoreError(Kind::Sentinel(error)),
            kind => StoreError(kind),
        }
    }

    /// What cannot be used of certificates and keys.
    pub(super) fn certificates(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        StoreError(Kind::Certificates(error.into()))
    }

    /// Whether another version of this crate keeps the stream, and it is to be left alone.
    pub fn is_version(&self) -> bool {
        matches!(self.0, Kind::Version)
    }

    /// Whether the server cannot be reached, or is about to start: it may be there later.
    pub fn is_away(&self) -> bool {
        match &self.0 {
            Kind::Redis(error) => {
                error.is_io_error()
                    || error.is_timeout()
                    || error.is_connection_refusal()
                    || error.is_connection_dropped()
                    || self.says(&["LOADING", "CLUSTERDOWN", "MASTERDOWN"])
            }
            Kind::NoPrimary | Kind::Changed | Kind::NoMap => true,
            _ => false,
        }
    }

    /// Whether what is kept of one stream cannot be used, and other streams are as well as ever.
    pub(super) fn is_of_stream(&self) -> bool {
        match &self.0 {
            Kind::Version | Kind::Answer(_) => true,
            // A script that finds what it does not expect fails with the second.
            Kind::Redis(_) => {
                let is_other = self.is_forbidden() || self.is_of_partition();
                self.says(&["WRONGTYPE", "ERR"]) && !is_other
            }
            _ => false,
        }
    }

    /// Whether one partition is about to move to another node.
    pub(super) fn is_of_partition(&self) -> bool {
        // A script that looks for the owner's session says it like this, and where a cluster is down.
        let within = "Script attempted to ";
        self.has(|error| {
            let details = error.details().unwrap_or_default();
            ["ASK", "TRYAGAIN"].contains(&error.code()) || details.starts_with(within)
        })
    }

    /// Whether a partition has moved to another node, and another map is all that is needed.
    pub(super) fn is_moved(&self) -> bool {
        self.says(&["MOVED"])
    }

    /// Whether the server has no room for more: its `maxmemory` is reached, and nothing may be evicted.
    pub fn is_full(&self) -> bool {
        self.says(&["OOM"])
    }

    /// Whether the server says that its user may not do something. Its error names what.
    fn is_forbidden(&self) -> bool {
        // Redis 7.0 says it of a command within a script like this.
        let within = "The user executing the script can't";
        self.has(|error| {
            let details = error.details().unwrap_or_default();
            error.code() == "NOPERM" || details.starts_with(within)
        })
    }

    /// Whether the server has answered with one of these codes.
    fn says(&self, codes: &[&str]) -> bool {
        self.has(|error| codes.contains(&error.code()))
    }

    fn has(&self, is_it: impl Fn(&redis::ServerError) -> bool) -> bool {
        let Kind::Redis(error) = &self.0 else {
            return false;
        };
        let errors = error.clone().into_server_errors();
        let mut errors = errors.iter().flat_map(|errors| errors.iter());
        errors.any(|(_, error)| is_it(error))
    }
}

#[cfg(feature = "redis-tls")]
fn is_tls(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>())
}

#[cfg(not(feature = "redis-tls"))]
fn is_tls(_error: &io::Error) -> bool {
    false
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Redis(_) if self.is_full() => {
                f.write_str("the store has no room for more: its `maxmemory` is reached")
            }
            Kind::Redis(_) if self.is_forbidden() => {
                f.write_str("the user of the store may not do all that is needed")
            }
            Kind::Redis(error) if error.is_connection_refusal() || error.is_io_error() => {
                f.write_str("the store cannot be reached")
            }
            Kind::Redis(_) => f.write_str("the store has failed"),
            Kind::Answer(expected) => write!(f, "the store's answer is no {expected}"),
            Kind::Version => f.write_str("another version has written the stream"),
            Kind::NoPrimary => f.write_str("the server is a replica"),
            Kind::OldServer(version) => {
                write!(f, "the server is Redis {version}, and 7.0 is needed")
            }
            Kind::Rights(missing) => {
                write!(f, "the user of the store may not: {}", missing.join(", "))
            }
            Kind::Changed => f.write_str("the store has changed while it was connected to"),
            Kind::Deaf => f.write_str("nothing is heard from the store any more"),
            Kind::Behind => f.write_str("the store does not keep up"),
            Kind::Secret => f.write_str(
                "a secret has at least 32 bytes, and this has fewer; `openssl rand -hex 32` makes one",
            ),
            Kind::Address => f.write_str("the address is not that of a Redis server"),
            Kind::Cluster(true) => {
                f.write_str("the server is a node of a cluster; use redis+cluster://")
            }
            Kind::Cluster(false) => f.write_str("the server is no node of a cluster; use redis://"),
            Kind::NoDisk => f.write_str("to wait for the disk, Redis 7.2 is needed"),
            Kind::NoMap => f.write_str("not all slots of the cluster have a primary"),
            Kind::UnknownPrimary(name) => write!(f, "no sentinel knows a primary {name:?}"),
            Kind::Sentinel(_) => f.write_str(
                "a sentinel refuses to answer; its user and password are ?sentinel_user=…&sentinel_pass=… of the address",
            ),
            Kind::Tls(_) => f.write_str("the store's certificate, or ours, is not accepted"),
            Kind::Certificates(_) => f.write_str("a certificate or key cannot be used"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Redis(error) | Kind::Sentinel(error) => Some(error),
            Kind::Tls(error) => Some(error),
            Kind::Certificates(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
