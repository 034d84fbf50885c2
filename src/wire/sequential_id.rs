//! The ids that this crate gives, in a shape that it recognises again.

use super::EventId;

/// Where a count of ids begins: 60 random bits, so that an id from an earlier run or of another stream
/// is never taken for one of this.
///
/// As text it is 16 characters: `ts`, twelve of Crockford's base 32 in lower case, and two that check
/// them. An upstream's own ids pass for ours in one case of a thousand *that also begin with `ts` and
/// have this very length*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch([u8; LEN]);

const LEN: usize = 16;
const MARK: &[u8] = b"ts";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Epoch {
    /// The epoch with these lower 60 bits.
    pub fn from_bits(bits: u64) -> Self {
        let mut text = [0; LEN];
        text[..2].copy_from_slice(MARK);
        for (place, letter) in text[2..14].iter_mut().enumerate() {
            *letter = digit(bits >> (5 * (11 - place)));
        }
        let check = checksum(&text[2..14]);
        text[14] = digit(check >> 5);
        text[15] = digit(check);
        Epoch(text)
    }

    /// The epoch as it stands in an id.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text: [u8; LEN] = text.try_into().ok()?;
        let check = checksum(&text[2..14]);
        let valid = text.starts_with(MARK)
            && text[2..].iter().all(|letter| ALPHABET.contains(letter))
            && text[14] == digit(check >> 5)
            && text[15] == digit(check);
        valid.then_some(Epoch(text))
    }
}

fn digit(bits: u64) -> u8 {
    ALPHABET[(bits & 31) as usize]
}

/// FNV-1a, folded to ten bits.
fn checksum(text: &[u8]) -> u64 {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 20) ^ (hash >> 40)) & 0x3ff
}

/// An id of the shape `<epoch>-<sequence>`, and behind a dot the upstream's own id where it has one.
///
/// # Example: what to send upstream for a `Last-Event-ID`
///
/// ```
/// use tower_sse::wire::{Epoch, SequentialId};
///
/// let epoch = Epoch::from_bits(0x0123_4567_89ab_cdef);
/// let ours = SequentialId { epoch, sequence: 7, upstream: Some(b"row-42") }.to_event_id();
///
/// let back = SequentialId::parse(ours.as_bytes()).expect("it is ours");
/// assert_eq!(back.sequence, 7);
/// assert_eq!(back.upstream, Some(&b"row-42"[..]));
/// assert!(SequentialId::parse(b"1526919030474-0").is_none(), "that one is of a Redis stream");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequentialId<'a> {
    /// Where the count began.
    pub epoch: Epoch,
    /// The place of the event in the count.
    pub sequence: u64,
    /// The last event ID that the upstream had set by then. It holds neither CR, LF nor NULL.
    pub upstream: Option<&'a [u8]>,
}

impl<'a> SequentialId<'a> {
    /// Reads an id, if it is one of ours.
    pub fn parse(id: &'a [u8]) -> Option<Self> {
        let (epoch, rest) = id.split_at_checked(LEN)?;
        let epoch = Epoch::parse(epoch)?;
        let rest = rest.strip_prefix(b"-")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (sequence, rest) = rest.split_at(digits);
        let sequence = std::str::from_utf8(sequence).ok()?.parse().ok()?;
        let upstream = match rest {
            [] => None,
            [b'.', upstream @ ..] => Some(upstream),
            _ => return None,
        };
        Some(SequentialId {
            epoch,
            sequence,
            upstream,
        })
    }

    /// Writes the id.
    #[inline]
    pub fn to_event_id(&self) -> EventId {
        let digits = self.sequence.checked_ilog10().unwrap_or(0) as usize + 1;
        let own = LEN + 1 + digits;
        let len = own + self.upstream.map_or(0, |upstream| 1 + upstream.len());
        EventId::filled(len, |id| {
            id[..LEN].copy_from_slice(&self.epoch.0);
            id[LEN] = b'-';
            let mut rest = self.sequence;
            for digit in id[LEN + 1..own].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            if let Some(upstream) = self.upstream {
                id[own] = b'.';
                id[own + 1..].copy_from_slice(upstream);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for bits in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            for sequence in [0, 9, 10, u64::MAX] {
                for upstream in [None, Some(&b""[..]), Some(b"5"), Some(b"a.b-c \xc3\xa9")] {
                    let id = SequentialId {
                        epoch: Epoch::from_bits(bits),
                        sequence,
                        upstream,
                    };
                    assert_eq!(SequentialId::parse(id.to_event_id().as_bytes()), Some(id));
                }
            }
        }
    }

    #[test]
    fn ids_of_others_are_not_ours() {
        let ours = SequentialId {
            epoch: Epoch::from_bits(42),
            sequence: 1,
            upstream: None,
        };
        let ours = String::from_utf8(ours.to_event_id().as_bytes().to_vec()).unwrap();
        let mut broken = ours.clone().into_bytes();
        broken[5] = if broken[5] == b'0' { b'1' } else { b'0' };
        for id in [
            "",
            "1526919030474-0",
            "ts",
            "550e8400-e29b-41d4-a716-446655440000",
            &ours[..16],
            &ours[..17],
            &format!("{ours}x"),
            &format!("{}99999999999999999999999", &ours[..17]),
            &ours.to_uppercase(),
            std::str::from_utf8(&broken).unwrap(),
        ] {
            assert_eq!(SequentialId::parse(id.as_bytes()), None, "{id}");
        }
    }
}
