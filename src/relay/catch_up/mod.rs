//! Brings clients to where a relay is, by upstream requests of their own.
//!
//! A client may come with an id that the relay's history does not know: of another instance, of an earlier process, or made
//! up; or with one behind which some is not kept any more. What the upstream makes of that id must not decide what others are
//! given. So the relay's request is left alone, and the upstream is asked once more, from this id on. The client is given
//! what comes until an event comes that the history has: there it goes on as all others do, once and in order.
//!
//! After a restart many come back at once, and most with the same few ids. All who come with one id are a *group*: they share
//! one request, and each reads what it brings at its own pace, out of a window that is bounded.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::history::Gap;

mod asking;
mod client;
mod group;
mod groups;
mod window;

pub(super) use client::{CatchUp, Caught};
pub(super) use groups::Groups;

/// What a client came with.
pub(super) struct Came {
    /// Its own id, which the relay may still come to know.
    pub(super) id: Vec<u8>,
    /// What of it is the upstream's.
    pub(super) upstream: Bytes,
    /// Where it would go on in the relay's log.
    pub(super) position: u64,
    /// What it misses there, if its id is known.
    pub(super) missed: Option<Gap>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Behind {
    /// The id of the upstream.
    id: Bytes,
    /// Whether the client's id is known, so that some is missing in front of all that the log has.
    is_known: bool,
}

/// What bounds all catch-ups of a layer.
#[derive(Clone)]
pub(super) struct Bounds {
    /// One permit for each request.
    turns: Arc<Semaphore>,
    /// One permit for each byte that is kept for the others of a group.
    room: Arc<Semaphore>,
}

/// So many requests are made at the same time.
const CATCH_UPS: usize = 64;
/// So many bytes are kept by all groups. Without room, a group keeps only what was given last.
const ROOM: usize = 16 * 1024 * 1024;

impl Bounds {
    pub(super) fn new() -> Self {
        Bounds {
            turns: Arc::new(Semaphore::new(CATCH_UPS)),
            room: Arc::new(Semaphore::new(ROOM)),
        }
    }
}
