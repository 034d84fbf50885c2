//! Leaves an upstream, or an address of it, alone that could not be reached, for longer each time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After the first failure; it doubles with each after that.
pub(in crate::proxy) const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);

/// Whether an upstream is set aside, and until when.
#[derive(Default)]
pub(in crate::proxy) struct Aside {
    /// Asked by each request, which then need not wait for others.
    is_set: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In a row.
    failures: u32,
    until: Option<Instant>,
    /// One request tries whether it is there again.
    is_tried: bool,
}

impl Aside {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it may be asked again; none if it may be now.
    pub(in crate::proxy) fn until(&self, now: Instant) -> Option<Instant> {
        if !self.is_set.load(Ordering::Relaxed) {
            return None;
        }
        self.state().until.filter(|until| *until > now)
    }

    /// It is asked. If its time is over, others wait for the outcome, or until as much time has passed again.
    pub(in crate::proxy) fn try_now(&self, now: Instant) {
        if !self.is_set.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state();
        if state.until.is_some_and(|until| until <= now) {
            state.until = Some(now + SHORTEST);
            state.is_tried = true;
        }
    }

    /// Sets it aside, and gives for how long. None if it was so already: of requests that fail together one counts.
    pub(in crate::proxy) fn set(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        if !state.is_tried && state.until.is_some_and(|until| until > now) {
            return None;
        }
        let time = SHORTEST * 2_u32.saturating_pow(state.failures.min(8));
        let time = time.min(LONGEST);
        state.failures = state.failures.saturating_add(1);
        state.until = Some(now + time);
        state.is_tried = false;
        self.is_set.store(true, Ordering::Relaxed);
        Some(time)
    }

    /// It is there; gives whether it was set aside.
    pub(in crate::proxy) fn unset(&self) -> bool {
        if !self.is_set.load(Ordering::Relaxed) {
            return false;
        }
        let mut state = self.state();
        *state = State::default();
        self.is_set.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_for_longer_each_time_up_to_a_minute() {
        let aside = Aside::default();
        let now = Instant::now();
        let mut at = now;
        let mut times = Vec::new();
        for _ in 0..5 {
            let time = aside.set(at).expect("it was not");
            assert_eq!(
                aside.set(at),
                None,
                "of those that fail together one counts"
            );
            times.push(time.as_secs());
            at += time;
            assert_eq!(aside.until(at), None);
            aside.try_now(at);
            assert!(aside.until(at).is_some(), "one tries");
        }
        assert_eq!(times, [10, 20, 40, 60, 60]);
        assert!(aside.unset());
        assert!(!aside.unset());
        assert_eq!(aside.until(now), None);
        assert_eq!(aside.set(now), Some(SHORTEST));
    }
}
