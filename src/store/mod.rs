//! Streams that several processes share by a store outside of them (feature `redis`, or `redis-tls` where that is spoken to over TLS).
//!
//! A [`RedisStore`] is given to a [`RelayLayer`](crate::relay::RelayLayer::with_store) in each process. One of them asks the upstream
//! for each stream, and all give its events to their clients, with the same ids; a client may come back to any of them. When the
//! one that asks dies, another goes on behind the last id that is stored.
//!
//! # Example: two nodes behind a load balancer
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use tower_sse::relay::{Key, RelayLayer};
//! use tower_sse::store::RedisStore;
//!
//! # async fn notices() -> &'static str { "…" }
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! // The same bytes in each process, such as `openssl rand -hex 32` writes.
//! let secret = std::fs::read("/run/secrets/sse-store")?;
//! let store = RedisStore::connect("redis://redis.internal", secret).await?;
//! let app: Router = Router::new()
//!     .route("/notices", get(notices))
//!     .layer(RelayLayer::shared(Key::default()).with_store(store));
//! # Ok(())
//! # }
//! ```
//!
//! # What is shared
//!
//! - Of [`RelayLayer::shared`](crate::relay::RelayLayer::shared): requests whose answer is for all with the same key, which
//!   says no `Cache-Control: private`, and no `Vary` by what the key leaves out. Who does not name `text/event-stream` in
//!   `Accept` joins a stream that is open at any process, and otherwise asks for itself, as without a store.
//! - Of [`RelayLayer::resumable`](crate::relay::RelayLayer::resumable): each request. The process that it came to asks the
//!   upstream, and its client may come back to any of them with its last event ID and the same credentials.
//!
//! All else is relayed as without a store, by each process for itself.
//!
//! # What is promised
//!
//! - With an upstream that sets ids and goes on behind them, each client is given every event once and in order, whichever
//!   processes die or lose the store, and whatever the store forgets; or it is told of a gap, where it was away for longer than the
//!   history lasts.
//! - With an upstream without ids the same holds, but where the process that asks it dies: there stands the event of a gap.
//! - An answer that cannot be asked for again, such as that to a POST, is asked for once. Where the process that reads it
//!   dies, clients are given what was stored of it, are told of a gap once, and it ends.
//! - An id is never given to two events. The ids of a stream that is one client's alone are not in the store, in no form.
//!
//! # How it is made
//!
//! There is a protocol without input and output, as state machines, in hidden parts of this module; a simulation tries it under
//! random faults. Who owns a stream shows a fencing token with all that it appends, so clocks and pauses cost time and no events.

mod beat;
mod command;
mod frame;
mod member;
mod model;
#[cfg(feature = "redis")]
pub(crate) mod outside;
mod owner;
mod part;
#[cfg(feature = "redis")]
#[doc(hidden)]
pub mod redis;
mod replica;
mod rules;
mod tail;
mod writing;

#[doc(hidden)]
pub use beat::{BEAT, Beats, DEAF_AFTER, SESSION, SILENT_AFTER};
#[doc(hidden)]
pub use command::{
    Acquired, Answer, Appended, Command, Context, Fence, InstanceId, Mark, Message, Meta, Output,
    Reign, Snapshot,
};
#[doc(hidden)]
pub use frame::{Frame, FrameError, MAX_EVENTS, MAX_FRAME, MAX_LARGE, Stored, Was};
use frame::{MAX_NUMBER, MAX_WAS};
#[cfg(feature = "redis")]
use frame::{SEALED, UNOPENED};
#[doc(hidden)]
pub use member::{Member, Sought};
#[doc(hidden)]
pub use model::{Model, Published};
#[doc(hidden)]
pub use owner::Draft;
#[doc(hidden)]
pub use part::Part;
#[cfg(feature = "redis")]
pub use redis::{Acknowledge, RedisOptions, RedisStore, StoreError, StoreStats, WhenAway};
#[doc(hidden)]
pub use replica::{Place, Replica};
#[doc(hidden)]
pub use rules::{Rule, Rules};
#[doc(hidden)]
pub use writing::Writing;
