//! What all gateways are told of a stream beside its events: its head, and how it has ended.
//!
//! | field | as |
//! |---|---|
//! | version | a byte: 1 |
//! | how | a byte: 0 where it goes on, 1 finished, 2 there is no more, 3 ended otherwise, 4 failed; and 128 more where the upstream is not asked again |
//! | status | two bytes |
//! | each header field | two bytes of length and its name, four bytes of length and its value |

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap, HeaderName, StatusCode};

use super::head::Head;
use super::keyed::value;
use super::shared::Ended;

const VERSION: u8 = 1;
/// A longer one is not read, and a head that makes one is not told.
const MOST: usize = 16 * 1024;

/// What all gateways are told of a stream beside its events.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) head: Head,
    /// None where it goes on.
    pub(super) ended: Option<Ended>,
    /// Whether the upstream is asked again when it is lost.
    pub(super) is_asked_again: bool,
}

const ASKED_ONCE: u8 = 0x80;

/// Writes one.
pub(super) fn write(head: &Head, ended: Option<Ended>, is_asked_again: bool) -> Bytes {
    let (status, headers) = head.parts();
    let mut to = Vec::new();
    to.put_u8(VERSION);
    let how = match ended {
        None => 0,
        Some(Ended::Finished) => 1,
        Some(Ended::NoContent) => 2,
        Some(Ended::Failed) => 4,
        Some(_) => 3,
    };
    to.put_u8(if is_asked_again {
        how
    } else {
        how | ASKED_ONCE
    });
    to.put_u16(status.as_u16());
    for (name, field) in headers {
        let (Ok(name_len), Ok(len)) = (
            u16::try_from(name.as_str().len()),
            u32::try_from(field.len()),
        ) else {
            continue;
        };
        to.put_u16(name_len);
        to.put_slice(name.as_str().as_bytes());
        to.put_u32(len);
        to.put_slice(field.as_bytes());
    }
    match to.len() <= MOST {
        true => to.into(),
        // It is the upstream's that is too large. All can be given one of ours.
        false => write(&Head::own(), ended, is_asked_again),
    }
}

/// Reads one, which anybody may have written.
pub(super) fn parse(mut from: &[u8]) -> Option<Note> {
    if from.len() > MOST || from.len() < 4 || from.get_u8() != VERSION {
        return None;
    }
    let how = from.get_u8();
    let ended = match how & !ASKED_ONCE {
        0 => None,
        1 => Some(Ended::Finished),
        2 => Some(Ended::NoContent),
        4 => Some(Ended::Failed),
        _ => Some(Ended::Left),
    };
    let status = StatusCode::from_u16(from.get_u16()).ok()?;
    let mut headers = HeaderMap::new();
    while from.has_remaining() {
        let name = (from.len() >= 2).then(|| from.get_u16())?;
        let name = HeaderName::from_bytes(take(&mut from, name.into())?).ok()?;
        let len = (from.len() >= 4).then(|| from.get_u32())?;
        let field = value(take(&mut from, usize::try_from(len).ok()?)?)?;
        headers.append(name, field);
    }
    let head = Head::of(status, headers);
    Some(Note {
        head,
        ended,
        is_asked_again: how & ASKED_ONCE == 0,
    })
}

/// Whether it is of a stream of which clients may have missed the end, and are to be given it.
#[cfg(feature = "redis")]
pub(super) fn is_of_whole(note: &[u8]) -> bool {
    let ended = parse(note).and_then(|note| note.ended);
    ended.is_some_and(|how| how != Ended::Left)
}

fn take<'a>(from: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_nothing_else_is() {
        let head = Head::own();
        let ends = [
            Ended::Finished,
            Ended::NoContent,
            Ended::Failed,
            Ended::Left,
        ];
        let ends = ends.map(Some).into_iter().chain([None]);
        for (ended, is_asked_again) in ends.flat_map(|ended| [(ended, true), (ended, false)]) {
            let bytes = write(&head, ended, is_asked_again);
            let note = parse(&bytes).unwrap();
            assert_eq!((note.ended, note.is_asked_again), (ended, is_asked_again));
            assert_eq!(note.head.parts(), head.parts());
            for len in 0..bytes.len() {
                let cut = parse(&bytes[..len]);
                assert!(cut.is_none_or(|note| note.head.parts() != head.parts()));
            }
        }
        assert!(parse(&[2, 0, 0, 200]).is_none());
        assert!(parse(&[1, 0, 0, 200, 0xff, 0xff]).is_none());
    }

    #[test]
    fn a_head_that_is_too_large_is_one_of_ours() {
        let headers = [("x-large", "x".repeat(MOST))];
        let headers = headers.map(|(name, field)| {
            let name = HeaderName::from_static(name);
            (name, field.parse().unwrap())
        });
        let head = Head::of(StatusCode::OK, headers.into_iter().collect());
        let note = parse(&write(&head, None, true)).unwrap();
        assert_eq!(note.head.parts(), Head::own().parts());
    }
}
