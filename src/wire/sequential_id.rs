//! The ids that this crate gives, in a shape that it recognises again.

use memchr::memchr3;

use super::EventId;

/// Where a count of ids begins: random bits, so that an id from an earlier run or of another stream is
/// never taken for one of this.
///
/// As text it is two letters, digits of Crockford's base 32 in lower case, and two that check them: `ts` and
/// twelve digits for 60 bits, or `tr` and 26 digits for 128 bits, which nobody guesses. An upstream's own ids
/// pass for ours in one case of a thousand *that also begin with these letters and have this very length*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// What is behind `len` is zero.
    text: [u8; LONG],
    len: u8,
}

/// The letters in front of the digits.
const MARK: usize = 2;
const SHORT: usize = 16;
const LONG: usize = 30;
const SHORT_MARK: &[u8] = b"ts";
const LONG_MARK: &[u8] = b"tr";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl Epoch {
    /// The epoch with these lower 60 bits.
    pub fn from_bits(bits: u64) -> Self {
        Self::write(SHORT_MARK, SHORT, u128::from(bits))
    }

    /// The epoch with these 128 bits: where they are random, whoever knows it was told.
    pub fn from_secret(bits: u128) -> Self {
        Self::write(LONG_MARK, LONG, bits)
    }

    /// The same epoch, whose first four digits say by whom its ids are written. The others stay.
    #[must_use]
    pub fn with_tag(mut self, tag: IdTag) -> Self {
        let len = usize::from(self.len);
        self.text[MARK..MARK + TAG].copy_from_slice(&tag.0);
        let check = checked(&self.text[2..len - 2]);
        self.text[len - 2..len].copy_from_slice(&check);
        self
    }

    /// Whether its ids were written by who has this tag.
    pub fn has_tag(&self, tag: IdTag) -> bool {
        self.text[MARK..MARK + TAG] == tag.0
    }

    /// Whether it has 128 bits.
    pub fn is_secret(&self) -> bool {
        usize::from(self.len) == LONG
    }

    /// The epoch as it stands in an id.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }

    fn write(mark: &[u8], len: usize, bits: u128) -> Self {
        let mut text = [0; LONG];
        text[..2].copy_from_slice(mark);
        let digits = len - 4;
        for (index, letter) in text[2..len - 2].iter_mut().enumerate() {
            *letter = digit((bits >> (5 * (digits - 1 - index))) as u64);
        }
        let check = checked(&text[2..len - 2]);
        text[len - 2..len].copy_from_slice(&check);
        Epoch {
            text,
            len: len as u8,
        }
    }

    /// Reads the epoch that an id begins with, and gives what is behind it.
    fn parse(id: &[u8]) -> Option<(Self, &[u8])> {
        let len = if id.starts_with(SHORT_MARK) {
            SHORT
        } else if id.starts_with(LONG_MARK) {
            LONG
        } else {
            return None;
        };
        let (given, rest) = id.split_at_checked(len)?;
        let valid = given[2..].iter().all(|letter| ALPHABET.contains(letter))
            && given[len - 2..] == checked(&given[2..len - 2]);
        let mut text = [0; LONG];
        text[..len].copy_from_slice(given);
        let len = len as u8;
        valid.then_some((Epoch { text, len }, rest))
    }
}

fn digit(bits: u64) -> u8 {
    ALPHABET[(bits & 31) as usize]
}

/// The two digits that check these.
fn checked(digits: &[u8]) -> [u8; 2] {
    let hash = hash(digits);
    let check = hash ^ (hash >> 20) ^ (hash >> 40);
    [digit(check >> 5), digit(check)]
}

/// FNV-1a.
fn hash(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Says by whom an id was written, where several who write ids stand one behind the other: 20 bits in its [`Epoch`].
///
/// Each takes off only what it has written itself, and hands on the ids of those behind it. So two of them need two names,
/// and one that takes the place of another needs the same. What they write in front of is a good name.
///
/// # Example
///
/// ```
/// use tower_sse::wire::{Epoch, IdTag};
///
/// let (outer, inner) = (IdTag::new("http://inner:8080"), IdTag::new("http://app:5000"));
/// let epoch = Epoch::from_bits(0x0123_4567_89ab_cdef).with_tag(outer);
/// assert!(epoch.has_tag(outer) && !epoch.has_tag(inner));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdTag([u8; TAG]);

const TAG: usize = 4;

impl IdTag {
    /// The tag of who has this name. Two names have the same in one case of a million.
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        let hash = hash(name.as_ref());
        let bits = hash ^ (hash >> 20) ^ (hash >> 40);
        IdTag([15, 10, 5, 0].map(|shift| digit(bits >> shift)))
    }

    /// The bits of an epoch that has this tag, and these random bits else.
    #[cfg(feature = "store")]
    pub(crate) fn bits_with(self, random: u64) -> u64 {
        let digits = self.0.iter().filter_map(|letter| {
            let value = ALPHABET.iter().position(|other| other == letter)?;
            u64::try_from(value).ok()
        });
        digits.fold(0, |bits, digit| bits << 5 | digit) << 40 | random >> 24
    }

    /// Whether this id was written by who has this tag. Without one, every id of this shape is taken for one's own.
    pub(crate) fn is_of(tag: Option<IdTag>, id: &SequentialId<'_>) -> bool {
        tag.is_none_or(|tag| id.epoch.has_tag(tag))
    }
}

