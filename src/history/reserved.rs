//! Bytes of the budget that are no events.

use std::fmt;
use std::sync::Arc;

use super::memory::Store;

/// Bytes of a history's budget that are held for something beside events; given back when it is dropped.
#[derive(Default)]
pub struct Reserved {
    store: Option<Arc<Store>>,
    bytes: usize,
}

impl Reserved {
    /// Of a history without a budget.
    pub fn nothing() -> Self {
        Self::default()
    }

    pub(super) fn of(store: Arc<Store>, bytes: usize) -> Self {
        Reserved {
            store: Some(store),
            bytes,
        }
    }

    /// How many there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds what another holds.
    pub fn join(&mut self, mut other: Reserved) {
        if self.store.is_none() {
            std::mem::swap(self, &mut other);
            return;
        }
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(store) = &self.store {
            store.give_back(self.bytes);
        }
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reserved").field(&self.bytes).finish()
    }
}
