//! The upstream, and who reads it.

use bytes::Bytes;
use tower_sse::store::{Draft, Member};

use crate::plan::{Kind, QUIET};
use crate::queue::Event;
use crate::world::World;

impl World {
    pub(crate) fn produce(&mut self) {
        let is_over = self.now >= QUIET;
        if !is_over {
            let burst = if self.random.below(20) == 0 { 30 } else { 1 };
            self.produced += burst;
            let wait = if self.random.below(30) == 0 {
                1_500
            } else {
                80
            };
            let again = self.now + 5 + self.random.below(wait);
            self.queue.push(again.min(QUIET), Event::Produce);
        }
        for gateway in 0..self.gateways.len() {
            let is_read = self.gateways[gateway].upstream.is_up;
            if is_read && self.random.below(20) == 0 {
                self.tell(gateway);
            }
            self.give(gateway);
        }
    }

    /// Sends what the upstream has for this gateway.
    pub(crate) fn give(&mut self, gateway: usize) {
        while self.gateways[gateway].upstream.is_up && self.gateways[gateway].next <= self.produced
        {
            let number = self.gateways[gateway].next;
            self.gateways[gateway].next += 1;
            self.send_given(gateway, Some(number));
        }
        if self.now >= QUIET && self.plan.ends && self.gateways[gateway].upstream.is_up {
            self.gateways[gateway].upstream.is_up = false;
            self.send_given(gateway, None);
        }
    }

    pub(crate) fn send_given(&mut self, gateway: usize, number: Option<u64>) {
        let delay = self.delay();
        let upstream = &mut self.gateways[gateway].upstream;
        upstream.back = upstream.back.max(self.now + delay);
        let line = upstream.number;
        self.queue.push(
            upstream.back,
            Event::Given {
                gateway,
                line,
                number,
            },
        );
    }

    pub(crate) fn asked(&mut self, gateway: usize, line: u64, behind: Option<Bytes>) {
        let state = &mut self.gateways[gateway];
        if state.upstream.number != line || !state.is_up {
            return;
        }
        let behind = behind.and_then(|id| std::str::from_utf8(&id).ok()?[1..].parse::<u64>().ok());
        state.upstream.is_up = true;
        state.next = match (self.plan.kind, behind) {
            (Kind::Resumes, Some(number)) => number + 1,
            (Kind::Inclusive, Some(number)) => number,
            (Kind::Anew, _) => 1,
            _ => self.produced + 1,
        };
        self.tell(gateway);
        self.give(gateway);
    }

    /// The upstream's head has come, or a reconnection time: all are to know it.
    fn tell(&mut self, gateway: usize) {
        self.told += 1;
        let note = format!("note {}", self.told);
        self.with(gateway, |member, cx| member.tell(note.into(), cx));
    }

    /// The member reads what it may.
    pub(crate) fn feed(&mut self, gateway: usize) {
        loop {
            let state = &mut self.gateways[gateway];
            let is_full = state.member.as_ref().is_none_or(Member::is_full);
            if is_full {
                return;
            }
            let Some(number) = state.unread.pop_front() else {
                return;
            };
            let kind = self.plan.kind;
            self.with(gateway, |member, cx| match number {
                Some(number) => member.draft(draft(kind, number), cx),
                None => member.upstream_finished(cx),
            });
        }
    }
}

pub(crate) fn draft(kind: Kind, number: u64) -> Draft {
    Draft {
        has_data: true,
        sets_id: kind.has_ids(),
        is_gap: false,
        upstream: kind.has_ids().then(|| format!("u{number}").into()),
        event: format!("data: {number}\n\n").into(),
    }
}