/// Proves that an id with an upstream part was written by who knows a secret: 80 bits, as sixteen digits of base 32
/// behind a tilde, as in `<epoch>-<sequence>~<check>.<upstream>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdCheck([u8; CHECK]);

const CHECK: usize = 16;

impl IdCheck {
    /// The check with these lower 80 bits.
    #[cfg(feature = "relay")]
    pub(crate) fn from_bits(bits: u128) -> Self {
        let mut text = [0; CHECK];
        for (index, letter) in text.iter_mut().enumerate() {
            *letter = digit((bits >> (5 * (CHECK - 1 - index))) as u64);
        }
        IdCheck(text)
    }

    fn parse(text: &[u8]) -> Option<(Self, &[u8])> {
        let (check, rest) = text.split_first_chunk::<CHECK>()?;
        let valid = check.iter().all(|letter| ALPHABET.contains(letter));
        valid.then_some((IdCheck(*check), rest))
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequentialId<'a> {
    /// Where the count began.
    pub epoch: Epoch,
    /// The number of the event in the count.
    pub sequence: u64,
    /// The last event ID that the upstream had set by then. One that holds CR, LF or NULL is none: it is
    /// neither written nor read.
    pub upstream: Option<&'a [u8]>,
}

impl<'a> SequentialId<'a> {
    /// Reads an id, if it is one of ours. A check in it is not looked at.
    pub fn parse(id: &'a [u8]) -> Option<Self> {
        Self::parse_with_check(id).map(|(id, _)| id)
    }

    /// Reads an id, and the check of its upstream part if there is one. Whether it is right is for who has the secret to say.
    pub(crate) fn parse_with_check(id: &'a [u8]) -> Option<(Self, Option<IdCheck>)> {
        let (epoch, rest) = Epoch::parse(id)?;
        let rest = rest.strip_prefix(b"-")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (sequence, rest) = rest.split_at(digits);
        let sequence = std::str::from_utf8(sequence).ok()?.parse().ok()?;
        let (check, rest) = match rest {
            [b'~', behind @ ..] => {
                let (check, rest) = IdCheck::parse(behind)?;
                (Some(check), rest)
            }
            _ => (None, rest),
        };
        let upstream = match rest {
            [] if check.is_none() => None,
            [b'.', upstream @ ..] if is_valid(upstream) => Some(upstream),
            _ => return None,
        };
        let id = SequentialId {
            epoch,
            sequence,
            upstream,
        };
        Some((id, check))
    }

    /// Writes the id.
    ///
    /// It is valid whatever `upstream` holds: with CR, LF or NULL in it, that part and its dot are left out.
    pub fn to_event_id(&self) -> EventId {
        let upstream = self.upstream.filter(|id| is_valid(id));
        SequentialId { upstream, ..*self }.write()
    }

    /// Writes the id with a check of its upstream part. Without such a part, or with one that is left out, there is none.
    #[cfg(feature = "relay")]
    pub(crate) fn to_event_id_with_check(self, check: IdCheck) -> EventId {
        let upstream = self.upstream.filter(|id| is_valid(id));
        SequentialId { upstream, ..self }.write_with(Some(&check))
    }

    /// Writes the id of an upstream's id that is known to be valid, since it was an event's or a header field's.
    #[inline]
    pub(crate) fn write(&self) -> EventId {
        self.write_with(None)
    }

    /// How long the id is without a check.
    pub(crate) fn text_len(&self) -> usize {
        self.own_len() + self.upstream.map_or(0, |upstream| 1 + upstream.len())
    }

    /// How long it is without the upstream's part.
    #[inline]
    fn own_len(&self) -> usize {
        let digits = self.sequence.checked_ilog10().unwrap_or(0) as usize + 1;
        self.epoch.as_bytes().len() + 1 + digits
    }

