//! Why a store has not answered.

use std::io;

use redis::ErrorKind;

mod told;

/// Why there is no answer. Whether the command was carried out is not known, and the connection is to be given up.
pub struct StoreError(Kind);

enum Kind {
    Redis(redis::RedisError),
    /// It speaks, but not as Redis does.
    Stranger(redis::RedisError),
    Answer(&'static str),
    Version,
    NoPrimary,
    /// The server's, if it says so.
    OldServer(Option<String>),
    Rights(Vec<String>),
    Changed,
    Deaf,
    Behind,
    Secret,
    /// What is wrong with it.
    Address(String),
    /// It speaks, but no TLS.
    NoTls,
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
        let error = first(error);
        let details = error.detail().unwrap_or_default();
        if details.contains("cluster support disabled") {
            return StoreError::cluster(false);
        }
        match error.kind() {
            ErrorKind::Parse => return StoreError(Kind::Stranger(error)),
            // Redis 5 does not know how to be asked for it.
            ErrorKind::RESP3NotSupported => return StoreError(Kind::OldServer(None)),
            _ => {}
        }
        // A server that refuses our certificate says so once it is sent something, and what it said is known as a text only.
        let is_refused = error.is_io_error() && error.to_string().contains("fatal alert");
        match is_refused {
            true => StoreError(Kind::Tls(io::Error::other(error))),
            false => StoreError(Kind::Redis(error)),
        }
    }

    /// The server ended the connection as soon as it was spoken to.
    pub(super) fn closed() -> Self {
        let why = "it closes the connection; a server with TLS is rediss://";
        StoreError::io(io::Error::new(io::ErrorKind::BrokenPipe, why))
    }

    pub(super) fn io(error: io::Error) -> Self {
        match tls_fault(&error) {
            Some(true) => StoreError(Kind::NoTls),
            Some(false) => StoreError(Kind::Tls(error)),
            None => StoreError::redis(error.into()),
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
        StoreError(Kind::OldServer(Some(version.to_owned())))
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

    pub(super) fn address(why: impl Into<String>) -> Self {
        StoreError(Kind::Address(why.into()))
    }

    /// It does not answer by TLS, or not yet.
    pub(super) fn no_handshake() -> Self {
        let why = "no answer to a TLS handshake; a server without TLS is redis://";
        StoreError::io(io::Error::new(io::ErrorKind::TimedOut, why))
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
                    || self.says(&NOT_NOW)
                    || self.has(|error| details(error).starts_with(NO_MORE))
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
            ["ASK", "TRYAGAIN"].contains(&error.code()) || details(error).starts_with(within)
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
        // Redis 7.0 says it of a command within a script like the first, Valkey like the second.
        let within = [
            "The user executing the script can't",
            "ACL failure in script",
        ];
        self.has(|error| {
            let is_within = within.iter().any(|text| details(error).starts_with(text));
            error.code() == "NOPERM" || is_within
        })
    }

    /// Whether it is the names of keys that its user may not use.
    pub(super) fn is_of_keys(&self) -> bool {
        self.is_forbidden() && self.has(|error| details(error).contains("access"))
    }

    /// Whether the server asks for another user or password.
    fn is_locked(&self) -> bool {
        self.says(&["NOAUTH", "WRONGPASS"])
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

/// What a server says that may take a command later.
const NOT_NOW: [&str; 7] = [
    "BUSY",
    "LOADING",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
    "MISCONF",
    "READONLY",
];
/// And one with as many connections as it may have.
const NO_MORE: &str = "max number of clients reached";

fn details(error: &redis::ServerError) -> &str {
    error.details().unwrap_or_default()
}

/// Whether it is one of TLS, and then whether what was answered is none.
#[cfg(feature = "redis-tls")]
fn tls_fault(error: &io::Error) -> Option<bool> {
    use tokio_rustls::rustls::Error;
    let error = error.get_ref()?.downcast_ref()?;
    Some(matches!(error, Error::InvalidMessage(_)))
}

#[cfg(not(feature = "redis-tls"))]
fn tls_fault(_error: &io::Error) -> Option<bool> {
    None
}

/// The first of what a pipeline has met with, which is the cause of the others. Without the arguments of a command that is not
/// known: one of them may be a password.
fn first(error: redis::RedisError) -> redis::RedisError {
    let Some(errors) = error.clone().into_server_errors() else {
        return error;
    };
    let Some((_, first)) = errors.first() else {
        return error;
    };
    match details(first).split_once(", with args") {
        Some((what, _)) => redis::make_extension_error(first.code().into(), Some(what.into())),
        None => first.clone().into(),
    }
}
