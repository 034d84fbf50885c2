//! How a body ends whose stream was broken off.

use std::fmt;
use std::time::Duration;

use super::Reason;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How the body of a stream ends that was broken off by a stage or a relay: [`CleanEnds`] or [`BrokenEnds`].
///
/// HTTP knows two ends of a body. A clean one says that this was all of it; a broken one (HTTP/1.1 without the last chunk,
/// HTTP/2 with a reset) that it was not, and a server writes it where a body fails. A client that does not come back by
/// itself must not take half an answer for a whole one, so streams that were asked for by another method than GET are
/// broken off. But a body that fails has an error type, and that of a user's stack changes only where the user asks for
/// it.
pub trait Ends: sealed::Sealed + Send + Sync + Unpin + 'static {
    /// The error of a body around one with this error.
    type Error<E>;

    /// The body inside has failed.
    fn failed<E>(error: E) -> Self::Error<E>;

    /// The stream was broken off. `None` ends the body as if it were whole.
    fn broken<E>(reason: Reason) -> Option<Self::Error<E>>;
}

/// So long a server has to write the last words of a stream that is broken off: it drops what it has not written when the
/// body fails.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(100);

/// All streams end as if they were whole, and the error of a body is that of the body inside. The default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanEnds {}

/// Streams that were broken off fail with [`StreamError::Broken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokenEnds {}

/// Why a body with [`BrokenEnds`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError<E> {
    /// The body inside has failed.
    Inner(E),
    /// The stream was broken off for this reason, behind the last words that say so.
    Broken(Reason),
}

impl Ends for CleanEnds {
    type Error<E> = E;

    fn failed<E>(error: E) -> E {
        error
    }

    fn broken<E>(_: Reason) -> Option<E> {
        None
    }
}

impl Ends for BrokenEnds {
    type Error<E> = StreamError<E>;

    fn failed<E>(error: E) -> StreamError<E> {
        StreamError::Inner(error)
    }

    fn broken<E>(reason: Reason) -> Option<StreamError<E>> {
        Some(StreamError::Broken(reason))
    }
}

impl<E: fmt::Display> fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Inner(error) => error.fmt(f),
            StreamError::Broken(reason) => write!(f, "the stream was broken off: {reason}"),
        }
    }
}

/// As servers want it, also where the error inside is a box already.
impl<E: Into<BoxError>> From<StreamError<E>> for BoxError {
    fn from(error: StreamError<E>) -> Self {
        match error {
            StreamError::Inner(error) => error.into(),
            StreamError::Broken(reason) => format!("the stream was broken off: {reason}").into(),
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::CleanEnds {}
    impl Sealed for super::BrokenEnds {}
}
