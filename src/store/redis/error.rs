//! Why a store has not answered.

use std::fmt;

/// Why there is no answer. Whether the command was carried out is not known, and the connection is to be given up.
#[derive(Debug)]
pub struct StoreError(Kind);

#[derive(Debug)]
enum Kind {
    Redis(redis::RedisError),
    Answer(&'static str),
    Version,
    NoPrimary,
}

impl StoreError {
    /// No `From`, which would make the crate's version a part of the public API.
    pub(super) fn redis(error: redis::RedisError) -> Self {
        StoreError(Kind::Redis(error))
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

    /// Whether another version of this crate keeps the stream, and it is to be left alone.
    pub fn is_version(&self) -> bool {
        matches!(self.0, Kind::Version)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Redis(_) => f.write_str("the store has failed"),
            Kind::Answer(expected) => write!(f, "the store's answer is no {expected}"),
            Kind::Version => f.write_str("another version has written the stream"),
            Kind::NoPrimary => f.write_str("the server is a replica"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Redis(error) => Some(error),
            _ => None,
        }
    }
}
