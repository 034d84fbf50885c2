//! The `text/event-stream` format: bytes in, whole events out.
//!
//! This is section 9.2 of the HTML standard, [parsing an event stream], seen from the middle of the
//! way: nothing is dispatched here, events are found, looked into and passed on. No IO, no HTTP and
//! no time.
//!
//! - [`Decoder`] takes chunks as they arrive and gives whole events, as slices of the chunk where it can.
//! - [`Event`] is the bytes of one block and answers what its fields say, without copying them.
//! - [`EventBuilder`] writes events, and cannot write one that a client would read as something else.
//! - [`EventId`] is an id that is valid; [`SequentialId`] is one that this crate gave.
//!
//! # Example: what is in a chunk
//!
//! ```
//! use tower_sse::wire::{Decoded, Decoder};
//!
//! let mut decoder = Decoder::new();
//! decoder.push("event: add\ndata: 73857293\n\ndata: half of".into());
//!
//! let Some(Decoded::Event(event)) = decoder.next() else { panic!() };
//! assert_eq!(event.event_type(), b"add");
//! assert_eq!(event.data().as_deref(), Some(&b"73857293"[..]));
//! assert!(decoder.next().is_none(), "the second event is not whole yet");
//!
//! decoder.push(" an event\n\n".into());
//! let Some(Decoded::Event(event)) = decoder.next() else { panic!() };
//! assert_eq!(event.data().as_deref(), Some(&b"half of an event"[..]));
//! ```
//!
//! # What an event is here
//!
//! A client dispatches an event at a blank line, if there was a `data` field. Here *every* block up to
//! and with its blank line is an event, also one that sets only an id or holds only comments, since it
//! must reach the client all the same. [`Event::has_data`] tells the difference.
//!
//! One kind of event has no blank line: comment and `retry` lines at the beginning of a block take
//! effect as soon as a client reads them, so they are handed on at the end of the chunk in which they
//! came, without waiting for the rest of their block. An upstream whose heartbeat is a comment line and
//! nothing else would be silent otherwise.
//!
//! [parsing an event stream]: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

mod builder;
mod decoder;
mod event;
mod id;
mod large;
mod line;
mod plain;
mod sequential_id;

pub use builder::{EventBuilder, InvalidEventType};
pub(crate) use builder::{millis, split_lines, write_line};
pub(crate) use decoder::Taken;
pub use decoder::{DEFAULT_MAX_EVENT_BYTES, Decoded, Decoder};
pub use event::Event;
pub(crate) use event::{id_line_len, id_of, write_id};
pub use id::{EventId, InvalidEventId};
pub use large::LargeEvent;
pub(crate) use line::Kinds;
pub use line::LineEnding;
#[cfg(feature = "relay")]
pub(crate) use line::first_block;
pub(crate) use plain::Plain;
#[cfg(feature = "relay")]
pub(crate) use sequential_id::IdCheck;
pub use sequential_id::{Epoch, IdTag, SequentialId};
