//! The file that has the keys by which tokens are checked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::jwt_keys::{Key, read};

/// The keys of a file. It is read again when a token names a key that was not in it.
pub(super) struct KeyFile {
    path: PathBuf,
    now: Mutex<Now>,
}

struct Now {
    keys: Arc<[Key]>,
    read: Instant,
}

/// A token can name anything, so the file is read no more often than this.
const READ_AGAIN: Duration = Duration::from_secs(5);

impl KeyFile {
    /// # Errors
    ///
    /// When it cannot be read, or has no key that can be used.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let now = Now {
            keys: read(path)?.into(),
            read: Instant::now(),
        };
        Ok(KeyFile {
            path: path.to_owned(),
            now: Mutex::new(now),
        })
    }

    pub(super) fn keys(&self) -> Arc<[Key]> {
        self.now().keys.clone()
    }

    /// Those that the file has now, if they may be others than [`keys`](Self::keys).
    pub(super) fn newer(&self) -> Option<Arc<[Key]>> {
        let mut now = self.now();
        if now.read.elapsed() < READ_AGAIN {
            return None;
        }
        now.read = Instant::now();
        match read(&self.path) {
            Ok(keys) => {
                now.keys = keys.into();
                Some(now.keys.clone())
            }
            Err(error) => {
                tracing::warn!(%error, "the keys of tokens stay as they are");
                None
            }
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
