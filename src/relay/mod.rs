//! One upstream stream, any number of clients, none of which it depends on.
//!
//! A relay is a task that owns one upstream response and appends its events to a [history](crate::history); the body of
//! each client is a position in that history. Replay is one client that comes back; sharing is many clients at once.
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
//! Those of the upstream's stream, which are driven once for all clients, are given to the relay itself, by
//! [`RelayLayer::with_upstream_stages`]: an idle timeout there has a silent upstream asked again. Those of each client are in an
//! [`EventLayer`](crate::EventLayer) around the relay.
//!
//! # What is relayed
//!
//! With [`RelayLayer::shared`]:
//!
//! - A GET that names `text/event-stream` in `Accept`. It joins the stream of its key, waits for the answer that another
//!   waits for already, or is the first and *leads*: the relay makes one request for all of them.
//! - A GET that takes an event stream without naming it: `Accept` has `*/*` or `text/*`, or is missing. It waits for nobody.
//!   It joins a stream of its key that is open already; otherwise its request is made as it is, and if an event stream comes
//!   of it, others can join that, unless the request had more than its key and neutral fields.
//! - A POST only if the key says `body`, the client names `text/event-stream`, and the length of the body is known and
//!   within the limit. Any other write has an upstream request of its own.
//!
//! With [`RelayLayer::resumable`]: each GET and POST, whatever it accepts. Its request is made as it is, its body streamed,
//! and its answer decides: an event stream can be resumed.
//!
//! All else passes by: other methods, upgrades to another protocol and, where streams are shared, a GET with a body or one
//! that takes no event stream. So does an answer that is no event stream, byte for byte. Those who waited for it are given
//! it too if it is an error, or 204, that is the same for all of the key: with a body of a known length of at most 64 KiB,
//! without `Set-Cookie`, `no-store` and `private`. Otherwise each of them makes its own request, and for five seconds nobody
//! waits for another with this key ("hit for pass"). An error that says of itself that there is no upstream, by a
//! [`NoUpstream`] in its extensions, is the same for all whatever its head says.
//!
//! A response to a request from which the key has left something out is nobody's own answer. If it is not for all either, it
//! goes to nobody, and the client that led makes its own request too.
//!
//! # What is sent upstream
//!
//! *What reaches the upstream in a request that is made for all is in the key, or is the same for all.* Such a request has
//! the method, the path, what the key says of host, query, fields and body, and `Accept: text/event-stream` and
//! `Cache-Control: no-cache`. In its extensions is [`ForAll`], so that the service inside adds nothing of one client.
//! A request that is made for one client alone is sent as it came.
//!
//! The answer may say that it depends on more. Who has something else in a field that `Vary` names gets a relay of its own,
//! whose request has that field. `Vary: *`, a `Vary` by the client's address or way, and `Cache-Control: private` mean that
//! it is not shared, unless [`RelayLayer::with_insistence`] says that the key knows better. Of the head of the response,
//! fields of one response only, such as `Set-Cookie`, `Date` or a request id, go to the client that asked alone.
//!
//! With [`RelayLayer::with_hold`] and [`RelayLayer::with_open_after`] a stream may be shared before its head says whom it is
//! for. What then turns out not to be for all of them goes to none of them: their streams end, each comes back and asks for
//! itself, and for a minute it is remembered of the key. A client that is the only one keeps it, if nothing was left out of
//! its request. JSON and 204 count too: with `Set-Cookie`, `no-store` or `private` they are for one client alone.
//!
//! A `Last-Event-ID`, or one of the query names that polyfills and hubs use (`lastEventId`, `last_event_id`, `Last-Event-ID`,
//! in upper or lower case), is taken out of the request; see [`move_last_event_id_to_header`]. An id of the upstream that a client brings goes into requests that are
//! made for this client alone. Into the one that is made for all it goes only from an id whose check proves that we wrote
//! it for this key; see [`Secret`].
//!
//! # What is neutral
//!
//! Request fields that say nothing of what a client is to be given are not part of a default key, and are not sent upstream
//! in a request that is made for all. A field that is not among them counts. [`Key::ignoring`] adds names. They are:
//!
//! - of the client's program and caches: `Accept` (but for parameters of `text/event-stream`, such as a version),
//!   `Accept-Charset`, `Accept-Encoding`, `Cache-Control`, `Pragma`, `If-Modified-Since`, `If-None-Match`, `Last-Event-ID`,
//!   `User-Agent`, `Referer`, `DNT`, `Priority`, `Purpose`, `Save-Data`, `Upgrade-Insecure-Requests`, `Sec-GPC`,
//!   `Sec-Purpose`, `Sec-Fetch-*`, `Sec-CH-*` and the older client hints (`DPR`, `ECT`, `RTT` and the like);
//! - ids of requests and traces: `X-Request-Id`, `X-Correlation-Id`, `Traceparent`, `Tracestate`, `Baggage`, `B3`, `X-B3-*`,
//!   `X-Datadog-*`, `Sentry-Trace`, `X-Cloud-Trace-Context` and the like, and `X-Request-Start`;
//! - of the way and the address: `Forwarded`, `Via`, `X-Forwarded-For`, `-Port` and `-Server`, `X-Real-IP`, `X-Client-IP`,
//!   `True-Client-IP`, `CDN-Loop`, `Max-Forwards` and the like;
//! - what Cloudflare, CloudFront, Fastly, the balancers of Amazon and Azure, Akamai, Fly, Netlify and Vercel add to each
//!   request of address, country, TLS, and ids of requests: `CF-Ray`, `CF-Connecting-IP`, `CloudFront-*`,
//!   `Fastly-Client-IP`, `X-Amzn-Trace-Id`, `X-Azure-Ref` and the like.
//!
//! What names a person is never among them: `CF-Access-Jwt-Assertion`, `X-Amzn-Oidc-Data`, `X-MS-Client-Principal` and
//! `X-Forwarded-User` count, and so do `X-Forwarded-Host`, `X-Forwarded-Proto`, `Origin` and `Accept-Language`. Fields of the
//! connection (RFC 9110, section 7.6.1) are no part of a request, and neither counted nor sent.
//!
//! Where two relays of one target differ by one field alone, the log says so once for each field, and
//! [`RelayInfo::apart_by`] has its name.
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
//! The upstream is read no further ahead of the fastest client than the history holds. A client that is slower by more than
//! that is dealt with as [`SlowClient`] says. One that stops holds up the stream for
//! [some time](RelayLayer::with_client_stall_timeout); what becomes of a stream when nobody reads is [`OnFull`]. What the upstream
//! sends again after a reconnect is known again only while the history has it. A client whose body is not polled cannot be told
//! anything: to close its connection is the server's part, which can be asked to by a [`Hangup`]. When all streams together
//! are over the budget, a client may miss what it was about to read, and is told.
//!
//! A client that brings an id which the history does not know, or behind which some is not kept any more, is served by an upstream request of its own until it meets the
//! others: at most 64 clients at once, 100,000 events, 64 MiB and 120 s for each. Beyond that, and where it does not meet
//! them, it is told of a gap of `null`.
//!
//! What relays hold beside events (keys, heads, bodies of requests) counts against the budget of the
//! [history](crate::history::MemoryHistory), and may take half of it. [`RelayLayer::with_max_relays`] bounds their number,
//! [`RelayLayer::with_max_idle`] and [`RelayLayer::with_max_idle_for_client`] that of those without clients. Where there is
//! no room and none without clients can go, requests pass by unrelayed; that is counted, and logged at most once a minute.
//! The body of a POST that is shared by it is the exception: where there is no room for it, the answer is 503.
//!
//! Routers of axum that are nested under one layer do not mix their streams with the feature `axum`; for others see
//! [`RelayLayer::with_target`].

