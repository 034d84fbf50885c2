//! Blocks like most: whole in the chunk, of short fields and data, with lines that all end in LF, or all in CR LF.
//!
//! Finding their end is what most of the time goes into, so it is done apart from the general case and with
//! as little as possible to remember. Everything here may say "not like most" at any time.

use memchr::memchr2;

use super::LineEnding;
use super::line::Kinds;

/// A block like most, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    /// With the blank line; never zero.
    pub(crate) len: usize,
    pub(crate) kinds: Kinds,
    pub(crate) ending: LineEnding,
}

impl Plain {
    /// The block that these bytes begin with, if it is all there, is like most and has data.
    ///
    /// None says only that it takes a closer look.
    #[inline(always)]
    pub(crate) fn of(bytes: &[u8]) -> Option<Plain> {
        Self::with_lf(bytes).or_else(|| Self::with_crlf(bytes))
    }

    /// The same, if its lines end in LF. Most do, and this is where most of the time goes.
    #[inline(always)]
    pub(crate) fn with_lf(bytes: &[u8]) -> Option<Plain> {
        let mut kinds = Kinds::default();
        let mut rest = bytes;
        loop {
            let word = word(rest, 0)?;
            let near = if begins_with(word, b"data:") {
                kinds.add(Kinds::DATA);
                None
            } else if begins_with(word, b"event:") {
                kinds.add(Kinds::EVENT);
                near_line_end(rest, 6)
            } else if begins_with(word, b"id:") {
                kinds.add(Kinds::ID);
                near_line_end(rest, 3)
            } else {
                return None;
            };
            // Values that are not data are short as a rule, and a call costs more than to look at a few bytes.
            let end = near.or_else(|| memchr2(b'\n', b'\r', rest))?;
            if rest.get(end) != Some(&b'\n') {
                return None;
            }
            rest = &rest[end + 1..];
            if let [b'\n', behind @ ..] = rest {
                return kinds.has(Kinds::DATA).then(|| Plain {
                    len: bytes.len() - behind.len(),
                    kinds,
                    ending: LineEnding::Lf,
                });
            }
        }
    }

    #[inline(never)]
    fn with_crlf(bytes: &[u8]) -> Option<Plain> {
        let mut kinds = Kinds::default();
        let mut rest = bytes;
        loop {
            let end = memchr2(b'\n', b'\r', rest)?;
            kinds.add(Kinds::of_line(&rest[..end]));
            if kinds.has(OTHERS) {
                return None;
            }
            rest = rest[end..].strip_prefix(CRLF)?;
            if let Some(behind) = rest.strip_prefix(CRLF) {
                return kinds.has(Kinds::DATA).then(|| Plain {
                    len: bytes.len() - behind.len(),
                    kinds,
                    ending: LineEnding::CrLf,
                });
            }
        }
    }
}

const CRLF: &[u8] = b"\r\n";
/// Kinds of lines that a block like most has not.
const OTHERS: Kinds = Kinds::COMMENT.or(Kinds::RETRY).or(Kinds::UNKNOWN);

#[inline(always)]
fn word(bytes: &[u8], from: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(from..)?.first_chunk()?))
}

#[inline(always)]
fn begins_with(word: u64, name: &[u8]) -> bool {
    let mut bytes = [0; 8];
    bytes[..name.len()].copy_from_slice(name);
    (word ^ u64::from_le_bytes(bytes)) << (64 - 8 * name.len()) == 0
}

/// The offset of the first byte that is LF, CR or another below 14, if it is one of eight from here on.
#[inline(always)]
fn near_line_end(bytes: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let word = word(bytes, from)?;
    // The highest bit is set of the first byte that is less than 14, and of none before it.
    let low = word.wrapping_sub(ONES * 14) & !word & (ONES << 7);
    (low != 0).then(|| from + (low.trailing_zeros() / 8) as usize)
}
