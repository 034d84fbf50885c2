//! How the gateway is told to stop, and how it is known that it has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use slab::Slab;
use tokio::sync::watch;

/// Tells all parts of the gateway to stop, in two steps. Clones are one and the same.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: watch::Sender<Phase>,
    /// Connections and upgrades together, to wait for.
    open: watch::Sender<usize>,
    upgrades: AtomicUsize,
    /// Who is woken when nothing new is taken any more, and who in the end.
    woken: [Mutex<Slab<Waker>>; 2],
}

/// How far the gateway is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Serving,
    /// Nothing new is taken, what runs may finish.
    Graceful,
    /// What runs is dropped.
    Now,
}

impl Shutdown {
    pub(crate) fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                phase: watch::Sender::new(Phase::Serving),
                open: watch::Sender::new(0),
                upgrades: AtomicUsize::new(0),
                woken: Default::default(),
            }),
        }
    }

    /// Takes nothing new and lets what runs finish.
    pub(crate) fn graceful(&self) {
        self.advance(Phase::Graceful);
    }

    /// Drops what still runs.
    pub(crate) fn now(&self) {
        self.advance(Phase::Now);
    }

    /// Has a task woken at [`Phase::Graceful`], for as long as this is held. It costs less than [`Shutdown::reached`].
    pub(crate) fn wake_at_graceful(&self, waker: Waker) -> Woken {
        self.wake_at(Phase::Graceful, waker)
    }

    /// The same at [`Phase::Now`].
    pub(crate) fn wake_at_end(&self, waker: Waker) -> Woken {
        self.wake_at(Phase::Now, waker)
    }

    fn wake_at(&self, phase: Phase, waker: Waker) -> Woken {
        let key = self.inner.woken(phase).insert(waker);
        // Who comes too late to be in the list is woken at once.
        if self.phase() >= phase {
            self.wake(phase);
        }
        Woken {
            inner: self.inner.clone(),
            phase,
            key,
        }
    }

    fn wake(&self, phase: Phase) {
        let all: Vec<_> = self
            .inner
            .woken(phase)
            .iter()
            .map(|(_, waker)| waker.clone())
            .collect();
        all.into_iter().for_each(Waker::wake);
    }

    fn advance(&self, to: Phase) {
        self.inner.phase.send_if_modified(|phase| {
            let later = to > *phase;
            if later {
                *phase = to;
            }
            later
        });
        for phase in [Phase::Graceful, Phase::Now] {
            if phase <= to {
                self.wake(phase);
            }
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.inner.phase.borrow()
    }

    /// Resolves when this phase, or a later one, has begun.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut receiver = self.inner.phase.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = receiver.wait_for(|now| *now >= phase).await;
    }

    /// Counts a connection while the guard lives.
    pub(crate) fn connection(&self) -> Open {
        self.open(false)
    }

    /// Counts an upgraded connection while the guard lives.
    pub(crate) fn upgrade(&self) -> Open {
        self.open(true)
    }

    fn open(&self, upgrade: bool) -> Open {
        // Who waits, waits for none; and to tell of it costs more than the rest of a count.
        self.inner.open.send_if_modified(|open| {
            *open += 1;
            false
        });
        if upgrade {
            self.inner.upgrades.fetch_add(1, Ordering::Relaxed);
        }
        Open {
            inner: Arc::clone(&self.inner),
            upgrade,
        }
    }

    /// Upgraded connections that are open now.
    pub(crate) fn upgrades(&self) -> usize {
        self.inner.upgrades.load(Ordering::Relaxed)
    }

    /// Connections that are open now, without upgraded ones.
    pub(crate) fn connections(&self) -> usize {
        self.inner.open.borrow().saturating_sub(self.upgrades())
    }

    /// Resolves when no connection is open, upgraded or not.
    pub(crate) async fn idle(&self) {
        let mut receiver = self.inner.open.subscribe();
        let _ = receiver.wait_for(|open| *open == 0).await;
    }
}

impl Inner {
    fn woken(&self, phase: Phase) -> MutexGuard<'_, Slab<Waker>> {
        let woken = &self.woken[usize::from(phase == Phase::Now)];
        woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task in the list of those that are woken at a phase.
#[derive(Debug)]
pub(crate) struct Woken {
    inner: Arc<Inner>,
    phase: Phase,
    key: usize,
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.inner.woken(self.phase).remove(self.key);
    }
}

/// Something that is open and counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    inner: Arc<Inner>,
    upgrade: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.upgrade {
            self.inner.upgrades.fetch_sub(1, Ordering::Relaxed);
        }
        self.inner.open.send_if_modified(|open| {
            *open -= 1;
            *open == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_go_one_way() {
        let shutdown = Shutdown::new();
        shutdown.now();
        shutdown.graceful();
        assert_eq!(shutdown.phase(), Phase::Now);
        shutdown.reached(Phase::Graceful).await;
    }

    #[tokio::test]
    async fn who_is_to_be_woken_at_a_phase_is_also_when_it_comes_too_late() {
        use Phase::{Graceful, Now};
        use std::future::poll_fn;
        use std::task::Poll;
        for (phase, reached) in [(Graceful, Graceful), (Graceful, Now), (Now, Now)] {
            for is_late in [false, true] {
                let shutdown = Shutdown::new();
                if is_late {
                    shutdown.advance(reached);
                }
                let mut woken = None;
                let waiting = poll_fn(|cx| {
                    if woken.is_none() {
                        woken = Some(shutdown.wake_at(phase, cx.waker().clone()));
                        return Poll::Pending;
                    }
                    match shutdown.phase() >= phase {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                });
                tokio::join!(waiting, async { shutdown.advance(reached) });
                drop(woken);
                assert!(shutdown.inner.woken(phase).is_empty());
            }
        }
    }

    #[tokio::test]
    async fn idle_waits_for_connections_and_upgrades() {
        let shutdown = Shutdown::new();
        let connection = shutdown.connection();
        let upgrade = shutdown.upgrade();
        assert_eq!((shutdown.connections(), shutdown.upgrades()), (1, 1));
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.idle().await }
        });
        drop(connection);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(upgrade);
        waiting.await.expect("idle");
    }
}
