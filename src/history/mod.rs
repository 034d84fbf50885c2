//! Events kept so that they can be given again.
//!
//! A [`History`] opens [`Log`]s, one for each stream. One side [appends](Log::append) events, any number of others
//! [follow](Log::follow): each from a place of its own, through what is kept and on to what is yet to come. Nothing is
//! queued for a follower; it is a position, and reading shares the bytes.
//!
//! [`MemoryHistory`] keeps events in this process, bounded three ways for each log (events, bytes, age), and with one
//! budget of bytes for all logs.
//!
//! # A store outside of the process
//!
//! The traits are the seam for one. Appending and joining may wait; the number of an event, and so its id, is
//! the log's to give and comes back from [`Log::append`]; a read begins behind an id or at a position; a follower
//! is polled and wakes its task when there is more.

use std::collections::VecDeque;
use std::future::Future;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::Instant;

use crate::wire::{Epoch, Event, EventId, LineEnding};

mod memory;
mod order;
mod reserved;
mod seal;

pub(crate) use memory::MAX_UPSTREAM_ID;
pub use memory::{Evictions, MemoryFollower, MemoryHistory, MemoryLog};
pub(crate) use order::order;
pub use reserved::Reserved;
pub use seal::Seal;

/// Opens logs.
pub trait History: Send + Sync + 'static {
    /// The events of one stream.
    type Log: Log;

    /// Opens a log, whose ids begin with this epoch and are sealed by this seal, and whose events are those behind this id
    /// of the upstream.
    fn open(&self, epoch: Epoch, seal: Seal, behind: Option<Bytes>) -> Self::Log;

    /// Takes so many bytes of the budget for something that is held beside events, if they may be had.
    fn reserve(&self, _bytes: usize) -> Option<Reserved> {
        Some(Reserved::nothing())
    }

    /// Events that were dropped so far to stay within the bounds, if the store tells.
    fn evictions(&self) -> Evictions {
        Evictions::default()
    }
}

/// The events of one stream, in order.
pub trait Log: Send + Sync + 'static {
    /// What reads it.
    type Follower: Follow;

    /// Appends events, in order and at once: followers are woken once for all of them.
    ///
    /// What could not be kept is the store's to drop: followers then find a gap.
    fn append(&self, events: Vec<Draft>, now: Instant) -> impl Future<Output = Appended> + Send;

    /// Appends events, the first of these first, as long as that drops nothing that is to be kept. Those that were not
    /// appended stay in `events`, and [`Appended::hold`] says why.
    ///
    /// A log has one writer that appends in this way. One that cannot tell who has read what appends all.
    fn append_within(
        &self,
        events: &mut VecDeque<Draft>,
        keep: Keep,
        now: Instant,
    ) -> impl Future<Output = Appended> + Send {
        let _ = keep;
        self.append(std::mem::take(events).into(), now)
    }

    /// Waits until the log is full for another reason than this one, or has room.
    fn poll_hold(&self, _cx: &mut Context<'_>, _known: Hold) -> Poll<Hold> {
        Poll::Ready(Hold::Free)
    }

    /// Gives up waiting: for readers that have not read since they were found to hold the log, until they do; or, where
    /// there are none, for one to come, until one has. Says what holds the log then.
    fn pass_over(&self) -> Hold {
        Hold::Free
    }

    /// Begins to read. What is appended afterwards is never missed.
    fn follow(
        &self,
        start: Start,
        now: Instant,
    ) -> impl Future<Output = (Self::Follower, Joined)> + Send;

    /// Whether this event, sent again by the upstream, is the one appended last under its id, and
    /// where that stands. It is if a client dispatches the same.
    fn find_same(&self, draft: &Draft) -> impl Future<Output = Option<u64>> + Send;

    /// Whether the next event with data from this position on is the same as this one, which has no id of its own either,
    /// and where that stands.
    fn find_next_same(&self, from: u64, draft: &Draft) -> impl Future<Output = Option<u64>> + Send;

    /// Ends the log: followers end when they have read all of it.
    fn close(&self);

    /// Drops what is too old, and tells when it should be asked again.
    fn expire(&self, now: Instant) -> Option<Instant>;

    /// What is in it.
    fn stats(&self) -> Stats;
}

