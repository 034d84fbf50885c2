//! One event, as bytes that know what they say.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::line::{Kinds, Lines, value_of};
use super::{EventBuilder, EventId, LineEnding};

/// One event of an event stream: the lines up to and with a blank line, as they came.
///
/// It holds the bytes and looks into them when asked; nothing is copied before. See the
/// [module docs](super) for what counts as an event.
///
/// # Example: giving an id to an event that has none
///
/// ```
/// use tower_sse::wire::{Event, EventId};
///
/// let event = Event::builder().data("hello").build();
/// assert_eq!(event.id(), None);
///
/// let event = event.with_id(EventId::new("7")?);
/// assert_eq!(event.id(), Some(&b"7"[..]));
/// assert_eq!(event.to_bytes(), "id: 7\ndata: hello\n\n");
/// # Ok::<(), tower_sse::wire::InvalidEventId>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    block: Bytes,
    kinds: Kinds,
    ending: LineEnding,
    /// Set by us; written as a line in front of the block.
    id: Option<EventId>,
}

impl Event {
    /// Begins an event.
    pub fn builder() -> EventBuilder {
        EventBuilder::default()
    }

    #[inline]
    pub(super) fn new(block: Bytes, kinds: Kinds, ending: LineEnding) -> Self {
        Event {
            block,
            kinds,
            ending,
            id: None,
        }
    }

    /// What is left of an event without its blank line, which some clients read nevertheless.
    #[cfg(feature = "relay")]
    pub(crate) fn unfinished(block: Bytes, ending: LineEnding) -> Self {
        let mut kinds = Kinds::default();
        for (line, _) in Lines::new(&block) {
            kinds.add(Kinds::of_line(line));
        }
        Event::new(block, kinds, ending)
    }

    /// Whether a client dispatches it: whether it has a `data` field, be it an empty one.
    #[inline]
    pub fn has_data(&self) -> bool {
        self.kinds.has(Kinds::DATA)
    }

    /// Whether it ends in a blank line. Comment and `retry` lines that were handed on ahead of the
    /// rest of their block do not.
    pub fn has_blank_line(&self) -> bool {
        matches!(
            self.block.as_ref(),
            b"\n"
                | b"\r"
                | b"\r\n"
                | [.., b'\n', b'\n']
                | [.., b'\r', b'\r']
                | [.., b'\n', b'\r']
                | [.., b'\n' | b'\r', b'\r', b'\n']
        )
    }

