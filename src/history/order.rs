//! In what order the ids of an upstream follow each other, where that can be seen.

use std::cmp::Ordering;

use crate::wire::SequentialId;

/// How two ids follow each other, where they are numbers, or differ in the numbers at their ends, as `row-7` and `row-12`
/// do, or are of a Redis stream. Those of a gateway that is our upstream follow each other as it has counted them, or, where
/// it has begun anew, as what its own upstream has set.
pub(crate) fn order(one: &[u8], other: &[u8]) -> Option<Ordering> {
    if let (Some(one), Some(other)) = (SequentialId::parse(one), SequentialId::parse(other)) {
        return match one.epoch == other.epoch {
            true => Some(one.sequence.cmp(&other.sequence)),
            false => order(one.upstream?, other.upstream?),
        };
    }
    let ((one, one_end), (other, other_end)) = (split(one)?, split(other)?);
    if one == other {
        return Some(one_end.cmp(&other_end));
    }
    Some(time(one)?.cmp(&time(other)?))
}

/// What is the number in front of a dash, if that is all.
fn time(before: &[u8]) -> Option<u128> {
    let (nothing, time) = split(before.strip_suffix(b"-")?)?;
    nothing.is_empty().then_some(time)
}

/// What stands in front of the number at the end, and the number.
fn split(id: &[u8]) -> Option<(&[u8], u128)> {
    let digits = id.iter().rev().take_while(|byte| byte.is_ascii_digit());
    let (before, number) = id.split_at(id.len() - digits.count());
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((before, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Epoch;

    #[test]
    fn ids_of_a_gateway_are_in_its_order_or_in_that_of_its_upstream() {
        let id = |epoch, sequence, upstream: Option<&'static str>| {
            let id = SequentialId {
                epoch: Epoch::from_bits(epoch),
                sequence,
                upstream: upstream.map(str::as_bytes),
            };
            id.to_event_id()
        };
        for (one, other, expected) in [
            (id(1, 9, None), id(1, 10, None), Some(Ordering::Less)),
            (
                id(1, 10, Some("b")),
                id(1, 9, Some("a")),
                Some(Ordering::Greater),
            ),
            (
                id(1, 10, Some("row-9")),
                id(2, 1, Some("row-10")),
                Some(Ordering::Less),
            ),
            (id(1, 10, Some("row-9")), id(2, 1, None), None),
            (id(1, 10, None), id(2, 1, None), None),
        ] {
            assert_eq!(order(one.as_bytes(), other.as_bytes()), expected);
        }
    }

    #[test]
    fn ids_that_are_counted_have_an_order() {
        for (one, other, expected) in [
            ("7", "12", Some(Ordering::Less)),
            ("row-12", "row-7", Some(Ordering::Greater)),
            ("1526919030474-55", "1526919030475-0", Some(Ordering::Less)),
            ("1526919030474-3", "1526919030474-3", Some(Ordering::Equal)),
            ("a-1", "b-2", None),
            ("one", "two", None),
            ("", "1", None),
            ("99999999999999999999999999999999999999999", "1", None),
        ] {
            assert_eq!(
                order(one.as_bytes(), other.as_bytes()),
                expected,
                "{one} {other}"
            );
        }
    }
}
