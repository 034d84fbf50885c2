//! Chance, to keep clients from doing the same at the same time.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// 64 random bits. Not for secrets: the standard library's hash keys are their only source.
pub(super) fn bits() -> u64 {
    RandomState::new().hash_one(0_u64)
}

/// A random number from 0 up to but without 1.
pub(crate) fn fraction() -> f64 {
    (bits() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A time that is off by at most this fraction of it, up or down.
pub(super) fn spread(time: Duration, jitter: f64) -> Duration {
    // As a number with a point a long time is off by a few nanoseconds, which is a millisecond less.
    if jitter == 0.0 {
        return time;
    }
    let factor = 1.0 + jitter * (2.0 * fraction() - 1.0);
    Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(time)
}

/// Checks what a user gave as jitter.
pub(super) fn checked(jitter: f64) -> f64 {
    assert!(
        (0.0..=1.0).contains(&jitter),
        "jitter is a fraction from 0 to 1, not {jitter}"
    );
    jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_bounds_and_uses_them() {
        let time = Duration::from_secs(10);
        let all: Vec<f64> = (0..1000).map(|_| spread(time, 0.5).as_secs_f64()).collect();
        assert!(all.iter().all(|time| (5.0..=15.0).contains(time)));
        assert!(all.iter().any(|time| *time < 7.0) && all.iter().any(|time| *time > 13.0));
    }

    #[test]
    fn no_jitter_is_exact() {
        for millis in [3000, 424_242_424_201] {
            let time = Duration::from_millis(millis);
            assert_eq!(spread(time, 0.0), time);
        }
    }

    #[test]
    fn a_time_without_end_is_no_panic() {
        for _ in 0..100 {
            spread(Duration::MAX, 1.0);
        }
    }
}
