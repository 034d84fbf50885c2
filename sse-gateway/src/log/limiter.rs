//! Warnings that strangers can cause as often as they like, and that are written now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets the first warning of a cause through at once, and then one in a while.
pub(crate) struct Limiter {
    every: Duration,
    causes: Mutex<HashMap<&'static str, Cause>>,
}

struct Cause {
    last: Instant,
    left_out: u64,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::every(Duration::from_secs(1))
    }
}

impl Limiter {
    pub(crate) fn every(every: Duration) -> Self {
        Limiter {
            every,
            causes: Mutex::default(),
        }
    }

    /// Whether to write a warning now, and how many of its cause were left out since the one before.
    ///
    /// Causes are words of ours: there are as many of them as the code has.
    pub(crate) fn pass(&self, cause: &'static str) -> Option<u64> {
        self.pass_at(cause, Instant::now())
    }

    fn pass_at(&self, cause: &'static str, now: Instant) -> Option<u64> {
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = causes.get_mut(cause) else {
            let first = Cause {
                last: now,
                left_out: 0,
            };
            causes.insert(cause, first);
            return Some(0);
        };
        if now.saturating_duration_since(known.last) < self.every {
            known.left_out += 1;
            return None;
        }
        known.last = now;
        Some(std::mem::take(&mut known.left_out))
    }
}

/// The field `suppressed` of a line, which is left out where it would be 0.
pub(crate) fn told(left_out: u64) -> Option<u64> {
    (left_out > 0).then_some(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_and_then_one_a_second_with_the_number_left_out() {
        let limiter = Limiter::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let passed = [0, 1, 999, 1000, 1001, 5000].map(|ms| limiter.pass_at("refused", at(ms)));
        assert_eq!(passed, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn one_cause_does_not_hide_another() {
        let limiter = Limiter::default();
        let passed = ["refused", "reset", "refused"].map(|cause| limiter.pass(cause));
        assert_eq!(passed, [Some(0), Some(0), None]);
    }
}
