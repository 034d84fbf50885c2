//! What a store has to do: open logs, and append to them.

use std::collections::VecDeque;
use std::future::Future;

use bytes::Bytes;
use tokio::time::Instant;

use super::{MemoryLog, Reserved, Seal};
use crate::wire::{Epoch, Event};

/// Opens logs.
pub trait Logs: Send + Sync + 'static {
    /// The events of one stream.
    type Log: Log;

    /// Opens a log, whose ids begin with this epoch and are sealed by this seal, and whose events are those behind this id
    /// of the upstream.
    fn open(&self, epoch: Epoch, seal: Seal, behind: Option<Bytes>) -> Self::Log;

    /// Takes so many bytes of the budget for something that is held beside events, if they may be had.
    fn reserve(&self, bytes: usize) -> Option<Reserved>;
}

/// The events of one stream, as its one writer sees them. Appending may wait.
pub trait Log: Send + Sync + 'static {
    /// What clients read: all that is kept of this log, in this process. What was appended is there.
    fn replica(&self) -> &MemoryLog;

    /// Appends events, in order and at once: followers are woken once for all of them.
    ///
    /// What could not be kept is the store's to drop: followers then find a gap.
    fn append(&self, events: Vec<Draft>, now: Instant) -> impl Future<Output = Appended> + Send;

    /// Appends events, the first of these first, as long as that drops nothing that is to be kept. Those that were not
    /// appended stay in `events`, and [`Appended::hold`] says why.
    fn append_within(
        &self,
        events: &mut VecDeque<Draft>,
        keep: Keep,
        now: Instant,
    ) -> impl Future<Output = Appended> + Send;

    /// Ends the log: followers end when they have read all of it.
    fn close(&self);
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
    /// Whether it tells of events that are missing in front of it, or that some may come again behind it. Where it is not kept
    /// any more, nobody knows how many events are missing.
    pub is_gap: bool,
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

/// An event to which others have given its number, and its id.
#[cfg(feature = "redis")]
#[derive(Clone, Debug)]
pub struct Given {
    /// Whether a client dispatches it.
    pub has_data: bool,
    /// Whether it sets the upstream's id.
    pub sets_id: bool,
    /// Whether it tells of events that are missing in front of it.
    pub is_gap: bool,
    /// The last event ID of the upstream by then.
    pub upstream: Option<Bytes>,
    /// Where what the upstream sent begins, behind an id line of ours.
    pub body: usize,
    /// All of it.
    pub bytes: Bytes,
    /// In its id.
    pub epoch: Epoch,
    /// In its id.
    pub number: u64,
}
