//! What is done to one event stream: heartbeats, ids, timeouts, metrics, and your own.
//!
//! A [`Stage`] sees the events of one response and may change, drop or add some, or end the stream. It
//! does no IO and keeps no clock: the time comes in with [`Times`], and [`Stage::deadline`] says when to
//! come back. So a stage can be tested with plain numbers, and stages combine in any order: a heartbeat
//! is due an interval after something was last *sent*, an idle timeout fires a time after something was
//! last *received*, whoever stands before or behind it.
//!
//! ```text
//! chunks ──▶ Decoder ──▶ stage ▶ stage ▶ stage ──▶ chunks       one body, one scan of the bytes, one timer
//! ```
//!
//! | stage | what it does |
//! |---|---|
//! | [`Heartbeat`] | sends a comment when nothing was sent for a while |
//! | [`EventIds`] | gives an id to events that have none |
//! | [`Retry`] | sets the reconnection time |
//! | [`IdleTimeout`] | ends a stream whose upstream fell silent |
//! | [`Lifetime`] | ends a stream that is old enough |
//! | [`Drain`] | ends streams over a window when told to |
//! | [`NoBuffering`] | asks the hops on the way not to hold events back |
#![cfg_attr(
    feature = "metrics",
    doc = "| [`Metrics`] | counts and times streams, on the `metrics` facade |"
)]
#![cfg_attr(
    not(feature = "metrics"),
    doc = "| `Metrics` | counts and times streams, behind the feature `metrics` |"
)]
//!
//! Several stages are one: a tuple of up to twelve, an `Option`, a `Box`. A [`Pipeline`] drives them over
//! a stream; [`EventLayer`](crate::EventLayer) does so for the responses of a tower service.
//!
//! # Example: a stage of one's own
//!
//! ```
//! use tower_sse::stage::{Stage, Times};
//! use tower_sse::wire::Event;
//!
//! /// Keeps debug events from clients.
//! #[derive(Clone)]
//! struct NoDebug;
//!
//! impl Stage for NoDebug {
//!     fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
//!         (event.event_type() != b"debug").then_some(event)
//!     }
//! }
//! # let mut stage = NoDebug;
//! # let times = Times::at(tokio::time::Instant::now());
//! # let event = Event::builder().event_type("debug").unwrap().data("x").build();
//! # assert!(stage.on_event(event, &times).is_none());
//! ```

use std::task::Waker;

use http::{request, response};
use tokio::time::Instant;

use crate::wire::{Event, LargeEvent};

mod compose;
pub mod drain;
mod end;
mod end_note;
mod ends;
pub mod event_ids;
mod farewell;
mod head;
pub mod heartbeat;
pub mod idle_timeout;
pub(crate) mod jitter;
pub mod lifetime;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod no_buffering;
mod outbox;
mod passing;
mod pipeline;
pub mod retry;
mod times;

pub use compose::CloneStage;
#[doc(inline)]
pub use drain::{Drain, DrainHandle};
pub use end::{Bypass, End, Reason};
pub(crate) use end_note::EndNote;
pub(crate) use ends::LAST_WORDS;
pub use ends::{BrokenEnds, CleanEnds, Ends, StreamError};
#[doc(inline)]
pub use event_ids::EventIds;
pub use farewell::Farewell;
pub use head::bypass;
#[doc(inline)]
pub use heartbeat::{Heartbeat, HeartbeatFrame};
#[doc(inline)]
pub use idle_timeout::IdleTimeout;
#[doc(inline)]
pub use lifetime::Lifetime;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
#[doc(inline)]
pub use metrics::Metrics;
#[doc(inline)]
pub use no_buffering::NoBuffering;
pub use outbox::Outbox;
pub use passing::Passing;
#[cfg(feature = "relay")]
pub(crate) use pipeline::ABOUT_THE_BYTES;
pub use pipeline::Pipeline;
#[doc(inline)]
pub use retry::Retry;
pub use times::{Counts, Times};

/// What is done to one event stream. See the [module docs](self).
///
/// One value serves one stream: a layer clones its stage for each request. Every method has a default
/// that does nothing, and the order of the calls is fixed:
///
/// 1. [`on_request`](Self::on_request), once.
/// 2. [`on_response`](Self::on_response), once, if the response is an event stream. If it is none,
///    [`on_bypass`](Self::on_bypass) instead, and no other method after it. If no response comes, nothing.
/// 3. [`on_event`](Self::on_event) for each event, or [`on_passed`](Self::on_passed) for several where all stages
///    [let them pass](Self::passes), [`on_large_event`](Self::on_large_event) for one that was too large
///    to be held back, [`on_deadline`](Self::on_deadline) at deadlines and
///    [`on_sent`](Self::on_sent) when something went out, in the order in which they happen.
/// 4. [`on_end`](Self::on_end), exactly once if there was an `on_response`, however the stream ends,
///    also when its body is dropped without ever having been polled. No other method after it.
///
/// Methods are called while a body is polled, and `on_end` perhaps while it is dropped: they must not
/// block and, the last one in particular, must not panic.
pub trait Stage {
    /// A request came in. It may turn out not to be one for an event stream.
    ///
    /// What is kept of the request should be copied: a header value pins the buffer it was read into.
    fn on_request(&mut self, request: &request::Parts, times: &Times) {
        let _ = (request, times);
    }

