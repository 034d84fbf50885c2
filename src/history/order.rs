//! In what order the ids of an upstream follow each other, where that can be seen.

use std::cmp::Ordering;

/// How two ids follow each other, where they are numbers, or differ in the numbers at their ends, as `row-7` and `row-12`
/// do, or are of a Redis stream.
pub(crate) fn order(one: &[u8], other: &[u8]) -> Option<Ordering> {
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
