//! Blocks like most: whole in the chunk, of short fields and data, with lines that end in LF.
//!
//! Finding their end is what most of the time goes into, so it is done apart from the general case and with
//! as little as possible to remember. Everything here may say "not like most" at any time.

use memchr::memchr2;

use super::line::Kinds;

/// A block that is all there, has data, and whose lines end in LF: its length with the blank line, and its kinds.
///
/// Most blocks are so, and this is where most of the time goes. A length of zero says only that it takes a
/// closer look.
#[inline(always)]
pub(crate) fn plain_block(bytes: &[u8]) -> (usize, Kinds) {
    let mut kinds = Kinds::default();
    let mut rest = bytes;
    while let Some(word) = word(rest, 0) {
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
            break;
        };
        // Values that are not data are short as a rule, and a call costs more than to look at a few bytes.
        let Some(end) = near.or_else(|| memchr2(b'\n', b'\r', rest)) else {
            break;
        };
        if rest.get(end) != Some(&b'\n') {
            break;
        }
        rest = &rest[end + 1..];
        if let [b'\n', behind @ ..] = rest {
            if !kinds.has(Kinds::DATA) {
                break;
            }
            return (bytes.len() - behind.len(), kinds);
        }
    }
    (0, Kinds::default())
}

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
