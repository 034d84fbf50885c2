//! How long a lost upstream is left alone, and for how long it is tried.

use std::ops::Range;
use std::time::Duration;

use tokio::time::Instant;

use crate::stage::jitter;

/// An upstream that does not answer is asked again within this time: it costs little, and clients wait for the moment at
/// which it is back.
const UNANSWERED: Range<Duration> = Duration::from_millis(250)..Duration::from_secs(1);

/// For one that answers badly a wait doubles from here to there, behind its reconnection time.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(30);

/// An upstream that stayed for so long is tried again as if for the first time.
const STABLE: Duration = Duration::from_secs(10);

/// Why the upstream has to be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// There was no answer.
    Unanswered,
    /// Its answer broke off or was of no use, and may have said how long it asks to be left alone.
    Answered(Option<Duration>),
}

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
    pub(super) fn lost(&mut self, opened: Instant, had_events: bool) {
        if opened.elapsed() >= STABLE || had_events {
            self.attempts = 0;
        }
        if self.attempts == 0 || had_events {
            self.lost = Instant::now();
        }
    }

    /// How long to wait before the next attempt.
    pub(super) fn next(&mut self, retry: Option<Duration>, lost: Lost) -> Duration {
        let retry_after = match lost {
            Lost::Unanswered => {
                let Range { start, end } = UNANSWERED;
                return start + (end - start).mul_f64(jitter::fraction());
            }
            Lost::Answered(after) => after,
        };
        let most = LEAST.saturating_mul(1 << self.attempts.min(16)).min(MOST);
        self.attempts = self.attempts.saturating_add(1);
        let wait = most.mul_f64(jitter::fraction());
        retry
            .unwrap_or_default()
            .saturating_add(wait)
            .max(retry_after.unwrap_or_default())
    }

    pub(super) fn give_up_at(&self, give_up: Duration) -> Instant {
        self.lost
            .checked_add(give_up)
            .unwrap_or_else(|| self.lost + Duration::from_secs(86_400 * 365))
    }
}
