//! What was decided a moment ago, and what is being asked: of those who come with the same at once, one asks.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::Verdict;

/// Of a question.
pub(super) type Key = Vec<u8>;

/// Of more questions no answer is kept.
const MOST: usize = 10_000;

#[derive(Debug)]
pub(super) struct Answers {
    kept_for: Option<Duration>,
    by_key: Mutex<HashMap<Key, Arc<Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    verdict: OnceCell<Arc<Verdict>>,
    /// Until when the verdict holds, once there is one.
    until: OnceLock<Instant>,
}

impl Slot {
    fn is_over(&self, now: Instant) -> bool {
        self.until.get().is_some_and(|until| *until <= now)
    }
}

impl Answers {
    pub(super) fn kept_for(kept_for: Option<Duration>) -> Self {
        Answers {
            kept_for,
            by_key: Mutex::default(),
        }
    }

    /// The answer that is kept, or that of who asks already, or that of `ask`. Only that somebody may read is kept.
    pub(super) async fn get<F>(&self, key: Key, ask: impl Fn() -> F) -> Arc<Verdict>
    where
        F: Future<Output = Verdict>,
    {
        let slot = self.slot(&key);
        let mut has_asked = false;
        let verdict = slot.verdict.get_or_init(async || {
            has_asked = true;
            let verdict = ask().await;
            let now = Instant::now();
            let kept_for = self.kept_for.filter(|_| matches!(verdict, Verdict::In(_)));
            let _ = slot.until.set(now + kept_for.unwrap_or_default());
            if kept_for.is_none() {
                self.forget(&key, &slot);
            }
            Arc::new(verdict)
        });
        let verdict = verdict.await.clone();
        match verdict.is_for_one() && !has_asked {
            true => ask().await.into(),
            false => verdict,
        }
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        let mut by_key = self.lock();
        let now = Instant::now();
        if let Some(slot) = by_key.get(key).filter(|slot| !slot.is_over(now)) {
            return slot.clone();
        }
        if by_key.len() >= MOST {
            by_key.retain(|_, slot| !slot.is_over(now));
        }
        let slot = Arc::<Slot>::default();
        if by_key.len() < MOST {
            by_key.insert(key.clone(), slot.clone());
        }
        slot
    }

    fn forget(&self, key: &Key, slot: &Arc<Slot>) {
        let mut by_key = self.lock();
        if by_key
            .get(key)
            .is_some_and(|known| Arc::ptr_eq(known, slot))
        {
            by_key.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::header::SET_COOKIE;
    use http::{HeaderMap, HeaderValue, StatusCode};
    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn ask(answers: &Answers, key: u8, count: &AtomicUsize, verdict: Verdict) -> bool {
        let verdict = std::cell::RefCell::new(Some(verdict));
        let ask = async || {
            sleep(SECOND / 10).await;
            count.fetch_add(1, Ordering::Relaxed);
            verdict.take().expect("is asked once")
        };
        matches!(*answers.get(vec![key], ask).await, Verdict::In(_))
    }

    fn yes() -> Verdict {
        Verdict::In(HeaderMap::new())
    }

    fn no() -> Verdict {
        Verdict::Out(StatusCode::FORBIDDEN, HeaderMap::new(), "".into())
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_who_come_at_once_one_asks_and_a_yes_holds_for_its_time() {
        let count = AtomicUsize::new(0);
        let answers = Answers::kept_for(Some(SECOND));
        let both = tokio::join!(
            ask(&answers, 1, &count, yes()),
            ask(&answers, 1, &count, no()),
            ask(&answers, 2, &count, no()),
        );
        assert_eq!(both, (true, true, false));
        assert_eq!(count.load(Ordering::Relaxed), 2);
        assert!(ask(&answers, 1, &count, no()).await);
        assert_eq!(count.load(Ordering::Relaxed), 2);
        // A no does not hold.
        assert!(ask(&answers, 2, &count, yes()).await);
        assert_eq!(count.load(Ordering::Relaxed), 3);
        advance(SECOND).await;
        assert!(!ask(&answers, 1, &count, no()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_unless_it_is_wanted_and_who_leaves_is_replaced() {
        let count = AtomicUsize::new(0);
        let answers = Answers::kept_for(None);
        assert!(ask(&answers, 1, &count, yes()).await);
        assert!(!ask(&answers, 1, &count, no()).await);
        assert!(answers.lock().is_empty());
        let left = tokio::time::timeout(SECOND / 20, ask(&answers, 1, &count, yes()));
        let (left, other) = tokio::join!(left, ask(&answers, 1, &count, yes()));
        assert!(left.is_err() && other);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cookie_is_for_who_has_asked() {
        let count = AtomicUsize::new(0);
        let answers = Answers::kept_for(Some(SECOND));
        let login = || {
            let cookie = HeaderValue::from_static("session=1");
            Verdict::Out(
                StatusCode::UNAUTHORIZED,
                HeaderMap::from_iter([(SET_COOKIE, cookie)]),
                "".into(),
            )
        };
        tokio::join!(
            ask(&answers, 1, &count, login()),
            ask(&answers, 1, &count, login()),
            ask(&answers, 1, &count, login()),
        );
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_strangers_is_not_kept() {
        let answers = Answers::kept_for(Some(SECOND));
        for number in 0..MOST as u64 + 100 {
            let key = number.to_be_bytes().to_vec();
            answers.get(key, async || yes()).await;
        }
        assert_eq!(answers.lock().len(), MOST);
        advance(SECOND).await;
        answers.get(vec![0], async || yes()).await;
        assert_eq!(answers.lock().len(), 1);
    }
}