/// Reads a log from some place on.
pub trait Follow: Send + Unpin + 'static {
    /// The next events, joined up to 64 KiB; a single one is shared, not copied.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read>;

    /// Waits for the event with this last event ID, and goes on behind it. Gives what a client is to be told that may have
    /// had some of what follows.
    fn poll_seek(&mut self, cx: &mut Context<'_>, id: &[u8]) -> Poll<Gap>;

    /// Goes on at the first event that the upstream gave an id that is seen to come behind this one of it, if there is one:
    /// `row-8` comes behind `row-7`. Not every id tells.
    fn seek_past(&mut self, upstream: &[u8]) -> Option<Gap>;

    /// The number of the last event with data that was read, or in front of the place where it began. `u64::MAX` when that
    /// is not known.
    fn read_up_to(&self) -> u64;

    /// After [`Read::Lost`]: goes on at the oldest event that is kept, or behind the newest.
    fn skip(&mut self, to: Skip) -> Gap;
}

/// An event to be appended.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The event, as it came from upstream.
    pub event: Event,
    /// The last event ID of the upstream by then. A copy, since a slice would pin a chunk.
    pub upstream: Option<Bytes>,
    /// Whether this event has set it.
    pub sets_id: bool,
    /// Whether an id that it set stays, rather than to be replaced by the log's.
    pub keep_id: bool,
}

/// What was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first of these events.
    pub position: u64,
    /// The number of the last event with data.
    pub sequence: u64,
    /// The position of the last of these events that has set an id.
    pub last_id: Option<u64>,
    /// What keeps the log from appending more.
    pub hold: Hold,
}

/// What a full log does not drop to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keep {
    /// It drops the oldest, whoever has not read it.
    #[default]
    Nothing,
    /// What the reader that is furthest ahead has yet to read. Where there is none, as `Nothing`.
    Unread,
    /// The same; and everything where there is no reader.
    All,
}

/// For whom a log waits that is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// For nobody: there is room, or what is the oldest may be dropped.
    Free,
    /// For the reader that is furthest ahead: it has yet to read the oldest.
    Reader,
    /// For a reader to come: there is none.
    Absent,
}

/// Where to begin to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Behind the event that set this last event ID.
    After(Vec<u8>),
    /// With what is appended next.
    Live,
    /// With the last so many events that have data.
    Last(u64),
    /// With the oldest event that is kept.
    All,
    /// At this position.
    At(u64),
}

/// What became of a [`Start`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// What there was of the events behind the id.
    pub found: Found,
    /// How many events with data are to be read at once.
    pub ahead: u64,
}

/// What there was of the events behind an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No id was asked for.
    NotAsked,
    /// All of them.
    All,
    /// The first are not kept any more.
    Some(Gap),
    /// The id is not known.
    Unknown(Gap),
}

/// What a follower cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many events with data, if that is known.
    pub missed: Option<u64>,
    /// The last event ID of a client that was told of the gap: what follows it is what it has not seen.
    pub id: EventId,
    /// How the lines of the stream end.
    pub ending: LineEnding,
}

/// What a follower reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Whole events.
    Events {
        /// The bytes, never empty.
        bytes: Bytes,
        /// How many of them were there before the follower.
        replayed: u64,
    },
    /// The next event is not kept any more.
    Lost,
    /// The log was closed, and all of it was read.
    End,
}

/// Where to go on after [`Read::Lost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// At the oldest event that is kept.
    ToOldest,
    /// Behind the newest.
    ToLatest,
}

/// What is in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events that are kept.
    pub events: usize,
    /// Their bytes, with what it costs to keep them.
    pub bytes: usize,
    /// The last id that was given.
    pub last_id: Option<EventId>,
    /// Events that were dropped so far.
    pub evictions: Evictions,
    /// The number of the last event with data among them: who has not read up to there is lost.
    pub dropped_up_to: u64,
    /// Events that were appended so far, also those without data.
    pub appended: u64,
}
