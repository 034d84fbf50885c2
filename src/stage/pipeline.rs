//! Drives stages over the chunks of one stream.

use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, header, response};
use tokio::time::Instant;

use super::{End, EndNote, Outbox, Stage, Times};
use crate::wire::{DEFAULT_MAX_EVENT_BYTES, Decoder};

#[cfg(feature = "relay")]
mod events;
mod opening;
mod output;
mod passing;
#[cfg(feature = "relay")]
mod unseen;

/// A stage at work on one stream: chunks in, chunks out, with the time as an argument.
///
/// It is what [`EventBody`](crate::EventBody) polls; use it by itself for streams that are no bodies.
/// Whoever drives it takes out bytes with [`next`](Self::next) until there are none, after every call.
/// Dropped before its end, it tells the stage [`End::Dropped`]; [`abandon`](Self::abandon) also tells it when.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use http::Response;
/// use tokio::time::Instant;
/// use tower_sse::stage::{Heartbeat, Pipeline, Retry, Times};
///
/// let start = Instant::now();
/// let (mut head, ()) = Response::new(()).into_parts();
/// let stages = (
///     Retry::after(Duration::from_secs(3)).with_jitter(0.0),
///     Heartbeat::every(Duration::from_secs(15)),
/// );
/// let mut pipeline = Pipeline::open(stages, &mut head, Times::at(start));
///
/// pipeline.push("data: a\n\ndata: b".into(), start + Duration::from_secs(1));
/// assert_eq!(pipeline.next().unwrap(), "retry: 3000\ndata: a\n\n");
/// assert_eq!(pipeline.next(), None);
///
/// let due = pipeline.deadline().unwrap();
/// assert_eq!(due, start + Duration::from_secs(16));
/// pipeline.tick(due);
/// assert_eq!(pipeline.next().unwrap(), ":\n");
/// ```
#[derive(Debug)]
pub struct Pipeline<S: Stage> {
    stage: S,
    decoder: Decoder,
    /// What the stages wrote, and what was joined with it.
    out: Outbox,
    /// What goes out behind `out`.
    queued: Option<Bytes>,
    /// Nothing was sent yet, or there is an opening.
    begins: bool,
    /// Something other than an id was added to the stream.
    added: bool,
    /// What was sent last ends in a CR that a LF may still follow.
    ends_in_cr: bool,
    times: Times,
    /// When the stages were last told the time.
    ticked: Option<Instant>,
    end: Option<End>,
    note: Option<EndNote>,
}

/// So much later the stages are told the time again when a deadline was not moved.
const UNMOVED_WAIT: Duration = Duration::from_millis(10);

/// A chunk of joined pieces is sent when it is as large as this: one of 64 KiB, with an id for each of its small events, goes out at once.
const JOINED_SIZE: usize = 96 * 1024;

/// It may have come in parts. What else begins with it is the name of a field that no client knows.
const FIRST_OF_BYTE_ORDER_MARK: u8 = 0xef;

/// Headers that say something about the bytes of the body, which are about to change.
pub(crate) const ABOUT_THE_BYTES: [HeaderName; 4] = [
    header::CONTENT_LENGTH,
    header::ETAG,
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
];

impl<S: Stage> Pipeline<S> {
    /// Opens the stream to which this is the head, for a client that comes back by itself when it ends, as after a GET. The
    /// stage has seen its request already.
    ///
    /// Header fields that say something about the bytes of the body are taken out.
    pub fn open(stage: S, response: &mut response::Parts, times: Times) -> Self {
        Self::open_with(stage, response, times, false, None)
    }

    /// The same, for a client that does not come back: where a stage ends the stream it is [broken off](End::Broken).
    pub fn open_finite(stage: S, response: &mut response::Parts, times: Times) -> Self {
        Self::open_with(stage, response, times, true, None)
    }

    pub(crate) fn open_with(
        mut stage: S,
        response: &mut response::Parts,
        times: Times,
        is_finite: bool,
        note: Option<EndNote>,
    ) -> Self {
        for name in ABOUT_THE_BYTES {
            response.headers.remove(name);
        }
        let mut out = Outbox {
            is_finite,
            opens: true,
            ..Outbox::new()
        };
        stage.on_response(response, &times, &mut out);
        out.opens = false;
        let mut pipeline = Pipeline {
            stage,
            decoder: Decoder::new().with_max_event_bytes(DEFAULT_MAX_EVENT_BYTES),
            out,
            queued: None,
            begins: true,
            added: false,
            ends_in_cr: false,
            times,
            ticked: None,
            end: None,
            note,
        };
        pipeline.complete_words();
        pipeline.settle();
        pipeline
    }

    /// Sets how large an event may be to be seen by the stages, in bytes. Default: 1 MiB.
    ///
    /// A larger one passes through unseen, and nothing is inserted meanwhile. To be set before the first chunk.
    #[must_use]
    pub fn with_max_event_bytes(mut self, bytes: usize) -> Self {
        self.decoder = Decoder::new().with_max_event_bytes(bytes);
        self
    }