use std::fmt;

use http::HeaderName;

use crate::wire::EventId;

mod alone;
mod apart;
mod asked;
mod asks;
mod backoff;
mod body;
mod catch_up;
mod collect;
mod config;
mod document;
mod elsewhere;
mod gap;
mod hangup;
mod head;
mod idle;
mod inside;
mod key;
mod keyed;
mod last_event_id;
mod late;
mod layer;
mod metrics;
mod neutral;
mod no_upstream;
#[cfg_attr(not(feature = "redis"), allow(dead_code))]
mod note;
#[cfg_attr(not(feature = "redis"), allow(dead_code))]
mod outside;
mod own;
mod pace;
mod passed;
mod random;
mod reading;
mod registry;
mod relayed;
mod request;
mod retry_after;
mod room;
mod secret;
mod service;
mod share;
mod shared;
mod task;
mod template;
mod upstream;
mod vary;

pub use body::RelayBody;
pub use config::{AfterEnd, CleanEnd, OnFull, OnLeave, SlowClient, Start};
pub use hangup::Hangup;
pub(crate) use hangup::Progress;
pub use key::{InvalidKey, Key};
pub use last_event_id::move_last_event_id_to_header;
pub use layer::RelayLayer;
pub use no_upstream::NoUpstream;
pub use request::{ClientAddress, ForAll, LastEventIdTaken, ShownPath};
pub use secret::{Secret, ShortSecret};
pub use service::RelayService;

#[cfg(feature = "redis")]
pub(crate) use random::bits as random_bits;

/// What a relay is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayInfo {
    /// Its key, with credentials and queries hashed.
    pub key: String,
    /// Clients that are there, or wait for the head.
    pub clients: usize,
    /// The upstream's stream.
    pub upstream: UpstreamState,
    /// Which process reads it, where several share it by a store: what `RedisStore::instance` says there. None where nobody does,
    /// or it is not known.
    pub owner: Option<String>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Another process reads it, for all that share a store.
    Elsewhere = 4,
}

impl UpstreamState {
    /// In one word, for a label or a list: `connecting`, `connected`, `waiting`, `ended` or
    /// `elsewhere`.
    pub fn as_str(self) -> &'static str {
        match self {
            UpstreamState::Connecting => "connecting",
            UpstreamState::Connected => "connected",
            UpstreamState::Waiting => "waiting",
            UpstreamState::Ended => "ended",
            UpstreamState::Elsewhere => "elsewhere",
        }
    }
}

impl fmt::Display for UpstreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
