//! The upstreams of a route, of which each can answer any request.
//!
//! A request goes to the one with the fewest open requests and streams. One that cannot be reached is set aside for a while
//! ([`Aside`](super::aside::Aside)), and the next is asked for the same request as long as none of it was sent; a stream stays where it is. Nobody is
//! asked whether it is healthy: requests tell.

mod member;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::proxy::failure::Failure;
use crate::proxy::upstream::UpstreamClient;

pub(crate) use self::member::{AnsweredBy, Asked, Member};

/// One upstream or more. Clones are the same.
#[derive(Clone)]
pub(crate) struct Upstreams(Arc<Shared>);

struct Shared {
    members: Box<[Member]>,
    /// Where to begin to look, so that those with as many requests take turns.
    turn: AtomicUsize,
}

impl Upstreams {
    /// There has to be one at least.
    pub(crate) fn new(members: Vec<Member>) -> Self {
        Upstreams(Arc::new(Shared {
            members: members.into(),
            turn: AtomicUsize::new(0),
        }))
    }

    /// Whose protocol and host hold for all.
    pub(crate) fn first(&self) -> &UpstreamClient {
        self.0.members[0].client()
    }

    pub(crate) fn are_several(&self) -> bool {
        self.0.members.len() > 1
    }

    /// Whether they are the same upstreams.
    pub(crate) fn are(&self, other: &Self) -> bool {
        let (own, others) = (&self.0.members, &other.0.members);
        own.len() == others.len() && own.iter().zip(others).all(|(one, other)| one.is(other))
    }

    /// The one to ask, which was not asked for this request. When all are set aside, the one that was so first.
    pub(crate) fn pick(&self, asked: &[Member]) -> Option<Asked> {
        let members = &self.0.members;
        if let ([only], []) = (&**members, asked) {
            return Some(only.ask());
        }
        let now = Instant::now();
        let first = self.0.turn.fetch_add(1, Ordering::Relaxed) % members.len();
        let (before, behind) = members.split_at(first);
        let left = behind.iter().chain(before);
        let left = left.filter(|one| !asked.iter().any(|other| other.is(one)));
        let best = left.min_by_key(|one| (one.aside().until(now), one.open()))?;
        best.aside().try_now(now);
        Some(best.ask())
    }

    /// Opens a connection to each, and closes it: whether one is there.
    ///
    /// # Errors
    ///
    /// When none is. The text has a line for each.
    pub(crate) async fn reach(&self) -> Result<(), String> {
        let mut tried = JoinSet::new();
        for member in &self.0.members {
            let member = member.clone();
            tried.spawn(async move {
                let reached = member.client().reach().await;
                let why = |error: Failure| format!("upstream {}: {error}\n", member.name());
                reached.map_err(why)
            });
        }
        let mut why = Vec::new();
        while let Some(reached) = tried.join_next().await {
            match reached {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => why.push(error),
                Err(error) => why.push(format!("upstream: {error}\n")),
            }
        }
        why.sort();
        Err(why.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::upstreams::Upstreams as Named;
    use crate::proxy::aside::SHORTEST;

    fn upstreams(text: &str) -> Upstreams {
        let named = Named::parse(text).expect("are upstreams");
        let member = |one| Member::to(one, &Default::default(), member::tests::TIMEOUTS);
        let members = named.iter().map(|one| member(one).expect("can be one"));
        Upstreams::new(members.collect())
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_with_the_fewest_open_requests_is_asked_and_others_take_turns() {
        let three = upstreams("http://a:1,http://b:1,http://c:1");
        let mut open: Vec<_> = (0..6).filter_map(|_| three.pick(&[])).collect();
        let names = |open: &[Asked]| {
            let mut names: Vec<_> = open.iter().map(|one| one.name().to_string()).collect();
            names.sort();
            names.join(" ")
        };
        let twice = "http://a:1 http://a:1 http://b:1 http://b:1 http://c:1 http://c:1";
        assert_eq!(names(&open), twice);
        open.retain(|one| &*one.name() != "http://b:1");
        open.extend((0..2).filter_map(|_| three.pick(&[])));
        assert_eq!(names(&open), twice);
        drop(open);
        let one_by_one: Vec<_> = (0..3)
            .filter_map(|_| Some(three.pick(&[])?.name()))
            .collect();
        let mut sorted = one_by_one.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 3, "{one_by_one:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_set_aside_is_asked_last_and_again_by_one_request_when_its_time_is_over() {
        let two = upstreams("http://a:1,http://b:1");
        let away = two.pick(&[]).expect("there is one");
        let name = away.name();
        away.failed(&Failure::connect_timeout(SHORTEST));
        drop(away);
        let pick = || two.pick(&[]).expect("there is one");
        let open: Vec<_> = (0..4).map(|_| pick()).collect();
        assert!(open.iter().all(|one| one.name() != name));
        let asked: Vec<_> = open.iter().map(|one| one.member().clone()).collect();
        assert_eq!(
            two.pick(&asked[..1]).map(|one| one.name()),
            Some(name.clone())
        );
        tokio::time::advance(SHORTEST).await;
        assert_eq!(pick().name(), name, "it is tried again");
        assert_ne!(pick().name(), name, "by one request");
        let again = two.pick(&asked[..1]).expect("there is one");
        again.answered();
        drop(again);
        assert_eq!(pick().name(), name, "it is there again, and has none open");
    }
}
