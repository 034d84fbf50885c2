//! A client of a group, from its request to where it goes on with the relay.

use std::cmp::Ordering;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tokio::time::{Instant, Sleep, sleep};

use super::super::inside::Inside;
use super::super::shared::Relay;
use super::super::template::{Template, header_value};
use super::asking::ask;
use super::group::{End, Group, Member, Next};
use super::{Behind, Bounds, Came, groups};
use crate::history::{Follower, Gap, Skip, order};
use crate::wire::SequentialId;

/// A client that is not yet where the relay is.
pub(in super::super) struct CatchUp {
    came: Came,
    member: Member,
    asks: Asks,
    /// How often it may still ask anew.
    anew_left: u32,
    /// The id of the upstream of what it was given last.
    given: Option<Bytes>,
    /// What it has had all of, and nothing behind it: from there on it can be caught up anew.
    exactly: Option<Bytes>,
    /// Whether nothing without an id came behind what is given.
    is_exact: bool,
    /// Whether it was given events, with an id of the upstream or not.
    has_given: bool,
    /// Nothing more comes. So long the relay may take to come to what was given last.
    over: Option<Pin<Box<Sleep>>>,
    turns_left: u32,
}

/// What became of a client that catches up.
pub(in super::super) enum Caught {
    /// It is given these events.
    Events(Bytes),
    /// It goes on with the relay, and has missed nothing.
    Up,
    /// It may have missed something, and goes on with the relay where it came in.
    Not,
    /// It may have missed something, and goes on with what is newer than what it was given, or with some of what it was
    /// given again, where that has no ids.
    Past(Gap),
}

/// How the upstream is asked.
struct Asks {
    template: Arc<Template>,
    bounds: Bounds,
    /// Begins the request of a group. Locked only so that the client's body can be shared between threads where the service
    /// cannot.
    begin: Mutex<Box<Begin>>,
}

type Begin = dyn FnMut(Arc<Group>, Behind) + Send;

/// So long a client that was given some waits for its relay to come to the last of it, and so often anew while the relay
/// is seen to be behind.
const BEHIND: Duration = Duration::from_secs(2);
const BEHIND_TURNS: u32 = 30;
/// So often a client asks anew, if it is too slow for its group: once together with others, then alone.
const ANEW: u32 = 3;

impl Asks {
    /// A member of the group that asks for this, or of one of its own.
    fn enter(&mut self, relay: &Relay, behind: Behind, position: u64, is_alone: bool) -> Member {
        let (member, begun) = match is_alone {
            true => {
                let (member, group) = groups::begin(&self.template, position, &self.bounds);
                (member, Some(group))
            }
            false => relay
                .catch_ups
                .enter(&behind, &self.template, position, &self.bounds),
        };
        if let Some(group) = begun {
            let begin = self.begin.get_mut();
            begin.unwrap_or_else(PoisonError::into_inner)(group, behind);
        }
        member
    }
}

impl CatchUp {
    /// Has the upstream asked for what is behind an id of it.
    pub(in super::super) fn begin<S, B, R>(
        relay: Arc<Relay>,
        came: Came,
        service: S,
        template: Template,
        bounds: Bounds,
    ) -> Self
    where
        S: Inside<B, R>,
        B: From<Bytes> + Send + 'static,
        R: Body + Send + 'static,
    {
        let template = Arc::new(template);
        let mut asks = Asks {
            template: Arc::clone(&template),
            bounds: bounds.clone(),
            begin: {
                let relay = Arc::clone(&relay);
                Mutex::new(Box::new(move |group, behind| {
                    let request = template.request(Some(&behind.id));
                    let (relay, service) = (Arc::clone(&relay), service.clone());
                    let turns = Arc::clone(&bounds.turns);
                    tokio::spawn(ask(relay, group, behind, service, request, turns));
                }))
            },
        };
        let behind = Behind {
            id: came.upstream.clone(),
            is_known: came.missed.is_some(),
        };
        let member = asks.enter(&relay, behind, came.position, false);
        CatchUp {
            member,
            asks,
            anew_left: ANEW,
            given: None,
            exactly: Some(came.upstream.clone()),
            came,
            is_exact: true,
            has_given: false,
            over: None,
            turns_left: BEHIND_TURNS,
        }
    }

