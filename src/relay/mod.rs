//! One upstream stream, any number of clients, none of which it depends on.
//!
//! A relay is a task that owns one upstream response and appends its events to a [history](crate::history); the body of
//! each client is a place in that history. Replay is one client that comes back; sharing is many clients at once.
//!
//! - [`RelayLayer::shared`]: all requests with one [`Key`] share one upstream request.
//! - [`RelayLayer::resumable`]: each request has its own, found again by the ids that it gave. So a POST is never sent twice.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::relay::{Key, OnLeave, RelayLayer};
//!
//! let layer = RelayLayer::shared(Key::default()).with_on_leave(OnLeave::Linger(Duration::from_secs(30)));
//! assert!(layer.relays().is_empty());
//! ```
//!
//! # Where stages run
//!
//! A relay has none of its own. What is to be done once for the upstream's stream, such as an idle timeout, is an
//! [`EventLayer`](crate::EventLayer) *inside* of the relay; what is to be done for each client, such as heartbeats,
//! is one outside. Ids are given by the history, since it alone knows the number of an event once it lies
//! outside of the process.
//!
//! # What is relayed
//!
//! GET and POST requests that accept event streams, with a body of a known length up to a limit. If the answer is no
//! event stream, the client that made the request gets it as it is. Others that waited for it get the same status if it
//! is an error, without the body, and make their own request if it is none. Nothing of it is kept.
//!
//! Requests that name `text/event-stream` in `Accept`, that have `*/*` alone, or no `Accept` at all, accept them.
//!
//! # What is sent upstream
//!
//! A `Last-Event-ID`, or one of the query names that polyfills use (`lastEventId`, `last_event_id`, `Last-Event-ID`,
//! `last-event-id`), is taken out of the request. What of it is the upstream's own is sent as header.
//!
//! # When the upstream is lost
//!
//! A GET is made again, with the last event ID that the upstream has set, after its reconnection time and a random part of a
//! time that doubles. If it has set none, what it sent meanwhile may be lost, and clients are told by a gap event with
//! `null`. A POST is never made again: its clients are told of a gap, and their streams end.
//!
//! A clean end of a shared GET counts as lost, as it does for an `EventSource`; see [`RelayLayer::with_clean_end`].
//!
//! # What to know of its limits
//!
//! The upstream is read as fast as it sends. A client that is slower by more than the history holds is dealt with as
//! [`SlowClient`] says, also when it is the only one: make the history as large as a finite stream is. What the upstream
//! sends again after a reconnect is known again only while the history has it. A client whose body is not polled cannot be told
//! anything: to close its connection is the server's part, which can be asked to by a [`Hangup`].

use http::HeaderName;

use crate::wire::EventId;

mod asks;
mod backoff;
mod body;
mod catch_up;
mod config;
mod connect;
mod document;
mod gap;
mod hangup;
mod head;
mod idle;
mod key;
mod keyed;
mod last_event_id;
mod layer;
mod metrics;
mod neutral;
mod own;
mod random;
mod registry;
mod request;
mod retry_after;
mod secret;
mod service;
mod share;
mod shared;
mod task;
mod upstream;
mod vary;

pub use body::RelayBody;
pub use config::{Begin, CleanEnd, OnLeave, SlowClient};
pub use hangup::Hangup;
pub use key::{InvalidKey, Key};
pub use layer::RelayLayer;
pub use request::{ClientAddress, ForAll, LastEventIdTaken, ShownPath};
pub use secret::{Secret, ShortSecret};
pub use service::{RelayFuture, RelayService};

/// What a relay is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RelayInfo {
    /// Its key, with credentials and queries hashed.
    pub key: String,
    /// Clients that are there, or wait for the head.
    pub clients: usize,
    /// The upstream's stream.
    pub upstream: UpstreamState,
    /// Events that are kept.
    pub events: usize,
    /// Their bytes, with what it costs to keep them.
    pub bytes: usize,
    /// The last id; not told of a resumable stream, which it gives access to.
    pub last_id: Option<EventId>,
    /// The one field by which alone it differs from another relay of the same target, and so is not shared with it.
    pub apart_by: Option<HeaderName>,
}

/// How it is with the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamState {
    /// A request was sent and no head has come.
    Connecting = 0,
    /// Its stream is open.
    Connected = 1,
    /// It was lost, and will be tried again.
    Waiting = 2,
    /// Its stream has ended for good.
    Ended = 3,
}
