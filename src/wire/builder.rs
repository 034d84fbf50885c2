//! Writes events that say what was meant.

use std::fmt;
use std::time::Duration;

use memchr::memchr3;

use super::line::Kinds;
use super::{Event, EventId, LineEnding};

/// Builds an event, field by field; it cannot build an invalid one.
///
/// Line ends in data and comments begin a new line of the same field, as a client puts them together
/// again. Line ends in an event type are an error, in an id they cannot occur ([`EventId`]).
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_sse::wire::{EventBuilder, EventId};
///
/// let event = EventBuilder::new()
///     .event_type("add")?
///     .id(EventId::new("7")?)
///     .retry(Duration::from_secs(3))
///     .data("two\nlines")
///     .build();
/// assert_eq!(event.to_bytes(), "retry: 3000\nevent: add\nid: 7\ndata: two\ndata: lines\n\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct EventBuilder {
    comments: Option<Vec<u8>>,
    retry: Option<Duration>,
    event_type: Option<Vec<u8>>,
    id: Option<EventId>,
    data: Option<Vec<u8>>,
    ending: LineEnding,
}

/// An event type held CR, LF or NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEventType {
    at: usize,
}

impl EventBuilder {
    /// An event without any field yet: a blank line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the event type, which is `message` to a client when there is none.
    ///
    /// # Errors
    ///
    /// When it holds CR, LF or NULL.
    ///
    /// ```
    /// use tower_sse::wire::EventBuilder;
    ///
    /// assert!(EventBuilder::new().event_type("add").is_ok());
    /// let error = EventBuilder::new().event_type("two\nlines").unwrap_err();
    /// assert_eq!(error.to_string(), "an event type cannot hold CR, LF or NULL, and byte 3 is one");
    /// ```
    pub fn event_type(mut self, name: impl AsRef<[u8]>) -> Result<Self, InvalidEventType> {
        let name = name.as_ref();
        if let Some(at) = memchr3(b'\r', b'\n', 0, name) {
            return Err(InvalidEventType { at });
        }
        self.event_type = Some(name.to_vec());
        Ok(self)
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the reconnection time, in whole milliseconds.
    #[must_use]
    pub fn retry(mut self, time: Duration) -> Self {
        self.retry = Some(time);
        self
    }

    /// Adds data, as a new line behind what there is already.
    #[must_use]
    pub fn data(mut self, data: impl AsRef<[u8]>) -> Self {
        add_line(&mut self.data, data.as_ref());
        self
    }

    /// Adds a comment.
    #[must_use]
    pub fn comment(mut self, text: impl AsRef<[u8]>) -> Self {
        add_line(&mut self.comments, text.as_ref());
        self
    }

    /// Ends the lines in another way than with LF, to write as the rest of a stream does.
    #[must_use]
    pub fn line_ending(mut self, ending: LineEnding) -> Self {
        self.ending = ending;
        self
    }

    /// The event.
    pub fn build(&self) -> Event {
        let mut block = Vec::new();
        self.write_to(self.ending, &mut block);
        let mut kinds = Kinds::default();
        for (present, kind) in [
            (self.comments.is_some(), Kinds::COMMENT),
            (self.retry.is_some(), Kinds::RETRY),
            (self.event_type.is_some(), Kinds::EVENT),
            (self.id.is_some(), Kinds::ID),
            (self.data.is_some(), Kinds::DATA),
        ] {
            if present {
                kinds.add(kind);
            }
        }
        Event::new(block.into(), kinds, self.ending)
    }

    pub(crate) fn has_data(&self) -> bool {
        self.data.is_some()
    }

    pub(crate) fn write_to(&self, ending: LineEnding, out: &mut Vec<u8>) {
        if let Some(comments) = &self.comments {
            for line in split_lines(comments) {
                write_line(b"", line, ending, out);
            }
        }
        if let Some(time) = self.retry {
            write_line(b"retry", millis(time).as_bytes(), ending, out);
        }
        if let Some(name) = &self.event_type {
            write_line(b"event", name, ending, out);
        }
        if let Some(id) = &self.id {
            write_line(b"id", id.as_bytes(), ending, out);
        }
        if let Some(data) = &self.data {
            for line in split_lines(data) {
                write_line(b"data", line, ending, out);
            }
        }
        out.extend_from_slice(ending.as_bytes());
    }
}

fn add_line(lines: &mut Option<Vec<u8>>, text: &[u8]) {
    match lines {
        None => *lines = Some(text.to_vec()),
        Some(lines) => {
            lines.push(b'\n');
            lines.extend_from_slice(text);
        }
    }
}

/// Writes a line of a field, or a comment when the name is empty. The value holds no line end.
pub(crate) fn write_line(name: &[u8], value: &[u8], ending: LineEnding, out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.push(b':');
    if !value.is_empty() {
        out.push(b' ');
        out.extend_from_slice(value);
    }
    out.extend_from_slice(ending.as_bytes());
}

/// The reconnection time as clients read it: milliseconds, in digits.
pub(crate) fn millis(time: Duration) -> String {
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX)
        .to_string()
}

/// The lines of a text, an empty last one included.
pub(crate) fn split_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match memchr::memchr2(b'\n', b'\r', text) {
            None => {
                rest = None;
                Some(text)
            }
            Some(len) => {
                let ending = if text[len..].starts_with(b"\r\n") {
                    2
                } else {
                    1
                };
                rest = Some(&text[len + ending..]);
                Some(&text[..len])
            }
        }
    })
}

impl fmt::Display for InvalidEventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an event type cannot hold CR, LF or NULL, and byte {} is one",
            self.at
        )
    }
}

impl std::error::Error for InvalidEventType {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_in_data_become_lines() {
        let event = EventBuilder::new().data("a\r\nb\rc\n\nd\n").build();
        assert_eq!(
            event.to_bytes(),
            "data: a\ndata: b\ndata: c\ndata:\ndata: d\ndata:\n\n"
        );
        assert_eq!(event.data().as_deref(), Some(&b"a\nb\nc\n\nd\n"[..]));
    }

    #[test]
    fn a_comment_cannot_become_a_field() {
        let event = EventBuilder::new()
            .comment("x\ndata: y")
            .comment("")
            .build();
        assert_eq!(event.to_bytes(), ": x\n: data: y\n:\n\n");
        assert!(!event.has_data());
    }

    #[test]
    fn an_event_type_cannot_break_out_of_its_line() {
        for bad in ["a\nb", "a\rb", "a\0b"] {
            let error = EventBuilder::new().event_type(bad).unwrap_err();
            assert_eq!(error, InvalidEventType { at: 1 });
        }
    }

    #[test]
    fn a_leading_space_in_data_is_kept() {
        let event = EventBuilder::new().data(" x").build();
        assert_eq!(event.data().as_deref(), Some(&b" x"[..]));
    }

    #[test]
    fn lines_end_as_asked() {
        let event = EventBuilder::new()
            .data("a\nb")
            .line_ending(LineEnding::CrLf)
            .build();
        assert_eq!(event.to_bytes(), "data: a\r\ndata: b\r\n\r\n");
    }
}
