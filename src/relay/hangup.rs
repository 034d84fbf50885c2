//! Clients that have fallen behind what is kept while nobody polls their bodies: their server is asked to let them go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Notify, SetOnce};
use tokio::time::sleep;

use crate::history::MemoryLog;
use crate::slots;

/// Asks a server to close the connection of a client that does not read.
///
/// The body of such a client is not polled, so a relay cannot end it. A server that puts one of these into the extensions
/// of a request is asked to close its connection one to two seconds after the client has fallen behind what is kept, or when
/// it has stopped and [holds up](super::RelayLayer::with_client_stall_timeout) the stream, if it is to be
/// [disconnected](super::SlowClient::Disconnect). It is for connections that carry one response at a time, as
/// those of HTTP/1.1 do.
#[derive(Clone, Debug, Default)]
pub struct Hangup {
    asked: Arc<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    is: SetOnce<()>,
    /// Who polls.
    polling: Mutex<Option<Waker>>,
}

impl Hangup {
    /// For one connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until the connection is to be closed.
    pub async fn asked(&self) {
        self.asked.is.wait().await;
    }

    /// The same for who polls. The task of the last poll is woken.
    pub fn poll_asked(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_asked() {
            return Poll::Ready(());
        }
        slots::wait(&mut self.polling(), cx.waker());
        // It may have been asked before the waker was there.
        match self.is_asked() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn ask(&self) {
        let _ = self.asked.is.set(());
        let polling = self.polling().take();
        if let Some(waker) = polling {
            waker.wake();
        }
    }

    fn is_asked(&self) -> bool {
        self.asked.is.initialized()
    }

    fn polling(&self) -> MutexGuard<'_, Option<Waker>> {
        self.asked
            .polling
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a client has read.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The number of the last event with data.
    read_up_to: AtomicU64,
    /// Whether it had fallen behind when it was last looked at.
    was_lost: AtomicBool,
    /// What it had read up to when it was last found to hold up the stream, and one more.
    held_at: AtomicU64,
    hangup: Hangup,
}

impl Progress {
    pub(crate) fn set(&self, read_up_to: u64) {
        self.read_up_to.store(read_up_to, Ordering::Relaxed);
    }

    fn hang_up(&self) {
        self.hangup.ask();
    }

    /// Whether its server was asked to let it go.
    pub(super) fn is_hung_up(&self) -> bool {
        self.hangup.is_asked()
    }
}

/// Looks after all clients whose connections can be closed.
#[derive(Default)]
pub(super) struct Watchdog {
    all: Mutex<Vec<Weak<Progress>>>,
    appended: Notify,
}

/// So often clients are looked at while events come, and twice behind the last.
const LOOK: Duration = Duration::from_secs(1);

impl Watchdog {
    pub(super) fn enter(&self, hangup: Hangup, read_up_to: u64) -> Arc<Progress> {
        let progress = Arc::new(Progress {
            read_up_to: AtomicU64::new(read_up_to),
            was_lost: AtomicBool::new(false),
            held_at: AtomicU64::new(0),
            hangup,
        });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|progress| progress.strong_count() > 0);
        }
        all.push(Arc::downgrade(&progress));
        progress
    }

    /// Events have come, for which others may have gone.
    pub(super) fn appended(&self) {
        self.appended.notify_one();
    }

    /// Looks after clients, and never ends.
    pub(super) async fn look_after(&self, log: &MemoryLog) {
        loop {
            self.appended.notified().await;
            for _ in 0..2 {
                sleep(LOOK).await;
                self.look(log.stats().dropped_up_to);
            }
        }
    }

    fn look(&self, dropped_up_to: u64) {
        self.each(|progress| {
            let is_lost = progress.read_up_to.load(Ordering::Relaxed) < dropped_up_to;
            // One that reads learns it by itself in the meantime, and has a clean end.
            if progress.was_lost.swap(is_lost, Ordering::Relaxed) && is_lost {
                progress.hang_up();
            }
        });
    }

    /// Looks at those who have yet to read what is behind this event, the oldest that is kept. Whoever is found there twice
    /// has stopped.
    pub(super) fn look_at_holders(&self, dropped_up_to: u64) {
        self.each(|progress| {
            let is_held = progress.read_up_to.load(Ordering::Relaxed) == dropped_up_to;
            let held_at = if is_held { dropped_up_to + 1 } else { 0 };
            if progress.held_at.swap(held_at, Ordering::Relaxed) == held_at && is_held {
                progress.hang_up();
            }
        });
    }

    fn each(&self, look: impl Fn(&Progress)) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|progress| {
            let progress = progress.upgrade();
            if let Some(progress) = &progress {
                look(progress);
            }
            progress.is_some()
        });
    }
}
