//! Without the feature `redis` there is no store, and what a stream does can be named all the same.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::history::{Appended, Draft, Follower, Joined, MemoryLog};
use crate::relay::config::Config;
use crate::relay::secret::Hash;
use crate::wire::Epoch;

#[derive(Clone, Debug)]
pub(in crate::relay) enum Store {}

pub(in crate::relay) enum Stream {}

pub(in crate::relay) enum Lead {
    Own(Term),
    There(Bytes),
    Ended(Option<Bytes>),
    Other,
    Alone(Option<Term>),
}

pub(in crate::relay) struct Term {
    pub(in crate::relay) number: u64,
    pub(in crate::relay) behind: Option<Bytes>,
    pub(in crate::relay) behind_at: Option<u64>,
    pub(in crate::relay) is_fresh: bool,
    pub(in crate::relay) note: Option<Bytes>,
}

impl Stream {
    pub(in crate::relay) fn is_alone(&self) -> bool {
        match *self {}
    }

    pub(in crate::relay) fn want(&self, _: bool) {
        match *self {}
    }

    pub(in crate::relay) fn keeps_what_has_ended(&self) -> bool {
        match *self {}
    }

    pub(in crate::relay) fn begin_to_end(&self) {
        match *self {}
    }

    pub(in crate::relay) async fn unreachable_for(self: &Arc<Self>, _: Duration) {
        match **self {}
    }

    pub(in crate::relay) fn is_owner(&self) -> bool {
        match *self {}
    }

    pub(in crate::relay) fn owner(&self) -> Option<String> {
        match *self {}
    }

    pub(in crate::relay) fn is_found(&self) -> bool {
        match *self {}
    }

    pub(in crate::relay) async fn give_up_behind(self: &Arc<Self>, _: Duration) {
        match **self {}
    }

    pub(in crate::relay) fn has_dropped(&self) -> bool {
        match *self {}
    }

    pub(in crate::relay) fn ends_with_gap(&self) -> bool {
        match *self {}
    }

    pub(in crate::relay) fn knows(&self, _: Epoch) -> bool {
        match *self {}
    }

    pub(in crate::relay) fn retry(&self) -> Option<Duration> {
        match *self {}
    }

    pub(in crate::relay) fn tell(&self, _: Bytes) {
        match *self {}
    }

    pub(in crate::relay) fn be_alone(self: &Arc<Self>) -> bool {
        match **self {}
    }

    pub(in crate::relay) fn detach(self: &Arc<Self>) {
        match **self {}
    }

    pub(in crate::relay) async fn lead(self: &Arc<Self>, _: bool) -> Lead {
        match **self {}
    }

    pub(in crate::relay) async fn over(self: &Arc<Self>, _: u64) {
        match **self {}
    }

    pub(in crate::relay) async fn append(self: &Arc<Self>, _: Vec<Draft>) -> Appended {
        match **self {}
    }

    pub(in crate::relay) async fn finish(self: &Arc<Self>, _: Bytes) {
        match **self {}
    }

    pub(in crate::relay) async fn has_others(self: &Arc<Self>) -> bool {
        match **self {}
    }

    pub(in crate::relay) async fn known(self: &Arc<Self>, _: Duration) {
        match **self {}
    }

    pub(in crate::relay) async fn follow_behind(self: &Arc<Self>, _: &[u8]) -> (Follower, Joined) {
        match **self {}
    }
}

impl Store {
    pub(in crate::relay) fn stream(
        &self,
        _: &Config,
        _: &super::Wanted<'_>,
        _: &MemoryLog,
    ) -> Option<Arc<Stream>> {
        match *self {}
    }

    pub(in crate::relay) async fn has_open(&self, _: &Hash) -> bool {
        match *self {}
    }

    pub(in crate::relay) async fn find_own(
        &self,
        _: &Epoch,
        _: &Hash,
        _: Duration,
    ) -> super::Elsewhere {
        match *self {}
    }
}
