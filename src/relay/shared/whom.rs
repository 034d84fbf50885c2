//! Whose stream a relay has, and for whom else its answer is.

use http::{HeaderMap, HeaderName};

use super::Relay;
use crate::relay::secret::Hash;
use crate::relay::vary::Vary;

/// Whose stream it is.
#[derive(Clone, Debug)]
pub(in super::super) enum Of {
    /// Of all whose requests have this key.
    Key {
        key: Hash,
        /// The same of the request that opened it, by all of its fields.
        full: Hash,
        /// The key without fields, and those of it.
        target: Hash,
        fields: Vec<(HeaderName, Hash)>,
        /// Whether it is found by its key, and not by its ids alone.
        is_joined: bool,
    },
    /// Of one client, which proves by this that it is the same.
    Client(Hash),
}

impl Relay {
    /// Whether a client with this key shares it, as far as is known.
    pub(in super::super) fn is_for(&self, key: &Hash, fields: &HeaderMap) -> bool {
        match &self.of {
            Of::Key {
                key: own,
                is_joined: true,
                ..
            } => {
                own == key
                    && self
                        .vary
                        .get()
                        .map_or_else(|| self.awaits(fields), |vary| vary.suits(fields))
            }
            Of::Key { .. } | Of::Client(_) => false,
        }
    }

    /// Whether a client with one of its ids may have been its client: one that is not shared is for who asks for the same
    /// in all fields.
    pub(in super::super) fn knows(&self, key: &Hash, full: &Hash, fields: &HeaderMap) -> bool {
        match &self.of {
            Of::Key { full: own, .. } => own == full || self.is_for(key, fields),
            Of::Client(_) => false,
        }
    }

    /// Its answer will differ by fields of these names, as far as is known.
    pub(in super::super) fn await_for(&self, names: &[HeaderName], fields: &HeaderMap) {
        let _ = self.awaited.set(Vary::by(names, fields));
    }

    /// Whether the answer to come is for a request with these fields, as far as is known.
    fn awaits(&self, fields: &HeaderMap) -> bool {
        self.awaited
            .get()
            .is_none_or(|awaited| awaited.suits(fields))
    }

    /// Whether all who wait for the answer have the same in this field.
    pub(in super::super) fn awaits_by(&self, name: &HeaderName) -> bool {
        let awaited = self.awaited.get().map_or(Vec::new(), Vary::names);
        awaited.contains(name)
    }

    /// For whom else the answer is, once it has come.
    pub(in super::super) fn vary(&self) -> Option<&Vary> {
        self.vary.get()
    }

    pub(in super::super) fn set_vary(&self, vary: Vary) {
        let _ = self.vary.set(vary);
    }
}
