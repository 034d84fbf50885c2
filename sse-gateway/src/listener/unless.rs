//! Two futures of which one is polled often and the other resolves once, if at all.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// What the first one gives, or as an error what the other one gave before.
///
/// The other one is polled only when it was woken itself: that of a channel takes a lock, which all connections share, and
/// a connection is polled for each event. It is to be run in one task, since the waker of its first poll is kept.
pub(crate) async fn unless<F, O>(
    mut first: Pin<&mut F>,
    mut other: Pin<&mut O>,
) -> Result<F::Output, O::Output>
where
    F: Future,
    O: Future,
{
    let mut signal: Option<(Arc<Signal>, Waker)> = None;
    poll_fn(|cx| {
        let (signal, waker) = signal.get_or_insert_with(|| {
            let signal = Arc::new(Signal {
                is_woken: AtomicBool::new(true),
                task: cx.waker().clone(),
            });
            (signal.clone(), signal.into())
        });
        // Taken before the poll, so that a wake in the middle of it is not lost; and in one step, so that what the last
        // of several wakes was about is seen.
        let is_woken = &signal.is_woken;
        if is_woken.load(Ordering::Relaxed) && is_woken.swap(false, Ordering::AcqRel) {
            let mut cx = Context::from_waker(waker);
            if let Poll::Ready(other) = other.as_mut().poll(&mut cx) {
                return Poll::Ready(Err(other));
            }
        }
        first.as_mut().poll(cx).map(Ok)
    })
    .await
}

struct Signal {
    is_woken: AtomicBool,
    task: Waker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn the_other_one_interrupts_and_is_polled_when_woken_alone() {
        let (ticks, end) = (Notify::new(), Notify::new());
        let mut polls = 0;
        let mut ended = pin!(end.notified());
        let ended = poll_fn(|cx| {
            polls += 1;
            ended.as_mut().poll(cx)
        });
        let busy = async {
            for _ in 0..100 {
                ticks.notify_one();
                ticks.notified().await;
                tokio::task::yield_now().await;
            }
            end.notify_one();
            std::future::pending::<()>().await;
        };
        let result = unless(pin!(busy), pin!(ended)).await;
        assert_eq!((result, polls), (Err(()), 2));
    }

    #[tokio::test]
    async fn the_first_one_ends_it() {
        let never = std::future::pending::<()>();
        let result = unless(pin!(async { 7 }), pin!(never)).await;
        assert_eq!(result, Ok(7));
    }
}
