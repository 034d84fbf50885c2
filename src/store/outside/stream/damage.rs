//! What was read of a log, and is none.

use crate::store::{Answer, Frame, FrameError, Meta};

/// Why what was read cannot be used.
pub(super) fn damage(answer: &Answer) -> Option<FrameError> {
    let Answer::Read(snapshot) = answer else {
        return None;
    };
    if snapshot.meta.is_some_and(|meta| !meta.is_bounded()) {
        return Some(FrameError::Malformed);
    }
    let mut last = None;
    for frame in &snapshot.frames {
        match Frame::parse(frame) {
            Ok(frame) => last = Some(frame.last()),
            Err(error) => return Some(error),
        }
    }
    // Both are written at once. An owner would read again and again what it is said to have appended.
    let is_behind = |meta: Meta| last.is_some_and(|last| last < meta.position);
    snapshot
        .meta
        .is_some_and(is_behind)
        .then_some(FrameError::Malformed)
}
