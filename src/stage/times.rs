//! When things happened on a stream, and how often.

use tokio::time::Instant;

/// When things happened on a stream, as its stages are told. All of it is of the same clock, and the
/// same for every stage, wherever it stands.
///
/// # Example: a clock of one's own, to test a stage
///
/// ```
/// use std::time::Duration;
/// use tokio::time::Instant;
/// use tower_sse::stage::{Heartbeat, Stage, Times};
///
/// let start = Instant::now();
/// let mut times = Times::at(start);
/// times.sent = start + Duration::from_secs(5);
///
/// let stage = Heartbeat::every(Duration::from_secs(15));
/// assert_eq!(stage.deadline(&times), Some(start + Duration::from_secs(20)));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Times {
    /// The time of this call. It is read once for all that one chunk brings.
    pub now: Instant,
    /// When the request came in.
    pub requested: Instant,
    /// When the head of the response came.
    pub opened: Instant,
    /// When bytes last came from upstream, comments among them; `opened` before the first.
    pub received: Instant,
    /// When bytes last went to the client, ours among them; `opened` before the first.
    pub sent: Instant,
    /// How often things happened.
    pub counts: Counts,
}

impl Times {
    /// All of it happened now.
    pub fn at(now: Instant) -> Self {
        Times {
            now,
            requested: now,
            opened: now,
            received: now,
            sent: now,
            counts: Counts::default(),
        }
    }
}

/// What a stream has had so far. What was added here never counts as the upstream's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Counts {
    /// Events with data that came from upstream.
    pub events: u64,
    /// Bytes of the events that came from upstream, those without data and too large ones among them.
    pub event_bytes: u64,
    /// Events of upstream that were too large to be seen by the stages.
    pub oversize_events: u64,
    /// Ids that were given to events.
    pub ids_added: u64,
    /// Heartbeats that were written.
    pub heartbeats: u64,
    /// Bytes that went to the client.
    pub sent_bytes: u64,
}