    #[inline]
    fn write_with(&self, check: Option<&IdCheck>) -> EventId {
        debug_assert!(self.upstream.is_none_or(is_valid));
        let epoch = self.epoch.as_bytes();
        let begin = epoch.len() + 1;
        let own = self.own_len();
        let check = check.filter(|_| self.upstream.is_some());
        let checked = own + check.map_or(0, |_| 1 + CHECK);
        let len = checked + self.upstream.map_or(0, |upstream| 1 + upstream.len());
        EventId::filled(len, |id| {
            id[..epoch.len()].copy_from_slice(epoch);
            id[epoch.len()] = b'-';
            let mut rest = self.sequence;
            for digit in id[begin..own].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            if let Some(check) = check {
                id[own] = b'~';
                id[own + 1..checked].copy_from_slice(&check.0);
            }
            if let Some(upstream) = self.upstream {
                id[checked] = b'.';
                id[checked + 1..].copy_from_slice(upstream);
            }
        })
    }
}

fn is_valid(upstream: &[u8]) -> bool {
    memchr3(b'\r', b'\n', 0, upstream).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for bits in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            for sequence in [0, 9, 10, u64::MAX] {
                for upstream in [None, Some(&b""[..]), Some(b"5"), Some(b"a.b-c \xc3\xa9")] {
                    let secret = u128::from(bits) << 64 | u128::from(bits.rotate_left(7));
                    for epoch in [Epoch::from_bits(bits), Epoch::from_secret(secret)] {
                        let id = SequentialId {
                            epoch,
                            sequence,
                            upstream,
                        };
                        assert_eq!(SequentialId::parse(id.to_event_id().as_bytes()), Some(id));
                    }
                }
            }
        }
    }

    #[cfg(feature = "relay")]
    #[test]
    fn a_check_is_written_and_read_again_and_stands_before_the_upstreams_part() {
        for bits in [0, 1, (1 << 80) - 1, 0x1234_5678_9abc_def0_1234] {
            let check = IdCheck::from_bits(bits);
            let id = SequentialId {
                epoch: Epoch::from_bits(42),
                sequence: 7,
                upstream: Some(b"a~b.c"),
            };
            let text = id.to_event_id_with_check(check);
            let read = SequentialId::parse_with_check(text.as_bytes());
            assert_eq!(read, Some((id, Some(check))));
            assert_eq!(SequentialId::parse(text.as_bytes()), Some(id));
            let without = SequentialId {
                upstream: None,
                ..id
            };
            assert_eq!(without.to_event_id_with_check(check), without.to_event_id());
            let text = std::str::from_utf8(text.as_bytes()).unwrap();
            let (own, _) = text.split_once('.').unwrap();
            assert_eq!(
                SequentialId::parse(own.as_bytes()),
                None,
                "a check of nothing"
            );
            let short = text.replacen('~', "~0", 1);
            assert_eq!(SequentialId::parse(short.as_bytes()), None);
        }
        assert_ne!(IdCheck::from_bits(1), IdCheck::from_bits(1 << 79));
    }

    #[test]
    fn an_upstreams_id_cannot_break_out_of_its_line() {
        let epoch = Epoch::from_bits(42);
        let plain = SequentialId {
            epoch,
            sequence: 7,
            upstream: None,
        };
        for bad in ["\n", "a\r", "a\r\ndata: b\n\n", "\0", "a\0b"] {
            let upstream = Some(bad.as_bytes());
            let id = SequentialId { upstream, ..plain }.to_event_id();
            assert_eq!(id, plain.to_event_id(), "{bad:?}");

            let mut text = id.as_bytes().to_vec();
            text.push(b'.');
            text.extend_from_slice(bad.as_bytes());
            assert_eq!(SequentialId::parse(&text), None, "{bad:?}");
        }
    }

    #[test]
    fn the_bits_of_a_secret_all_count() {
        let all: std::collections::HashSet<_> =
            (0..128).map(|bit| Epoch::from_secret(1 << bit)).collect();
        assert_eq!(all.len(), 128);
        let short = Epoch::from_bits(0x0123_4567_89ab_cdef);
        assert_eq!(short.as_bytes().len(), 16);
        assert!(!short.is_secret() && Epoch::from_secret(1).is_secret());
    }

    #[test]
    fn a_tag_is_in_the_epoch_and_leaves_the_rest_of_it() {
        let [one, other] = ["http://a:80", "http://b:80"].map(IdTag::new);
        for epoch in [Epoch::from_bits(7), Epoch::from_secret(7)] {
            let tagged = epoch.with_tag(one);
            assert!(tagged.has_tag(one) && !tagged.has_tag(other) && !epoch.has_tag(one));
            let id = SequentialId {
                epoch: tagged,
                sequence: 3,
                upstream: Some(b"row-7"),
            };
            assert_eq!(SequentialId::parse(id.to_event_id().as_bytes()), Some(id));
            assert_eq!(tagged.with_tag(other), epoch.with_tag(other));
        }
        let differ: std::collections::HashSet<_> = (0..1000)
            .map(|port| IdTag::new(format!("http://127.0.0.1:{port}")).0)
            .collect();
        assert!(differ.len() > 995, "{}", differ.len());
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