    /// The value of the `data` field: its lines, joined by line feeds.
    ///
    /// `None` when there is no such field. Data of one line is not copied.
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        if !self.has_data() {
            return None;
        }
        let mut lines = self.values(b"data");
        let first = lines.next()?;
        let Some(second) = lines.next() else {
            return Some(Cow::Borrowed(first));
        };
        let mut data = first.to_vec();
        for line in std::iter::once(second).chain(lines) {
            data.push(b'\n');
            data.extend_from_slice(line);
        }
        Some(Cow::Owned(data))
    }

    /// The event type: the value of the last `event` field, `message` when there is none or it is empty.
    pub fn event_type(&self) -> &[u8] {
        let given = if self.kinds.has(Kinds::EVENT) {
            self.values(b"event").last()
        } else {
            None
        };
        given.filter(|name| !name.is_empty()).unwrap_or(b"message")
    }

    /// The id that this event sets. An empty one clears the last event ID.
    ///
    /// `None` when it sets none: no `id` field, or only such as hold NULL, which clients ignore.
    #[inline]
    pub fn id(&self) -> Option<&[u8]> {
        let own = if self.kinds.has(Kinds::ID) {
            self.own_id()
        } else {
            None
        };
        own.or_else(|| self.id.as_ref().map(EventId::as_bytes))
    }

    fn own_id(&self) -> Option<&[u8]> {
        id_of(&self.block)
    }

    /// The reconnection time that this event sets, if its `retry` is ASCII digits alone.
    ///
    /// What is too large for a [`u64`] of milliseconds counts as the largest.
    pub fn retry(&self) -> Option<Duration> {
        if !self.kinds.has(Kinds::RETRY) {
            return None;
        }
        self.values(b"retry").filter_map(millis_of).last()
    }

    /// Whether a client is other than before when it has read it: whether it has data, an event type, an id or a
    /// reconnection time. Comments have none, and neither have fields that clients ignore.
    pub(crate) fn has_effect(&self) -> bool {
        let has_type = || {
            self.values(b"event")
                .last()
                .is_some_and(|name| !name.is_empty())
        };
        self.has_data()
            || self.id().is_some()
            || self.retry().is_some()
            || self.kinds.has(Kinds::EVENT) && has_type()
    }

    /// The comments of an event that has no effect, as lines without a blank line. `None` when there are none.
    ///
    /// Fields that clients ignore go: without their blank line they would stand in the next event.
    pub(crate) fn into_comments(mut self) -> Option<Event> {
        if self.kinds.without(Kinds::COMMENT).is_none() {
            if self.has_blank_line() {
                let ending = if self.block.ends_with(b"\r\n") { 2 } else { 1 };
                self.block.truncate(self.block.len() - ending);
            }
        } else if self.has_blank_line() {
            let lines = Lines::new(&self.block);
            let comments = lines.filter(|(line, _)| Kinds::of_line(line).has(Kinds::COMMENT));
            let comments: Vec<u8> = comments.flat_map(|(_, whole)| whole).copied().collect();
            self.block = comments.into();
            self.kinds = Kinds::COMMENT;
        }
        (!self.block.is_empty()).then_some(self)
    }

    /// The comments, each without its colon and the one space behind it.
    pub fn comments(&self) -> impl Iterator<Item = &[u8]> {
        self.values(b"")
    }

    /// The values of all fields of this name, in order.
    fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        values(&self.block, name)
    }

    /// How its lines end, for what is written in its place.
    pub fn line_ending(&self) -> LineEnding {
        self.ending
    }

    /// Its length in bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // an event has at least a line ending
    pub fn len(&self) -> usize {
        let line = |id: &EventId| id_line_len(id.as_bytes().len(), self.ending);
        self.id.as_ref().map_or(0, line) + self.block.len()
    }

    /// The same event with this id, as a line in front of its own.
    ///
    /// An id that the event already sets is taken out, so that the new one counts. On comment lines
    /// without a blank line an id would fall to the event behind them, so these are left as they are.
    #[must_use]
    #[inline]
    pub fn with_id(mut self, id: EventId) -> Self {
        self.set_id(id);
        self
    }

    /// Like [`with_id`](Self::with_id), where it stands.
    #[inline(always)]
    pub(crate) fn set_id(&mut self, id: EventId) {
        if self.kinds.has(Kinds::ID) {
            self.take_out_id();
        } else if !self.has_data() && !self.has_blank_line() {
            return;
        }
        self.id = Some(id);
    }

    #[cold]
    fn take_out_id(&mut self) {
        let mut block: Vec<u8> = Lines::new(&self.block)
            .filter(|(line, _)| !Kinds::of_line(line).has(Kinds::ID))
            .flat_map(|(_, whole)| whole)
            .copied()
            .collect();
        // Behind a CR alone a LF would be part of that line ending.
        let blank_line = match (block.last(), self.ending) {
            (Some(b'\r'), LineEnding::Lf) => LineEnding::CrLf,
            (_, ending) => ending,
        };
        block.extend_from_slice(blank_line.as_bytes());
        self.block = block.into();
        self.kinds = self.kinds.without(Kinds::ID);
    }

    /// The bytes of the event. Free of copies unless an id was added.
    pub fn to_bytes(&self) -> Bytes {
        if self.id.is_none() {
            return self.block.clone();
        }
        let mut bytes = Vec::with_capacity(self.len());
        self.write_to(&mut bytes);
        bytes.into()
    }

    #[inline(always)]
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        if let Some(id) = &self.id {
            write_id(id, self.ending, out);
        }
        out.extend_from_slice(&self.block);
    }

    /// The bytes it came with.
    #[inline]
    pub(crate) fn block(&self) -> &Bytes {
        &self.block
    }

    #[inline]
    pub(crate) fn added_id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    #[inline]
    pub(crate) fn into_block(self) -> Bytes {
        self.block
    }
}

const ID_FIELD: &[u8] = b"id: ";

/// How long the line is of an id of this length.
#[inline]
pub(crate) fn id_line_len(id: usize, ending: LineEnding) -> usize {
    ID_FIELD.len() + id + ending.as_bytes().len()
}

/// Writes the line of an id.
#[inline(always)]
pub(crate) fn write_id(id: &EventId, ending: LineEnding, out: &mut Vec<u8>) {
    out.extend_from_slice(ID_FIELD);
    out.extend_from_slice(id.as_bytes());
    match ending {
        LineEnding::Lf => out.push(b'\n'),
        other => out.extend_from_slice(other.as_bytes()),
    }
}

/// The id that a block sets; see [`Event::id`].
pub(crate) fn id_of(block: &[u8]) -> Option<&[u8]> {
    values(block, b"id").filter(|id| !id.contains(&0)).last()
}

fn values<'a>(block: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    Lines::new(block).filter_map(move |(line, _)| value_of(name, line))
}

/// The reconnection time that these digits stand for, if they are nothing else.
pub(super) fn millis_of(value: &[u8]) -> Option<Duration> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        Duration::from_millis(value.iter().fold(0_u64, |time, digit| {
            time.saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        }))
    })
}
