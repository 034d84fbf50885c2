//! A valid event id.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bytes::Bytes;
use http::HeaderValue;
use http::header::InvalidHeaderValue;
use memchr::memchr3;

/// The value of an `id` field: any bytes but CR, LF and NULL.
///
/// A client sends it back as `Last-Event-ID`. An empty id is valid: it clears the last event ID.
///
/// # Example
///
/// ```
/// use tower_sse::wire::EventId;
///
/// let id = EventId::new("1526919030474-0")?;
/// assert_eq!(id.as_bytes(), b"1526919030474-0");
/// assert!(EventId::new("two\nlines").is_err());
/// # Ok::<(), tower_sse::wire::InvalidEventId>(())
/// ```
#[derive(Clone)]
pub struct EventId(Repr);

/// Ids are short as a rule and made for each event, so short ones take no allocation.
#[derive(Clone)]
enum Repr {
    Inline(Inline),
    Shared(Bytes),
}

#[derive(Clone, Copy)]
struct Inline {
    len: u8,
    bytes: [u8; INLINE],
}

const INLINE: usize = 38;

/// An id held CR, LF or NULL, with which clients ignore it or read something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEventId {
    at: usize,
}

impl EventId {
    /// Checks and copies an id.
    ///
    /// # Errors
    ///
    /// When it holds CR, LF or NULL.
    ///
    /// ```
    /// use tower_sse::wire::EventId;
    ///
    /// assert!(EventId::new("").is_ok());
    /// let error = EventId::new("7\0").unwrap_err();
    /// assert_eq!(error.to_string(), "an event id cannot hold CR, LF or NULL, and byte 1 is one");
    /// ```
    pub fn new(id: impl AsRef<[u8]>) -> Result<Self, InvalidEventId> {
        let id = id.as_ref();
        match memchr3(b'\r', b'\n', 0, id) {
            Some(at) => Err(InvalidEventId { at }),
            None => Ok(Self::from_parts(&[id])),
        }
    }

    /// Joins parts which are known to be valid.
    pub(crate) fn from_parts(parts: &[&[u8]]) -> Self {
        let len = parts.iter().map(|part| part.len()).sum();
        Self::filled(len, |mut bytes| {
            for part in parts {
                let (this, rest) = bytes.split_at_mut(part.len());
                this.copy_from_slice(part);
                bytes = rest;
            }
        })
    }

    /// An id of this length, filled with what is known to be valid.
    #[inline]
    pub(crate) fn filled(len: usize, fill: impl FnOnce(&mut [u8])) -> Self {
        if len <= INLINE {
            let mut bytes = [0; INLINE];
            fill(&mut bytes[..len]);
            EventId(Repr::Inline(Inline {
                len: len as u8,
                bytes,
            }))
        } else {
            let mut bytes = vec![0; len];
            fill(&mut bytes);
            EventId(Repr::Shared(bytes.into()))
        }
    }

    /// Adds one to the number at its end. False when that takes a digit more, or there is none; it is of no
    /// use then.
    #[inline]
    pub(crate) fn count_on(&mut self) -> bool {
        let Repr::Inline(Inline { len, bytes }) = &mut self.0 else {
            return false;
        };
        match bytes[..usize::from(*len)].last_mut() {
            Some(digit @ b'0'..=b'8') => {
                *digit += 1;
                true
            }
            Some(b'9') => carry(&mut bytes[..usize::from(*len)]),
            _ => false,
        }
    }

    /// The id as it stands in the stream.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(Inline { len, bytes }) => &bytes[..usize::from(*len)],
            Repr::Shared(bytes) => bytes,
        }
    }
}

#[inline(never)]
fn carry(number: &mut [u8]) -> bool {
    for digit in number.iter_mut().rev() {
        match digit {
            b'0'..=b'8' => {
                *digit += 1;
                return true;
            }
            b'9' => *digit = b'0',
            _ => break,
        }
    }
    false
}

impl AsRef<[u8]> for EventId {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(id: &str) -> Result<Self, InvalidEventId> {
        Self::new(id)
    }
}

impl TryFrom<&str> for EventId {
    type Error = InvalidEventId;

    fn try_from(id: &str) -> Result<Self, InvalidEventId> {
        Self::new(id)
    }
}

impl TryFrom<&EventId> for HeaderValue {
    type Error = InvalidHeaderValue;

    /// As the value of `Last-Event-ID`. A valid id may hold control characters, which a field cannot.
    fn try_from(id: &EventId) -> Result<Self, InvalidHeaderValue> {
        HeaderValue::from_bytes(id.as_bytes())
    }
}

impl TryFrom<EventId> for HeaderValue {
    type Error = InvalidHeaderValue;

    fn try_from(id: EventId) -> Result<Self, InvalidHeaderValue> {
        HeaderValue::try_from(&id)
    }
}

impl PartialEq for EventId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for EventId {}

impl Hash for EventId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for EventId {
    /// What is no UTF-8 is shown as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "EventId({:?})",
            self.as_bytes().escape_ascii().to_string()
        )
    }
}

impl fmt::Display for InvalidEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an event id cannot hold CR, LF or NULL, and byte {} is one",
            self.at
        )
    }
}

impl std::error::Error for InvalidEventId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_break_out_of_its_line() {
        for bad in ["a\nb", "a\rb", "a\0b"] {
            assert_eq!(EventId::new(bad), Err(InvalidEventId { at: 1 }));
        }
    }

    #[test]
    fn an_id_becomes_a_field_value_if_it_can() {
        let id: EventId = "row-7".parse().unwrap();
        assert_eq!(HeaderValue::try_from(&id).unwrap(), id.to_string());
        assert!(HeaderValue::try_from(EventId::new("\x07").unwrap()).is_err());
    }

    #[test]
    fn long_and_short_ids_compare_alike() {
        for len in [0, 1, INLINE, INLINE + 1, 1000] {
            let text = "x".repeat(len);
            let id = EventId::new(&text).unwrap();
            assert_eq!(id.as_bytes(), text.as_bytes());
            assert_eq!(id, id.clone());
        }
    }
}
