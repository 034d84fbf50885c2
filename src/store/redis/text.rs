//! Numbers as they are written into the store: those that count in decimal, random bits as sixteen hexadecimal digits.

use crate::store::{Fence, InstanceId};

pub(super) fn bits(bits: u64) -> String {
    format!("{bits:016x}")
}

pub(super) fn parse_bits(text: &str) -> Option<u64> {
    let is_hex = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

pub(super) fn parse_number(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal)
}

/// `<counter>:<random bits>`
pub(super) fn fence(fence: Fence) -> String {
    format!("{}:{:016x}", fence.counter, fence.random)
}

pub(super) fn parse_fence(text: &str) -> Option<Fence> {
    let (counter, random) = text.split_once(':')?;
    Some(Fence {
        counter: parse_number(counter)?,
        random: parse_bits(random)?,
    })
}

/// Empty for nobody.
pub(super) fn parse_owner(text: &str) -> Option<Option<InstanceId>> {
    match text {
        "" => Some(None),
        text => Some(Some(InstanceId(parse_bits(text)?))),
    }
}
