//! Events kept so that they can be given again.
//!
//! A [`History`] keeps the events of streams, each in a log of its own. A relay appends to the log of its stream, and any
//! number of clients follow it: each from a position of its own, through what is kept and on to what is yet to come.
//! Nothing is queued for a client; reading shares the bytes.
//!
//! [`MemoryHistory`] keeps events in this process, bounded three ways for each log (events, bytes, age), and with one
//! budget of bytes for all logs. It is the only history so far.
//!
//! # A store outside of the process
//!
//! It is not another history, but *below* what is here: each process has a whole copy of the log of each stream that has clients
//! there, which is read without waiting, and only to append may wait. See the module `store` (feature `redis`). What a
//! history does is hidden, and no part of the public API.

mod follow;
mod log;
mod memory;
mod order;
mod reserved;
mod seal;

pub(crate) use memory::MAX_UPSTREAM_ID;
pub use memory::{Evictions, MemoryHistory};
pub(crate) use order::order;
pub(crate) use seam::*;

/// Where relays keep events: a [`MemoryHistory`].
///
/// It is there to be named. What it takes to implement it is hidden and may change in any version: see the
/// [module docs](self#a-store-outside-of-the-process).
pub trait History: Logs {}

/// What a history does. No part of the public API: it may change in any version, and is here for the tests of this crate.
#[doc(hidden)]
pub mod seam {
    pub use super::follow::{Found, Gap, Joined, Read, Skip, Start, Stats};
    #[cfg(feature = "redis")]
    pub use super::log::Given;
    pub use super::log::{Appended, Draft, Hold, Keep, Log, Logs};
    pub use super::memory::{Batch, Follower, MemoryLog, Next, Place, Reader, Reading};
    pub use super::reserved::Reserved;
    pub use super::seal::Seal;
}
