//! Clients that have fallen behind what is kept while nobody polls their bodies: their server is asked to let them go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, SetOnce};
use tokio::time::sleep;

use crate::history::Log;

/// Asks a server to close the connection of a client that does not read.
///
/// The body of such a client is not polled, so a relay cannot end it. A server that puts one of these into the extensions
/// of a request is asked to close its connection one to two seconds after the client has fallen behind what is kept, if
/// it is to be [disconnected](super::SlowClient::Disconnect). It is for connections that carry one response at a time, as
/// those of HTTP/1.1 do.
#[derive(Clone, Debug, Default)]
pub struct Hangup {
    asked: Arc<SetOnce<()>>,
}

impl Hangup {
    /// For one connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until the connection is to be closed.
    pub async fn asked(&self) {
        self.asked.wait().await;
    }
}

/// How far a client has read.
pub(super) struct Place {
    /// The number of the last event with data.
    read_up_to: AtomicU64,
    /// Whether it had fallen behind when it was last looked at.
    was_lost: AtomicBool,
    hangup: Hangup,
}

impl Place {
    pub(super) fn set(&self, read_up_to: u64) {
        self.read_up_to.store(read_up_to, Ordering::Relaxed);
    }
}

/// The places of all clients whose connections can be closed.
#[derive(Default)]
pub(super) struct Places {
    all: Mutex<Vec<Weak<Place>>>,
    appended: Notify,
}

/// So often clients are looked at while events come, and twice behind the last.
const LOOK: Duration = Duration::from_secs(1);

impl Places {
    pub(super) fn enter(&self, hangup: Hangup, read_up_to: u64) -> Arc<Place> {
        let place = Arc::new(Place {
            read_up_to: AtomicU64::new(read_up_to),
            was_lost: AtomicBool::new(false),
            hangup,
        });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|place| place.strong_count() > 0);
        }
        all.push(Arc::downgrade(&place));
        place
    }

    /// Events have come, for which others may have gone.
    pub(super) fn appended(&self) {
        self.appended.notify_one();
    }

    /// Looks after clients, and never ends.
    pub(super) async fn look_after(&self, log: &impl Log) {
        loop {
            self.appended.notified().await;
            for _ in 0..2 {
                sleep(LOOK).await;
                self.look(log.stats().dropped_up_to);
            }
        }
    }

    fn look(&self, dropped_up_to: u64) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|place| {
            let Some(place) = place.upgrade() else {
                return false;
            };
            let is_lost = place.read_up_to.load(Ordering::Relaxed) < dropped_up_to;
            // One that reads learns it by itself in the meantime, and has a clean end.
            if place.was_lost.swap(is_lost, Ordering::Relaxed) && is_lost {
                let _ = place.hangup.asked.set(());
            }
            true
        });
    }
}
