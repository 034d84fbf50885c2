//! How a stream ends, or why it was none.

use std::fmt;

/// How an event stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// The upstream ended it cleanly.
    Finished,
    /// The upstream's body failed, and so does the client's.
    Failed,
    /// A stage ended it, at a boundary from which its client goes on by itself.
    Closed(Reason),
    /// A stage broke it off: its client would take what it has for all there is.
    Broken(Reason),
    /// The body was dropped before its end: the client has gone, or the server gave up on it.
    Dropped,
}

impl End {
    /// The end in one word, for a label or a log line: `upstream_end`, `upstream_error`, `client`, or the
    /// reason of the stage.
    pub fn as_str(self) -> &'static str {
        match self {
            End::Finished => "upstream_end",
            End::Failed => "upstream_error",
            End::Closed(reason) | End::Broken(reason) => reason.as_str(),
            End::Dropped => "client",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a stage ended a stream: a word that is known at compile time, so that it can be a metric's label.
///
/// # Example
///
/// ```
/// use tower_sse::stage::Reason;
///
/// const QUOTA: Reason = Reason::new("quota");
/// assert_eq!(QUOTA.as_str(), "quota");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason(&'static str);

impl Reason {
    /// Nothing came from upstream for too long.
    pub const IDLE: Reason = Reason("idle");
    /// Bytes came from upstream, but no events that count.
    pub const STALLED: Reason = Reason("stalled");
    /// The stream was old enough.
    pub const LIFETIME: Reason = Reason("lifetime");
    /// The upstream was lost, and cannot be asked for the rest.
    pub const UPSTREAM: Reason = Reason("upstream_error");
    /// The client was too slow to be given all.
    pub const SLOW: Reason = Reason("slow");
    /// Something that the client missed is not kept any more.
    pub const GAP: Reason = Reason("gap");
    /// The server is about to stop.
    pub const DRAIN: Reason = Reason("drain");

    /// A reason of one's own: one lower-case word, by convention.
    pub const fn new(word: &'static str) -> Self {
        Reason(word)
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why a response passes by untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bypass {
    /// It is no event stream: another status than 200, another media type, or the answer to a HEAD.
    NotAnEventStream,
    /// It is an event stream with a content coding, such as gzip, in which no event can be found.
    Encoded,
}