    /// Takes a chunk from upstream. After the end it is left out.
    #[inline]
    pub fn push(&mut self, chunk: Bytes, now: Instant) {
        if self.is_ended() || chunk.is_empty() {
            return;
        }
        self.times.now = now;
        self.times.received = now;
        self.decoder.push(chunk);
    }

    /// The next bytes for the client; never an empty chunk.
    #[allow(clippy::should_implement_trait)] // it goes on after None, with the next chunk
    #[inline]
    pub fn next(&mut self) -> Option<Bytes> {
        if !self.has_output() {
            if self.decoder.is_drained() {
                return None;
            }
            if self.begins {
                self.begin();
            } else {
                self.work(0..0);
            }
        }
        let bytes = if self.out.bytes.is_empty() {
            self.queued.take()?
        } else {
            std::mem::take(&mut self.out.bytes).into()
        };
        self.sent(bytes.len());
        Some(bytes)
    }

    #[inline]
    fn sent(&mut self, bytes: usize) {
        self.times.sent = self.times.now;
        self.times.counts.sent_bytes += bytes as u64;
        if !self.is_ended() {
            self.stage.on_sent(&self.times);
        }
    }

    /// When [`tick`](Self::tick) should be called, if nothing comes before.
    ///
    /// That is the stage's deadline; 10 ms after the last tick, if that tick did not move it.
    #[inline]
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_ended() {
            return None;
        }
        let due = self.stage.deadline(&self.times)?;
        match self.ticked {
            Some(at) if due <= at => at.checked_add(UNMOVED_WAIT),
            _ => Some(due),
        }
    }

    /// Tells the stages the time. To be called when the deadline has come and [`next`](Self::next) has
    /// nothing left.
    pub fn tick(&mut self, now: Instant) {
        if self.is_ended() {
            return;
        }
        self.times.now = now;
        self.ticked = Some(now);
        self.out.muted = !self.decoder.at_boundary();
        self.out.left_out = false;
        self.out.ending = self.decoder.line_ending();
        self.stage.on_deadline(&self.times, &mut self.out);
        if self.out.left_out {
            // As if it had been sent, or its deadline would never move.
            self.times.sent = now;
        }
        self.complete_words();
        self.out.muted = false;
        self.settle();
    }

    /// The upstream has ended cleanly. What is left of an event is passed on as it is, unseen by the stages.
    /// To be called when [`next`](Self::next) has nothing left.
    pub fn finish(&mut self, now: Instant) {
        if self.is_ended() {
            return;
        }
        self.times.now = now;
        let ending = self.decoder.line_ending();
        let opening = self.take_opening(ending);
        self.tail().extend_from_slice(&opening);
        if let Some(rest) = self.decoder.finish() {
            self.times.counts.event_bytes += rest.len() as u64;
            self.send(rest);
        }
        self.guard_first(ending);
        self.end_as(End::Finished);
    }

    /// The upstream has failed. What is left of an event is dropped, but for its reconnection times, which clients
    /// apply as they read them: they are the [`next`](Self::next) chunk, in front of the failure.
    pub fn fail(&mut self, now: Instant) {
        if self.is_ended() {
            return;
        }
        self.times.now = now;
        if self.decoder.at_boundary() {
            let opening = self.take_opening(self.decoder.line_ending());
            let retries = self.decoder.unfinished_retries();
            let out = self.tail();
            out.extend_from_slice(&opening);
            out.extend_from_slice(&retries);
        }
        self.end_as(End::Failed);
    }

    /// The client has gone: nobody will ask for [`next`](Self::next) again.
    ///
    /// Dropping the pipeline does the same, but leaves [`Times::now`] at what it was last.
    pub fn abandon(&mut self, now: Instant) {
        if !self.is_ended() {
            self.times.now = now;
            self.end_as(End::Dropped);
        }
    }

    /// Whether the stream has ended: nothing more is read from upstream. There may be a
    /// [`next`](Self::next) chunk still.
    #[inline]
    pub fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// How the stream has ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether [`next`](Self::next) has something.
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        !self.out.bytes.is_empty() || self.queued.is_some()
    }

    /// Tells the stages how to wake the stream; see [`Stage::on_wait`].
    pub fn on_wait(&mut self, waker: &Waker) {
        if !self.is_ended() {
            self.stage.on_wait(waker);
        }
    }

    /// When things happened, and how often.
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// The stage.
    pub fn stage(&self) -> &S {
        &self.stage
    }

    /// Draws the consequences of what the stages did with the outbox.
    fn settle(&mut self) {
        self.times.counts.heartbeats += std::mem::take(&mut self.out.heartbeats);
        if let Some(end) = self.out.end {
            self.end_as(end);
        }
    }

    fn end_as(&mut self, end: End) {
        self.end = Some(end);
        if let Some(note) = self.note.take() {
            note.write(end);
        }
        self.decoder = Decoder::new();
        self.stage.on_end(end, &self.times);
    }
}

impl<S: Stage> Drop for Pipeline<S> {
    fn drop(&mut self) {
        self.abandon(self.times.now);
    }
}
