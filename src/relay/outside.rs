//! The store outside of the process in which other gateways find the same streams, where there is one.
//!
//! Without the feature `redis` there is none, and what a stream does can be named all the same.

#[cfg(feature = "redis")]
pub(super) use crate::store::RedisStore as Store;
#[cfg(feature = "redis")]
pub(super) use crate::store::outside::{Lead, Stream, Term};
#[cfg(not(feature = "redis"))]
pub(super) use none::{Lead, Store, Stream, Term};

#[cfg(not(feature = "redis"))]
mod none {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use crate::history::{Appended, Draft, Follower, Joined, MemoryLog};
    use crate::relay::config::Config;
    use crate::wire::Epoch;

    #[derive(Clone, Debug)]
    pub(in super::super) enum Store {}

    pub(in super::super) enum Stream {}

    pub(in super::super) enum Lead {
        Own(Term),
        There(Bytes),
        Ended(Option<Bytes>),
        Alone(Option<Term>),
    }

    pub(in super::super) struct Term {
        pub(in super::super) number: u64,
        pub(in super::super) behind: Option<Bytes>,
        pub(in super::super) behind_at: Option<u64>,
        pub(in super::super) is_fresh: bool,
        pub(in super::super) note: Option<Bytes>,
    }

    impl Stream {
        pub(in super::super) fn is_alone(&self) -> bool {
            match *self {}
        }

        pub(in super::super) fn want(&self, _: bool) {
            match *self {}
        }

        pub(in super::super) fn begin_to_end(&self) {
            match *self {}
        }

        pub(in super::super) fn is_reachable(&self) -> bool {
            match *self {}
        }

        pub(in super::super) fn is_owner(&self) -> bool {
            match *self {}
        }

        pub(in super::super) fn knows(&self, _: Epoch) -> bool {
            match *self {}
        }

        pub(in super::super) fn retry(&self) -> Option<Duration> {
            match *self {}
        }

        pub(in super::super) fn tell(&self, _: Bytes) {
            match *self {}
        }

        pub(in super::super) fn be_alone(self: &Arc<Self>) -> bool {
            match **self {}
        }

        pub(in super::super) fn detach(self: &Arc<Self>) {
            match **self {}
        }

        pub(in super::super) async fn lead(self: &Arc<Self>, _: bool) -> Lead {
            match **self {}
        }

        pub(in super::super) async fn over(self: &Arc<Self>, _: u64) {
            match **self {}
        }

        pub(in super::super) async fn append(self: &Arc<Self>, _: Vec<Draft>) -> Appended {
            match **self {}
        }

        pub(in super::super) async fn finish(self: &Arc<Self>, _: Bytes) {
            match **self {}
        }

        pub(in super::super) async fn has_others(self: &Arc<Self>) -> bool {
            match **self {}
        }

        pub(in super::super) async fn known(self: &Arc<Self>, _: Duration) {
            match **self {}
        }

        pub(in super::super) async fn follow_behind(
            self: &Arc<Self>,
            _: &[u8],
        ) -> (Follower, Joined) {
            match **self {}
        }
    }

    impl Store {
        pub(in super::super) fn stream(
            &self,
            _: &Config,
            _: &super::Wanted<'_>,
            _: &MemoryLog,
        ) -> Option<Arc<Stream>> {
            match *self {}
        }
    }
}

/// The stream that a relay is to have.
pub(super) struct Wanted<'a> {
    /// By which all gateways find it.
    pub(super) key: &'a [u8],
    pub(super) seal: &'a crate::history::Seal,
    /// Whether its first client may have something of one that has ended.
    pub(super) wants_rest: bool,
    /// The upstream's id behind which a log is to begin that is not there yet.
    pub(super) behind: Option<bytes::Bytes>,
}

#[cfg(feature = "redis")]
impl Store {
    /// Follows the stream of a key, unless that is followed here already, or is not to be waited for.
    pub(super) fn stream(
        &self,
        config: &super::config::Config,
        wanted: &Wanted<'_>,
        log: &crate::history::MemoryLog,
    ) -> Option<std::sync::Arc<Stream>> {
        use super::{OnFull, gap, note};
        use crate::history::Keep;
        use crate::store::outside::Opening;
        use crate::store::{WhenAway, Writing};

        if self.when_away == WhenAway::Local && self.hub.session().is_none() {
            return None;
        }
        let gap = gap::without_id(config, None, false).map(|event| event.to_bytes());
        let opening = Opening {
            log: log.clone(),
            writing: Writing {
                tag: config.tag,
                seal: Some(wanted.seal.clone()),
                gap,
                keeps_ids: config.keep_ids,
                is_sifted: true,
            },
            keep: match config.on_full {
                OnFull::Wait => Keep::All,
                OnFull::Drop => Keep::Unread,
            },
            behind: wanted.behind.clone(),
            wants_rest: wanted.wants_rest.then_some(note::is_of_whole),
        };
        self.hub.open(self.name(wanted.key), opening)
    }
}