    /// The response is an event stream. Headers may be changed, and first events written.
    fn on_response(&mut self, response: &mut response::Parts, times: &Times, out: &mut Outbox) {
        let _ = (response, times, out);
    }

    /// The response passes by untouched, for this reason.
    fn on_bypass(&mut self, response: &response::Parts, why: Bypass, times: &Times) {
        let _ = (response, why, times);
    }

    /// An event came from upstream: keep it by returning it, changed or not, or drop it with `None`.
    ///
    /// The event may be one without data ([`Event::has_data`]), or comment and `retry` lines without a
    /// blank line ([`Event::has_blank_line`]); so is a block that holds only comments, once anything was added to the
    /// stream. Bytes that stay the same are not copied.
    ///
    /// In a tuple the event goes on to the next stage; what a stage dropped the next ones do not see.
    fn on_event(&mut self, event: Event, times: &Times) -> Option<Event> {
        let _ = times;
        Some(event)
    }

    /// Whether events that are known to be whole and to have data may pass this stage unseen. Default: false.
    ///
    /// Say so if `on_event` changes none of them, and needs to know no more than [`on_passed`](Self::on_passed) tells. If all
    /// stages of a stream do, the events of a chunk pass at once, and what a relay gives is not decoded again for each of
    /// its clients. Other events still come to `on_event`, so it is to do the same for the stage as `on_passed`. This is asked
    /// for each chunk, so it should be no more than a look at a field.
    fn passes(&self) -> bool {
        false
    }

    /// The same, for a stage that may give ids to such events. Default: what [`passes`](Self::passes) says.
    ///
    /// For stages made of stages, which give what that of [`EventIds`] gives. It is asked for each chunk of a stream
    /// whose events come one by one, and `passes` is for those that a relay gives.
    #[inline]
    fn passing(&mut self) -> Passing<'_> {
        match self.passes() {
            true => Passing::Unseen,
            false => Passing::Seen,
        }
    }

    /// So many events with data have passed unseen, at least one and none of them too large. [`Times::counts`] has them already.
    ///
    /// Called in place of `on_event`, and only if all stages [let them pass](Self::passes), but for one that may
    /// [give them ids](Passing::WithIds).
    fn on_passed(&mut self, events: u64, times: &Times) {
        let _ = (events, times);
    }

    /// An event has passed that was too large to be seen; this is what is known of it.
    fn on_large_event(&mut self, event: &LargeEvent, times: &Times) {
        let _ = (event, times);
    }

    /// When [`on_deadline`](Self::on_deadline) should be called next, if nothing changes before.
    ///
    /// It is asked again after whatever happens, so it should be a sum of two fields, not a search. A time
    /// in the past means at once, unless it was in the past at the last `on_deadline` already.
    fn deadline(&self, times: &Times) -> Option<Instant> {
        let _ = times;
        None
    }

    /// A deadline has come: write events, or end the stream, with `out`.
    ///
    /// It may have been another stage's: compare [`Times::now`] with the own deadline before acting.
    /// What is written stands between two events, so whatever it is, it is safe. While an event passes that
    /// is too large to be held back, what is written is left out.
    ///
    /// Afterwards the own deadline must have moved beyond [`Times::now`], or the stream ended. Writing moves
    /// [`Times::sent`]. A stage that leaves its deadline where it was is called again after 10 ms and no
    /// sooner, however far in the past its deadline lies and whatever it wrote. Meanwhile events pass, and
    /// the deadlines of other stages are met, up to 10 ms late.
    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        let _ = (times, out);
    }

    /// Bytes were handed on to the client: [`Times::sent`] and [`Times::counts`] have moved.
    ///
    /// Once for all that a chunk or a deadline brought, so this is the place to add up.
    fn on_sent(&mut self, times: &Times) {
        let _ = times;
    }

    /// The stream has ended.
    fn on_end(&mut self, end: End, times: &Times) {
        let _ = (end, times);
    }

    /// The stream waits, and this wakes it: for stages that must act on something else than events and
    /// time, as [`Drain`] does on its handle. Called before the first wait and whenever the waker changes.
    ///
    /// Each wake is a poll of the stream, so a waker is to be called when there is something new to act on,
    /// and never from a method of the stage: the stream would run without a pause.
    fn on_wait(&mut self, waker: &Waker) {
        let _ = waker;
    }
}
