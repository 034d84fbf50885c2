//! What is published, as bytes.
//!
//! | first byte | what follows |
//! |---|---|
//! | `o` | fence, a colon, instance: another owner |
//! | `f` | fence: no owner |
//! | `e` | position: it has ended |
//! | `n` | nothing: something was told beside events |
//! | `?` | nothing: somebody asks for the owner |
//! | less than a space | a frame, which begins with its version |

use bytes::Bytes;

use super::{Name, text};
use crate::store::{Fence, InstanceId, Message};

pub(super) const ASKED: &[u8] = b"?";
pub(super) const TOLD: &[u8] = b"n";

/// Nobody owns the stream, of which there is no log, and so no fence.
pub(super) fn free() -> String {
    format!("f{}", text::fence(Fence::default()))
}

/// A heartbeat: an instance lives, and these streams have moved to these positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Whose it is.
    pub instance: InstanceId,
    /// What has moved.
    pub moved: Vec<(Name, u64)>,
}

impl Beat {
    /// As `<instance> <name>=<position> …`.
    pub(super) fn to_text(&self) -> String {
        let mut text = text::bits(self.instance.0);
        for (name, position) in &self.moved {
            text.push_str(&format!(" {name}={position}"));
        }
        text
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(bytes).ok()?.split(' ');
        let instance = InstanceId(text::parse_bits(parts.next()?)?);
        let moved = parts.map(|part| {
            let (name, position) = part.split_once('=')?;
            Some((Name::parse(name.as_bytes())?, text::parse_number(position)?))
        });
        Some(Beat {
            instance,
            moved: moved.collect::<Option<_>>()?,
        })
    }
}

/// Reads a message, which anybody may have published. What a frame has in it is not looked at.
pub(super) fn parse_message(bytes: Vec<u8>) -> Option<Message> {
    let (first, rest) = bytes.split_first()?;
    let rest = || std::str::from_utf8(rest).ok();
    match first {
        b'o' => {
            let (fence, owner) = rest()?.rsplit_once(':')?;
            let owner = InstanceId(text::parse_bits(owner)?);
            Some(Message::Owned(text::parse_fence(fence)?, owner))
        }
        b'f' => Some(Message::Free(text::parse_fence(rest()?)?)),
        b'e' => Some(Message::Ended(text::parse_number(rest()?)?)),
        b'n' if bytes == TOLD => Some(Message::Told),
        b'?' if bytes == ASKED => Some(Message::Asked),
        0..b' ' => Some(Message::Frame(Bytes::from(bytes))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    #[test]
    fn a_beat_is_read_as_it_was_written() {
        let secret = Secret::new(&[7; 32]).unwrap();
        let moved = [1, u64::MAX].map(|at| (secret.name(b"", &at.to_be_bytes()), at));
        for moved in [&moved[..], &moved[..1], &[]] {
            let beat = Beat {
                instance: InstanceId(5),
                moved: moved.to_vec(),
            };
            assert_eq!(Beat::parse(beat.to_text().as_bytes()), Some(beat));
        }
    }

    #[test]
    fn what_is_no_message_is_none() {
        let messages = [
            "",
            "o",
            "o1:0:0",
            "f",
            "fx:0000000000000001",
            "e",
            "e-1",
            "e+1",
            "??",
            "x",
        ];
        for bytes in messages {
            assert_eq!(parse_message(bytes.into()), None, "{bytes}");
        }
        assert_eq!(Beat::parse(b"0 x"), None);
    }

    #[test]
    fn messages_are_told_apart_by_their_first_byte() {
        let fence = Fence {
            counter: 3,
            random: 10,
        };
        let owned = Message::Owned(fence, InstanceId(11));
        let messages = [
            ("o3:000000000000000a:000000000000000b", owned),
            ("f3:000000000000000a", Message::Free(fence)),
            ("e12", Message::Ended(12)),
            ("n", Message::Told),
            ("?", Message::Asked),
            ("\u{1}x", Message::Frame(Bytes::from_static(b"\x01x"))),
        ];
        for (bytes, message) in messages {
            assert_eq!(parse_message(bytes.into()), Some(message));
        }
        let of_nobody = Message::Free(Fence::default());
        assert_eq!(parse_message(free().into()), Some(of_nobody));
    }
}
