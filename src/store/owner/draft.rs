//! An event to be appended.

use bytes::Bytes;

/// An event to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Whether a client dispatches it.
    pub has_data: bool,
    /// Whether it sets the upstream's id.
    pub sets_id: bool,
    /// Whether it says that events may be missing in front of it.
    pub is_gap: bool,
    /// The last event ID of the upstream.
    pub upstream: Option<Bytes>,
    /// All of it, but for an id of ours.
    pub event: Bytes,
}

impl Draft {
    /// A block that sets an id alone.
    pub(in crate::store) fn id(upstream: Bytes) -> Self {
        Draft {
            has_data: false,
            sets_id: true,
            is_gap: false,
            upstream: Some(upstream),
            event: Bytes::from_static(b"\n"),
        }
    }
}
