//! What stages want of events that need not be seen one by one.

use super::EventIds;

/// What a stage wants of events that are known to be whole and to have data; see [`Stage::passing`](super::Stage::passing).
#[derive(Debug)]
#[non_exhaustive]
pub enum Passing<'a> {
    /// To see each of them in [`on_event`](super::Stage::on_event).
    Seen,
    /// To be told how many there were, by [`on_passed`](super::Stage::on_passed).
    Unseen,
    /// The same, but that these ids are given to them.
    WithIds(&'a mut EventIds),
}

impl<'a> Passing<'a> {
    /// What two stages want, one behind the other. Ids are given once without a look at each event, and no more.
    #[inline(always)]
    pub(super) fn and(self, other: Passing<'a>) -> Passing<'a> {
        match (self, other) {
            (Passing::Unseen, other) => other,
            (one, Passing::Unseen) => one,
            _ => Passing::Seen,
        }
    }
}
