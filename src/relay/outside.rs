//! The store outside of the process in which other gateways find the same streams, where there is one.
//!
//! Without the feature `redis` there is none, and what a stream does can be named all the same.

#[cfg(feature = "redis")]
pub(super) use crate::store::RedisStore as Store;
#[cfg(feature = "redis")]
pub(super) use crate::store::outside::{Lead, Stream, Term};
#[cfg(not(feature = "redis"))]
pub(super) use none::{Lead, Store, Stream, Term};

use bytes::Bytes;

use super::secret::Hash;
use crate::history::Seal;
use crate::wire::Epoch;

#[cfg(not(feature = "redis"))]
mod none;
#[cfg(feature = "redis")]
mod redis;

/// The stream that a relay is to have.
pub(super) struct Wanted<'a> {
    pub(super) way: Way<'a>,
    pub(super) seal: &'a Seal,
    /// The upstream's id behind which a log is to begin that is not there yet.
    pub(super) behind: Option<Bytes>,
}

/// By what all gateways find a stream, and what is known of it here.
pub(super) enum Way<'a> {
    /// By its key.
    Key {
        key: &'a Hash,
        /// Whether the first client may have something of one that has ended.
        wants_rest: bool,
        /// Whether there is an answer of the upstream already. Then it is shared only where nobody else has one.
        is_answered: bool,
        is_asked_again: bool,
    },
    /// By its ids, and what it is bound to.
    Own {
        epoch: Epoch,
        binding: &'a Hash,
        /// Whether its request was made here, and nobody else can have it.
        is_new: bool,
        is_asked_again: bool,
    },
}

/// Whether another gateway has a stream.
pub(super) enum Elsewhere {
    /// This was told of it last.
    There(Bytes),
    Nothing,
    /// Nobody can say, since the store is away.
    Unknown,
}
