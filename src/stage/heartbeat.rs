//! Sends something when nothing was sent for a while.
//!
//! Hops on the way close connections on which nothing moves, and a server notices that a client has gone
//! only when it writes. A heartbeat is written when nothing was *sent* for the interval, so a stream that
//! is busy, or whose upstream has heartbeats of its own, gets none. It never stands inside an event, also
//! while half of one has come and is held back.
//!
//! # Which frame
//!
//! A comment line without a blank line ([`HeartbeatFrame::CommentLine`], the default) was invisible to all of 14
//! clients it was tried with. A comment *block* reaches the application as an empty event in some (httpx-sse, the
//! SDK of OpenAI for Python, sseclient, and old openai-go, once an id was seen); one (google-genai) on the other hand
//! needed the blank line, and as of 3.6 fails at any comment. So it can be chosen, and [`HeartbeatFrame::CommentBlock`] leaves the upstream's comment blocks as they
//! are too; see [`Outbox::keep_comment_blocks`].
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{EventLayer, stage::Heartbeat};
//!
//! let layer = EventLayer::new(Heartbeat::every(Duration::from_secs(15)).at_open());
//! # let _ = layer.clone();
//! ```

use std::sync::Arc;
use std::time::Duration;

use http::response;
use tokio::time::Instant;

use super::{Outbox, Stage, Times, jitter};
use crate::wire::{EventBuilder, InvalidEventType};

/// Sends a comment when nothing was sent for a while. See the [module docs](self).
#[derive(Clone, Debug)]
pub struct Heartbeat {
    settings: Arc<Settings>,
    /// The interval of this stream.
    spread: Duration,
}

/// Shared, since each stream has its copy of the stage.
#[derive(Clone, Debug)]
struct Settings {
    interval: Duration,
    frame: HeartbeatFrame,
    at_open: bool,
    jitter: f64,
}

/// What a heartbeat looks like in the stream.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum HeartbeatFrame {
    /// `:` as a line, without a blank line.
    #[default]
    CommentLine,
    /// `:` as a line, and a blank line. Blank lines of the upstream's comment blocks stay as well.
    CommentBlock,
    /// An event, which reaches the application.
    Event(Box<EventBuilder>),
    /// Comment lines with this text, without a blank line.
    Text(String),
}

impl HeartbeatFrame {
    /// An event of this type with empty data, for pages that watch their stream by themselves.
    ///
    /// # Errors
    ///
    /// When the type holds CR, LF or NULL.
    ///
    /// ```
    /// use tower_sse::stage::HeartbeatFrame;
    ///
    /// assert!(HeartbeatFrame::event("ping").is_ok());
    /// let error = HeartbeatFrame::event("two\nlines").unwrap_err();
    /// assert_eq!(error.to_string(), "an event type cannot hold CR, LF or NULL, and byte 3 is one");
    /// ```
    pub fn event(event_type: impl AsRef<[u8]>) -> Result<Self, InvalidEventType> {
        let event = EventBuilder::new().event_type(event_type)?.data("");
        Ok(HeartbeatFrame::Event(Box::new(event)))
    }
}

impl Heartbeat {
    /// A heartbeat when nothing was sent for this time.
    ///
    /// # Panics
    ///
    /// When the interval is zero.
    ///
    /// ```should_panic
    /// use std::time::Duration;
    /// use tower_sse::stage::Heartbeat;
    ///
    /// Heartbeat::every(Duration::ZERO);
    /// ```
    pub fn every(interval: Duration) -> Self {
        assert!(
            !interval.is_zero(),
            "a heartbeat needs an interval above zero"
        );
        Heartbeat {
            settings: Arc::new(Settings {
                interval,
                frame: HeartbeatFrame::default(),
                at_open: false,
                jitter: 0.0,
            }),
            spread: interval,
        }
    }

    /// Sets what a heartbeat looks like. Default: [`HeartbeatFrame::CommentLine`].
    #[must_use]
    pub fn with_frame(mut self, frame: HeartbeatFrame) -> Self {
        self.set().frame = frame;
        self
    }

