//! What is asked of a log by those who read it, and what it answers.

use bytes::Bytes;

use super::Evictions;
use crate::wire::{EventId, LineEnding};

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
        /// How many they are.
        events: u64,
        /// How many of them have data.
        with_data: u64,
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
