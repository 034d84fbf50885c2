//! Connections on which nothing was asked yet. The oldest of them give way where there is no room for others: each has two
//! descriptors, and who means it asks at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

/// In the order in which they came. Descriptors are the process's, and so is this.
static SILENT: Mutex<BTreeMap<u64, Entry>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Whoever has come just now is not silent, but about to ask.
const AT_LEAST: Duration = Duration::from_secs(1);

struct Entry {
    since: Instant,
    serving: Arc<OnceLock<AbortHandle>>,
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub(super) struct Silent(u64);

/// Says what serves it, which is known later.
pub(super) struct Served(Arc<OnceLock<AbortHandle>>);

impl Silent {
    pub(super) fn new() -> (Self, Served) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let serving = Arc::<OnceLock<AbortHandle>>::default();
        let entry = Entry {
            since: Instant::now(),
            serving: serving.clone(),
        };
        all().insert(number, entry);
        (Silent(number), Served(serving))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        all().remove(&self.0);
    }
}

impl Served {
    pub(super) fn by(self, task: AbortHandle) {
        let _ = self.0.set(task);
    }
}

/// Ends the oldest one, if it had its time.
pub(super) fn give_way() {
    let mut silent = all();
    let Some(first) = silent.first_entry() else {
        return;
    };
    if first.get().since.elapsed() < AT_LEAST {
        return;
    }
    let oldest = first.remove();
    // What it holds goes with it, and takes this lock.
    drop(silent);
    if let Some(task) = oldest.serving.get() {
        task.abort();
    }
}

fn all() -> MutexGuard<'static, BTreeMap<u64, Entry>> {
    SILENT.lock().unwrap_or_else(PoisonError::into_inner)
}
