//! Tower parts that make any server-sent event stream dependable.
//!
//! An event stream is easy to begin and hard to keep: hops close it when it is quiet, browsers that lost it all come back
//! in the same second, an upstream falls silent without closing, a deploy cuts thousands of streams in the middle of an
//! event, and nobody sees any of it on a dashboard. This crate takes care of these things *around* a stream, so neither
//! the code that makes it nor the client that reads it has to change: an [`EventLayer`] goes around a service, and
//! the event streams among its responses go through the [stages](stage) that were given to it.
//!
//! For servers in other languages there is `sse-gateway`, a reverse proxy built from these parts, in a package of its own.
//!
//! # Example: a route of axum
//!
//! ```no_run
//! use std::{convert::Infallible, time::Duration};
//!
//! use axum::response::sse::{Event, Sse};
//! use axum::{Router, routing::get};
//! use futures_util::{Stream, stream};
//! use tower_sse::EventLayer;
//! use tower_sse::stage::{EventIds, Heartbeat, Retry};
//!
//! /// Three notices, one a second, and then nothing new for a long time.
//! async fn notices() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
//!     Sse::new(stream::unfold(1, async |number| {
//!         let wait = if number > 3 { 3600 } else { 1 };
//!         tokio::time::sleep(Duration::from_secs(wait)).await;
//!         Some((Ok(Event::default().data(format!("notice {number}"))), number + 1))
//!     }))
//! }
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let app = Router::new().route("/notices", get(notices)).layer(EventLayer::new((
//!         Retry::after(Duration::from_secs(3)),
//!         EventIds::sequential(),
//!         Heartbeat::every(Duration::from_secs(15)),
//!     )));
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//!     axum::serve(listener, app).await
//! }
//! ```
//!
//! The handler writes `data: notice 1` and a blank line, and so on. A client reads:
//!
//! ```text
//! retry: 3000
//! id: tsrd1b225jwhkszw-1
//! data: notice 1
//!
//! id: tsrd1b225jwhkszw-2
//! data: notice 2
//!
//! id: tsrd1b225jwhkszw-3
//! data: notice 3
//!
//! :
//! ```
//!
//! The last line is a comment, written since nothing had been sent for 15 seconds. The application in the browser sees
//! the three events that it saw before.
//!
//! # What is touched, and what is not
//!
//! A response is an event stream when its status is 200, its media type is `text/event-stream`, the request was not a
//! HEAD, and it has no content coding. Everything else passes through byte for byte and header for header. So a layer can
//! go around a whole application. The error type of the body stays what it was: stages end a stream only cleanly.
//!
//! On an event stream this holds for every set of stages and for every way in which the bytes are cut into chunks: a client
//! sees the same events as without the layer, but for what the stages say they add or take away. Events are handed on whole,
//! so whatever is written stands between two of them, and a stream that is ended here ends between two of them. Chunks
//! that no stage touched leave as the slices they came as.
//!
//! Two layers in one stack do not know of each other. A layer that compresses belongs *outside* of an [`EventLayer`]: in
//! an encoded stream no event can be found, and it passes untouched.
//!
//! # The stages
//!
//! | stage | what it does |
//! |---|---|
//! | [`Heartbeat`](stage::Heartbeat) | sends a comment when nothing was sent for a while |
//! | [`EventIds`](stage::EventIds) | gives an id to events that have none |
//! | [`Retry`](stage::Retry) | sets the reconnection time, with jitter |
//! | [`IdleTimeout`](stage::IdleTimeout) | ends a stream whose upstream fell silent |
//! | [`Lifetime`](stage::Lifetime) | ends a stream that is old enough |
//! | [`Drain`](stage::Drain) | ends streams over a window when told to, so that a server can stop |
//! | [`NoBuffering`](stage::NoBuffering) | asks the hops on the way not to hold events back |
#![cfg_attr(
    feature = "metrics",
    doc = "| [`Metrics`](stage::Metrics) | counts and times streams, on the `metrics` facade |"
)]
#![cfg_attr(
    not(feature = "metrics"),
    doc = "| `Metrics` | counts and times streams, behind the feature `metrics` |"
)]
//!
//! A tuple of up to twelve stages is a stage, an `Option` of one is, and so is a `Box`. An event meets them in the order in
//! which they are given; for what they do by the clock the order does not matter, since all are told the same
//! [`Times`](stage::Times): when something was last received, and when something was last sent.
//!
//! # Example: a stage of one's own
//!
//! [`Stage`](stage::Stage) has a method for each thing that can happen to a stream, and all have defaults.
//! This one ends a stream after a number of events:
//!
//! ```
//! use tokio::time::Instant;
//! use tower_sse::stage::{End, Outbox, Reason, Stage, Times};
//! use tower_sse::wire::Event;
//!
//! #[derive(Clone)]
//! struct Quota { left: u32 }
//!
//! const QUOTA: Reason = Reason::new("quota");
//!
//! impl Stage for Quota {
//!     fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
//!         self.left = self.left.saturating_sub(u32::from(event.has_data()));
//!         Some(event)
//!     }
//!     fn deadline(&self, times: &Times) -> Option<Instant> {
//!         (self.left == 0).then_some(times.now)
//!     }
//!     fn on_deadline(&mut self, _: &Times, out: &mut Outbox) {
//!         if self.left == 0 {
//!             out.comment("that was all for today");
//!             out.end(QUOTA);
//!         }
//!     }
//! }
//!
//! // No runtime and no clock are needed to see it work.
//! let mut stage = Quota { left: 1 };
//! let times = Times::at(Instant::now());
//! assert_eq!(stage.deadline(&times), None);
//! stage.on_event(Event::builder().data("x").build(), &times);
//! assert_eq!(stage.deadline(&times), Some(times.now));
//!
//! let mut out = Outbox::new();
//! stage.on_deadline(&times, &mut out);
//! assert_eq!(out.as_bytes(), b": that was all for today\n");
//! assert_eq!(out.ended(), Some(End::Closed(QUOTA)));
//! ```
//!
//! # Example: stopping a server
//!
//! Event streams keep a server from stopping. A [`Drain`](stage::Drain) ends them over a window, each with a last
//! comment, so that their clients come back one by one, and elsewhere:
//!
//! ```
//! use std::time::Duration;
//! use axum::Router;
//! use tower_sse::{EventLayer, stage::{Drain, DrainHandle}};
//!
//! # async fn serve(router: Router, sigterm: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
//! let handle = DrainHandle::new();
//! let app = router.layer(EventLayer::new(
//!     Drain::on(&handle).with_window(Duration::from_secs(10)),
//! ));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app)
//!     .with_graceful_shutdown(async move {
//!         sigterm.await;
//!         handle.start();
//!     })
//!     .await
//! # }
//! ```
//!
//! # Ids, and what they are not
//!
//! [`EventIds`](stage::EventIds) gives events the ids that a client sends back as `Last-Event-ID`. They say where a client
//! was; they do not bring back what it missed, which takes a history. An upstream that can resume by its own
//! ids still can: where it has set one, it stands behind the dot of ours, and
//! [`SequentialId::parse`](wire::SequentialId::parse) gives it back. `sse-gateway` does this by itself.
//!
//! # One stream for many clients, and what they missed
//!
//! A `RelayLayer` (feature `relay`) runs a service once for all requests with the same key and keeps its events. Who
//! comes back with a `Last-Event-ID` gets what it missed, once and in order, from a service that knows nothing of ids;
//! where something of it is not there any more, an event says so. Or each request has a stream of its own that outlives
//! its connection: the answer to a POST, the tokens of a language model for instance, is read to its end and never asked
//! for twice.
#![cfg_attr(feature = "relay", doc = include_str!("relay/example.md"))]
//!
//! # How it is made
//!
//! - [`wire`] is the format, section 9.2 of the [HTML standard]: bytes in, whole events out. No IO, no HTTP, no time.
//! - [`stage`] is what is done to one stream. No IO; time is passed in.
//! - [`layer`] drives stages over the bodies of a tower service. It has the timers, and knows `http_body`.
//! - `history` keeps events so that they can be given again, and `relay` puts it between a service and its clients;
//!   behind the feature `relay`.
//!
//! Each can be used without the next: a [`Decoder`](wire::Decoder) reads any event stream, and a
//! [`Pipeline`](stage::Pipeline) drives stages over one that is no HTTP body. There is no `unsafe` code in here.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `metrics`: the stage `Metrics`, on the [`metrics`] facade.
//! - `relay`: the modules `relay` and `history`: replay after a lost connection, and one upstream for many clients. It
//!   needs a runtime of tokio, in which relays are tasks.
//! - `redis`: the module `store`: streams that several processes share, with one upstream request and one history for all;
//!   `redis-tls`: the same, and TLS to the server.
//! - `axum`: for a relay that is nested in a router of axum, what the target was outside of it.
//!
//! [HTML standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html
//! [`metrics`]: https://docs.rs/metrics

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "relay")]
#[cfg_attr(docsrs, doc(cfg(feature = "relay")))]
pub mod history;
pub mod layer;
#[cfg(feature = "relay")]
#[doc(hidden)]
pub mod level;
#[cfg(feature = "relay")]
#[cfg_attr(docsrs, doc(cfg(feature = "relay")))]
pub mod relay;
mod slots;
pub mod stage;
#[cfg(feature = "store")]
#[cfg_attr(not(feature = "redis"), doc(hidden))]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub mod store;
#[cfg(feature = "relay")]
mod whole;
pub mod wire;

pub use layer::{EventBody, EventFuture, EventLayer, EventService};

/// The README's example is compiled with those of the docs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