    pub(in super::super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        relay: &Relay,
        follower: &mut Follower,
    ) -> Poll<Caught> {
        // Either the client was served by somebody who was ahead, and the relay has come to where that was, or it was given
        // the last that the relay has. Its own stream may be ahead at each event, and would never meet the relay's.
        if self.is_exact || self.over.is_some() {
            if let Poll::Ready(gap) = follower.poll_seek(cx, self.last_id()) {
                return Poll::Ready(self.there(gap));
            }
        }
        loop {
            if self.over.is_some() {
                return self.poll_over(cx, relay, follower);
            }
            let may_go_anew = match ready!(self.member.poll_next(cx)) {
                Next::Step(step) => {
                    self.has_given = true;
                    self.is_exact = step.is_exact;
                    self.exactly = step.id.clone().filter(|_| step.is_exact);
                    self.given = step.id.or(self.given.take());
                    return Poll::Ready(Caught::Events(step.bytes));
                }
                Next::End(End::Nothing) => {
                    let given = self.given.get_or_insert(self.came.upstream.clone());
                    let is_ahead = relay.has_given_ahead(given) && is_seen_behind(relay, given);
                    if !is_ahead {
                        return Poll::Ready(Caught::Up);
                    }
                    false
                }
                Next::End(End::Met) => {
                    if let Poll::Ready(gap) = follower.poll_seek(cx, self.last_id()) {
                        return Poll::Ready(self.there(gap));
                    }
                    // It came there too late: that event is not kept any more.
                    true
                }
                Next::End(End::OutOfTime) => !self.member.is_first(),
                Next::End(End::Failed) => false,
                Next::Lost => true,
                Next::NotForAll => {
                    self.anew_left = self.anew_left.min(ANEW - 1);
                    true
                }
            };
            if may_go_anew && self.goes_anew(relay) {
                continue;
            }
            if self.given.is_none() {
                // It was given that much already, when it was here before.
                if self.came.missed.is_some() || !relay.has_given_ahead(&self.came.upstream) {
                    return Poll::Ready(self.given_up(follower));
                }
                self.given = Some(self.came.upstream.clone());
            }
            if let Poll::Ready(gap) = follower.poll_seek(cx, self.last_id()) {
                return Poll::Ready(self.there(gap));
            }
            self.over = Some(Box::pin(sleep(BEHIND)));
        }
    }

    /// What the relay may come to know.
    fn last_id(&self) -> &[u8] {
        self.given.as_deref().unwrap_or(&self.came.id)
    }

    /// Asks for what is behind all that it has had, if that can be said.
    fn goes_anew(&mut self, relay: &Relay) -> bool {
        let id = self.exactly.clone();
        let id = id.filter(|id| self.anew_left > 0 && header_value(Some(id)).is_some());
        let Some(id) = id else { return false };
        let is_alone = self.anew_left < ANEW;
        self.anew_left -= 1;
        let behind = Behind {
            id,
            is_known: self.came.missed.is_some() && !self.has_given,
        };
        self.member = self.asks.enter(relay, behind, self.came.position, is_alone);
        true
    }

    /// The relay has what the client was given last, or the last of it that had an id: what is behind that comes again.
    fn there(&self, gap: Gap) -> Caught {
        match self.is_exact {
            true => Caught::Up,
            false => Caught::Past(gap),
        }
    }

    /// It goes on with what is kept, as it would have without an attempt. More may have gone meanwhile.
    fn given_up(&mut self, follower: &mut Follower) -> Caught {
        let Some(before) = self.came.missed.take() else {
            return Caught::Not;
        };
        let gap = follower.skip(Skip::ToOldest);
        let missed = before.missed.zip(gap.missed).filter(|_| !self.has_given);
        Caught::Past(Gap {
            missed: missed.map(|(before, since)| before + since),
            ..gap
        })
    }

    /// Waits for the relay to come to what the client was given last.
    fn poll_over(
        &mut self,
        cx: &mut Context<'_>,
        relay: &Relay,
        follower: &mut Follower,
    ) -> Poll<Caught> {
        let (Some(given), Some(sleep)) = (&self.given, &mut self.over) else {
            return Poll::Ready(Caught::Not);
        };
        if let Some(gap) = follower.seek_past(given) {
            return Poll::Ready(Caught::Past(gap));
        }
        if order(given, given).is_some() {
            // All that the relay has is older, and need not be held for it.
            follower.skip(Skip::ToLatest);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if self.turns_left == 0 || !is_behind(relay, given) {
                // What is kept may be older.
                let gap = follower.skip(Skip::ToLatest);
                return Poll::Ready(Caught::Past(Gap {
                    missed: None,
                    ..gap
                }));
            }
            self.turns_left -= 1;
            sleep.as_mut().reset(Instant::now() + BEHIND);
        }
        Poll::Pending
    }
}

/// Whether the last event of a relay is seen to come before the one with this id of the upstream, or is yet to come.
fn is_behind(relay: &Relay, given: &[u8]) -> bool {
    let is_yet_to_come = relay.log.stats().last_id.is_none() && order(given, given).is_some();
    is_yet_to_come || is_seen_behind(relay, given)
}

/// Whether the last event of a relay is there, and comes before the one with this id of the upstream.
fn is_seen_behind(relay: &Relay, given: &[u8]) -> bool {
    let Some(last) = relay.log.stats().last_id else {
        return false;
    };
    let last = match SequentialId::parse(last.as_bytes()) {
        Some(ours) => ours.upstream,
        None => Some(last.as_bytes()),
    };
    last.and_then(|last| order(last, given)) == Some(Ordering::Less)
}
