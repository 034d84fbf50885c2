//! Where a client goes on.

use bytes::Bytes;

use super::Member;
use crate::store::{Context, Meta, Place, Rule};
use crate::wire::SequentialId;

/// Where a client goes on, or what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sought {
    /// Here; some are not kept any more if it says so.
    At {
        /// The place.
        place: u64,
        /// Whether it is to be told.
        is_lost: bool,
    },
    /// It is not known yet. Ask again behind the next change.
    Wait,
    /// Nobody knows it: nothing will come but what the upstream may give again.
    Unknown,
}

impl Member {
    /// Where a client goes on that has had this id last. `since` is what [`Member::seek`] gave when it came.
    pub fn sought(&self, id: &[u8], since: u64) -> Sought {
        let Some(id) = SequentialId::parse(id) else {
            let place = self.replica.behind(id);
            return place.map_or(Sought::Unknown, |place| Sought::At {
                place,
                is_lost: false,
            });
        };
        match self.replica.place(&id) {
            Place::At(place) => Sought::At {
                place,
                is_lost: false,
            },
            Place::Evicted(place) => Sought::At {
                place,
                is_lost: true,
            },
            Place::Ahead if !self.rules.hold(Rule::WaitForNumber) => Sought::Unknown,
            Place::Ahead if self.reads_done >= since && self.is_orphan(&id) => Sought::Unknown,
            Place::Ahead => Sought::Wait,
        }
    }

    /// Whether it has a number that the log will never have, and no id that the upstream might give again. One that the store
    /// has forgotten may be appended again until there is a new frame.
    fn is_orphan(&self, id: &SequentialId<'_>) -> bool {
        let is_settled = |meta: &Meta| meta.reign == self.reign || !self.replica.is_of(id);
        id.upstream.is_none() && self.meta.as_ref().is_some_and(is_settled)
    }

    /// A client has come with this id: what a read that begins now brings tells where it goes on.
    pub fn seek(&mut self, id: &[u8], cx: &mut Context<'_>) -> u64 {
        if let Some(upstream) = SequentialId::parse(id).and_then(|id| id.upstream) {
            self.begin_behind(Bytes::copy_from_slice(upstream));
        }
        self.look(cx)
    }

    /// Where a log that is not there yet is to begin, unless that was said before: behind this id of the upstream.
    pub fn begin_behind(&mut self, upstream: Bytes) {
        self.behind.get_or_insert(upstream);
    }

    /// A client has come. Gives what [`Member::sought`] is to be told.
    pub fn look(&mut self, cx: &mut Context<'_>) -> u64 {
        let since = self.reads_begun + 1;
        self.read(cx);
        since
    }
}
