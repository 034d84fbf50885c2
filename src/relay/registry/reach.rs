//! How other processes find a stream.

use crate::relay::outside::Way;
use crate::relay::shared::Of;
use crate::wire::Epoch;

/// How other processes find a stream.
pub(super) enum Reach {
    /// They do not.
    Here,
    /// By its key; its first client may have something of one that has ended, or not.
    ByKey { wants_rest: bool },
    /// By its key, unless they have one.
    ByKeyIfFree,
    /// By its ids.
    ByIds,
    /// By its ids, which begin so, as this one has found it.
    Found { epoch: Epoch, is_asked_again: bool },
}

impl Reach {
    /// What is to be had of the store.
    pub(super) fn wanted<'a>(
        &self,
        of: &'a Of,
        epoch: Epoch,
        is_asked_again: bool,
    ) -> Option<Way<'a>> {
        match (self, of) {
            (Reach::ByKey { wants_rest }, Of::Key { key, .. }) => Some(Way::Key {
                key,
                wants_rest: *wants_rest,
                is_answered: false,
                is_asked_again,
            }),
            (Reach::ByKeyIfFree, Of::Key { key, .. }) => Some(Way::Key {
                key,
                wants_rest: false,
                is_answered: true,
                is_asked_again,
            }),
            (Reach::ByIds | Reach::Found { .. }, Of::Client(binding)) => Some(Way::Own {
                epoch,
                binding,
                is_new: matches!(self, Reach::ByIds),
                is_asked_again,
            }),
            _ => None,
        }
    }
}
