//! What a relay knows of the bytes that it gives, for the layer around it: that they are whole events, and how many.
//!
//! There may be any body between the two, so this goes past it: the layer asks on its thread before it polls the body
//! inside, and looks behind that poll whether there was an answer, and whether it is about the bytes that came. Where a body
//! in between gives others, or gives them later, there is none, and they are taken apart as those of any body.

use std::cell::Cell;

#[derive(Clone, Copy)]
enum Note {
    NotAsked,
    Asked,
    Said {
        address: usize,
        len: usize,
        events: u64,
    },
}

thread_local! {
    static NOTE: Cell<Note> = const { Cell::new(Note::NotAsked) };
}

/// Asks for what is known of the next bytes. What was said before is forgotten: there may be others now where those were.
#[inline]
pub(crate) fn ask() {
    NOTE.set(Note::Asked);
}

/// Says of these bytes that they are so many events with data and nothing else, if it was asked for.
#[inline]
pub(crate) fn say(bytes: &[u8], events: u64) {
    if matches!(NOTE.get(), Note::Asked) {
        NOTE.set(Note::Said {
            address: bytes.as_ptr().addr(),
            len: bytes.len(),
            events,
        });
    }
}

/// How many events these bytes are, if it was said of them.
#[inline]
pub(crate) fn said(bytes: &[u8]) -> Option<u64> {
    let Note::Said {
        address,
        len,
        events,
    } = NOTE.replace(Note::NotAsked)
    else {
        return None;
    };
    (address == bytes.as_ptr().addr() && len == bytes.len()).then_some(events)
}
