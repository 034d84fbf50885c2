//! How long a lost upstream is left alone, and for how long it is tried.

use std::time::Duration;

use tokio::time::Instant;

use super::random;

/// A wait doubles from here to there, behind the reconnection time of the upstream.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(30);

/// An upstream that stayed for so long is tried again as if for the first time.
const STABLE: Duration = Duration::from_secs(10);

pub(super) struct Backoff {
    attempts: u32,
    /// Since when there has been nothing of use from upstream.
    lost: Instant,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Backoff {
            attempts: 0,
            lost: Instant::now(),
        }
    }

    /// A connection was lost.
    pub(super) fn lost(&mut self, opened: Instant, was_clean: bool, had_events: bool) {
        if opened.elapsed() >= STABLE || (was_clean && had_events) {
            self.attempts = 0;
        }
        if self.attempts == 0 || had_events {
            self.lost = Instant::now();
        }
    }

    /// How long to wait before the next attempt.
    pub(super) fn next(
        &mut self,
        retry: Option<Duration>,
        retry_after: Option<Duration>,
    ) -> Duration {
        let most = LEAST.saturating_mul(1 << self.attempts.min(16)).min(MOST);
        self.attempts = self.attempts.saturating_add(1);
        let jitter = most.mul_f64(random::fraction());
        retry
            .unwrap_or_default()
            .saturating_add(jitter)
            .max(retry_after.unwrap_or_default())
    }

    pub(super) fn give_up_at(&self, give_up: Duration) -> Instant {
        self.lost
            .checked_add(give_up)
            .unwrap_or_else(|| self.lost + Duration::from_secs(86_400 * 365))
    }
}