    /// Spreads the intervals of streams by this fraction, up and down, so that streams that are sent the same at the same
    /// time are not due together. Default: 0.
    ///
    /// # Panics
    ///
    /// When it is not from 0 to 1.
    ///
    /// ```should_panic
    /// use std::time::Duration;
    /// use tower_sse::stage::Heartbeat;
    ///
    /// Heartbeat::every(Duration::from_secs(15)).with_jitter(1.5);
    /// ```
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.set().jitter = jitter::checked(jitter);
        self
    }

    /// Sends one at once when the stream opens, so that hops which hold back the head of the response
    /// until its first bytes let it go.
    #[must_use]
    pub fn at_open(mut self) -> Self {
        self.set().at_open = true;
        self
    }

    fn set(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }

    fn write(&self, out: &mut Outbox) {
        match &self.settings.frame {
            HeartbeatFrame::CommentLine => out.comment(""),
            HeartbeatFrame::CommentBlock => out.event(&EventBuilder::new().comment("")),
            HeartbeatFrame::Event(event) => out.event(event),
            HeartbeatFrame::Text(text) => out.comment(text),
        }
        out.count_heartbeat();
    }
}

impl Stage for Heartbeat {
    fn on_response(&mut self, _: &mut response::Parts, _: &Times, out: &mut Outbox) {
        let settings = &self.settings;
        self.spread = jitter::spread(settings.interval, settings.jitter);
        if matches!(settings.frame, HeartbeatFrame::CommentBlock) {
            out.keep_comment_blocks();
        }
        if settings.at_open {
            self.write(out);
        }
    }

    #[inline]
    fn passes(&self) -> bool {
        true
    }

    fn deadline(&self, times: &Times) -> Option<Instant> {
        times.sent.checked_add(self.spread)
    }

    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        // Another stage may have written just now, which serves as well.
        let due = self.deadline(times).is_some_and(|due| due <= times.now);
        if due && out.as_bytes().is_empty() && out.ended().is_none() {
            self.write(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(frame: HeartbeatFrame) -> String {
        let mut out = Outbox::new();
        let mut stage = Heartbeat::every(Duration::from_secs(1)).with_frame(frame);
        let mut times = Times::at(Instant::now());
        times.now += Duration::from_secs(1);
        stage.on_deadline(&times, &mut out);
        String::from_utf8(out.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn frames() {
        assert_eq!(frame(HeartbeatFrame::CommentLine), ":\n");
        assert_eq!(frame(HeartbeatFrame::CommentBlock), ":\n\n");
        assert_eq!(
            frame(HeartbeatFrame::event("ping").unwrap()),
            "event: ping\ndata:\n\n"
        );
        assert_eq!(
            frame(HeartbeatFrame::Text("still\nhere".into())),
            ": still\n: here\n"
        );
    }

    #[test]
    fn intervals_are_spread_if_told_so() {
        let times = Times::at(Instant::now());
        let intervals: Vec<f64> = (0..1000)
            .map(|_| {
                let mut stage = Heartbeat::every(Duration::from_secs(10)).with_jitter(0.1);
                let (mut head, ()) = http::Response::new(()).into_parts();
                stage.on_response(&mut head, &times, &mut Outbox::new());
                (stage.deadline(&times).unwrap() - times.now).as_secs_f64()
            })
            .collect();
        assert!(intervals.iter().all(|time| (9.0..=11.0).contains(time)));
        assert!(
            intervals.iter().any(|time| *time < 9.5) && intervals.iter().any(|time| *time > 10.5)
        );
    }

    #[test]
    fn it_waits_for_its_own_deadline() {
        let mut out = Outbox::new();
        let times = Times::at(Instant::now());
        Heartbeat::every(Duration::from_secs(1)).on_deadline(&times, &mut out);
        assert!(out.as_bytes().is_empty());
    }
}
