//! What goes wrong, and how it is mended.

use tower_sse::store::{Member, Model};

use crate::gateway::{Gateway, Line};
use crate::plan::Fault;
use crate::queue::Event;
use crate::world::{STREAM, World};

impl World {
    /// The gateway's connections are made.
    pub(crate) fn start(&mut self, gateway: usize) {
        let run = self.gateways[gateway].run;
        if run < 20 {
            self.queue.push(self.now, Event::Tick { gateway });
        }
        self.queue
            .push(self.now + 1, Event::Connect { gateway, run });
        self.queue
            .push(self.now + 1, Event::ConnectTail { gateway, run });
    }

    /// The gateway has clients.
    pub(crate) fn attach(&mut self, gateway: usize) {
        let rules = self.rules;
        let (limit, lifetime) = (self.plan.limit, self.plan.lifetime);
        let state = &mut self.gateways[gateway];
        state.idle_since = None;
        if let Some(member) = &mut state.member {
            member.want(true);
            return;
        }
        let member = Member::new(state.id, rules, limit).renew_every(lifetime / 4);
        state.member = Some(member);
        state.compared = 0;
        if state.commands.is_up {
            let reign = self.primaries[state.commands.primary].reign();
            self.with(gateway, |member, cx| member.connected(reign, cx));
        }
        let state = &self.gateways[gateway];
        if state.tail.is_up {
            let reign = self.primaries[state.tail.primary].reign();
            self.with(gateway, |member, cx| member.tail_connected(reign, cx));
        }
    }

    fn reaches(&self, gateway: usize, primary: usize) -> bool {
        self.now >= self.gateways[gateway].cut_until && !self.is_dead[primary]
    }

    pub(crate) fn connect(&mut self, gateway: usize, run: u64) {
        let state = &self.gateways[gateway];
        if state.run != run || !state.is_up || state.commands.is_up {
            return;
        }
        if !self.reaches(gateway, state.primary) {
            self.queue
                .push(self.now + 60, Event::Connect { gateway, run });
            return;
        }
        let number = self.number();
        let state = &mut self.gateways[gateway];
        let primary = state.primary;
        state.reached |= 1 << primary;
        state.commands = Line {
            number,
            is_up: true,
            primary,
            ..Line::default()
        };
        let reign = self.primaries[primary].reign();
        self.note(|| format!("{gateway} is connected to {primary}, {reign:?}"));
        self.with(gateway, |member, cx| member.connected(reign, cx));
    }

    pub(crate) fn connect_tail(&mut self, gateway: usize, run: u64) {
        let state = &self.gateways[gateway];
        if state.run != run || !state.is_up || state.tail.is_up {
            return;
        }
        if !self.reaches(gateway, state.tail_primary) {
            self.queue
                .push(self.now + 60, Event::ConnectTail { gateway, run });
            return;
        }
        let (number, now) = (self.number(), self.now);
        let state = &mut self.gateways[gateway];
        let primary = state.tail_primary;
        state.tail = Line {
            number,
            is_up: true,
            primary,
            ..Line::default()
        };
        state.beats.tail(true, now);
        let reign = self.primaries[primary].reign();
        self.note(|| format!("{gateway} hears {primary}, {reign:?}"));
        self.with(gateway, |member, cx| member.tail_connected(reign, cx));
    }

    pub(crate) fn lose_commands(&mut self, gateway: usize) {
        if !self.gateways[gateway].commands.is_up {
            return;
        }
        let (number, run) = (self.number(), self.gateways[gateway].run);
        let line = self.gateways[gateway].commands.number;
        self.ledger.hung_up(line, self.now);
        if self.random.below(2) == 0 {
            self.ghosts.insert(line);
        }
        self.gateways[gateway].commands = Line {
            number,
            ..Line::default()
        };
        self.note(|| format!("{gateway} loses its commands"));
        self.with(gateway, |member, _| member.disconnected());
        let at = self.now + 5 + self.random.below(60);
        self.queue.push(at, Event::Connect { gateway, run });
    }

    pub(crate) fn lose_tail(&mut self, gateway: usize) {
        if !self.gateways[gateway].tail.is_up {
            return;
        }
        let (number, run, now) = (self.number(), self.gateways[gateway].run, self.now);
        self.gateways[gateway].tail = Line {
            number,
            ..Line::default()
        };
        self.gateways[gateway].beats.tail(false, now);
        self.note(|| format!("{gateway} loses its tail"));
        self.with(gateway, |member, _| member.tail_lost());
        let at = self.now + 5 + self.random.below(60);
        self.queue.push(at, Event::ConnectTail { gateway, run });
    }

    pub(crate) fn close_upstream(&mut self, gateway: usize) {
        let number = self.number();
        let state = &mut self.gateways[gateway];
        state.upstream = Line {
            number,
            ..Line::default()
        };
        state.unread.clear();
    }

    pub(crate) fn crash(&mut self, gateway: usize, down: u64) {
        if !self.gateways[gateway].is_up {
            return;
        }
        self.gateways[gateway].member = None;
        self.lose_commands(gateway);
        self.lose_tail(gateway);
        self.close_upstream(gateway);
        let state = &mut self.gateways[gateway];
        state.is_up = false;
        state.paused_until = 0;
        self.queue.push(self.now + down, Event::Restart { gateway });
    }

    pub(crate) fn restart(&mut self, gateway: usize) {
        let (id, run, now) = (self.instance(), self.number() + 1_000, self.now);
        let old = &self.gateways[gateway];
        let (primary, tail_primary, cut_until) = (old.primary, old.tail_primary, old.cut_until);
        self.gateways[gateway] = Gateway::new(id, run, now);
        self.gateways[gateway].primary = primary;
        self.gateways[gateway].tail_primary = tail_primary;
        self.gateways[gateway].cut_until = cut_until;
        self.note(|| format!("{gateway} starts as {id:?}"));
        self.start(gateway);
    }

    /// All who are connected to it lose that.
    fn hang_up(&mut self, primary: usize) {
        for gateway in 0..self.gateways.len() {
            if self.gateways[gateway].commands.primary == primary {
                self.lose_commands(gateway);
            }
            if self.gateways[gateway].tail.primary == primary {
                self.lose_tail(gateway);
            }
        }
    }

    fn current(&self) -> usize {
        self.is_dead
            .iter()
            .rposition(|dead| !dead)
            .expect("one is alive")
    }

    fn forget(&mut self, operations: usize) {
        let (primary, reign) = (self.current(), self.reign());
        self.primaries[primary].forget(operations, reign);
        self.lost(primary);
        self.hang_up(primary);
    }

    fn empty(&mut self) {
        let (primary, reign) = (self.current(), self.reign());
        self.primaries[primary].restart_empty(reign);
        self.lost(primary);
        self.hang_up(primary);
    }

    /// It restarts with a state from before it was empty, unless another has taken its place.
    pub(crate) fn come_back_older(&mut self, primary: usize, state: usize) {
        let is_alone = self.is_dead.iter().filter(|dead| !**dead).count() == 1;
        if is_alone && !self.is_dead[primary] {
            let reign = self.reign();
            self.note(|| format!("an older state, {reign:?}"));
            self.primaries[primary] = self.put_by[state].clone();
            self.primaries[primary].forget(0, reign);
            self.lost(primary);
            self.hang_up(primary);
        }
    }

    pub(crate) fn fault(&mut self, number: usize) {
        let fault = self.plan.faults[number].1;
        self.note(|| format!("{fault:?}"));
        match fault {
            Fault::Crash { gateway, down } => self.crash(gateway, down),
            Fault::Pause { gateway, millis } => {
                self.gateways[gateway].paused_until = self.now + millis;
                self.queue.push(self.now + millis, Event::Wake { gateway });
            }
            Fault::CutStore { gateway, millis } => {
                self.gateways[gateway].cut_until = self.now + millis;
                self.lose_commands(gateway);
                self.lose_tail(gateway);
            }
            Fault::CutTail { gateway } => self.lose_tail(gateway),
            Fault::Deaf { gateway } => self.gateways[gateway].tail.is_deaf = true,
            Fault::CutUpstream => {
                for gateway in 0..self.gateways.len() {
                    if self.gateways[gateway].upstream.is_up {
                        self.close_upstream(gateway);
                        self.with(gateway, |member, cx| member.upstream_lost(cx));
                    }
                }
            }
            Fault::Restart => self.forget(0),
            Fault::Forget { operations } => self.forget(operations),
            Fault::Empty => self.empty(),
            Fault::EmptyThenOlder { operations, millis } => {
                let (primary, reign) = (self.current(), self.reign());
                let mut older = self.primaries[primary].clone();
                older.forget(operations, reign);
                let state = self.put_by.len();
                self.put_by.push(older);
                let later = Event::Older { primary, state };
                self.queue.push(self.now + millis, later);
                self.empty();
            }
            Fault::Split {
                operations,
                side,
                tails,
                millis,
                keeps_old,
            } => {
                if self.is_dead.iter().filter(|dead| !**dead).count() > 1 {
                    return;
                }
                self.split(operations, (side, tails), millis, keeps_old);
            }
            Fault::CrashAndForget { operations, down } => {
                for gateway in 0..self.gateways.len() {
                    let member = self.gateways[gateway].member.as_ref();
                    if member.is_some_and(Member::is_owner) {
                        self.crash(gateway, down);
                    }
                }
                self.forget(operations);
            }
            Fault::Drain { gateway, down } => {
                let state = &mut self.gateways[gateway];
                if state.is_up && !std::mem::replace(&mut state.drains, true) {
                    let run = state.run;
                    self.with(gateway, |member, cx| member.leave(cx));
                    let at = self.now + 300;
                    self.queue.push(at, Event::Stop { gateway, run, down });
                }
            }
            Fault::Abandon { gateway } => {
                let run = self.number() + 1_000;
                let state = &mut self.gateways[gateway];
                if state.is_up {
                    state.run = run;
                    state.member = None;
                    self.lose_commands(gateway);
                    self.lose_tail(gateway);
                    self.close_upstream(gateway);
                    // Who waited for a connection was of the run before.
                    let at = self.now + 70;
                    self.queue.push(at, Event::Connect { gateway, run });
                    self.queue.push(at, Event::ConnectTail { gateway, run });
                }
            }
            Fault::Flush => {
                let primary = self.current();
                self.primaries[primary].empty();
                self.lost(primary);
            }
            Fault::Evict { events_alone } => {
                let primary = self.current();
                self.primaries[primary].evict(STREAM, events_alone);
                self.lost(primary);
            }
        }
    }

    fn split(
        &mut self,
        operations: usize,
        (side, tails): (u64, u64),
        millis: u64,
        keeps_old: bool,
    ) {
        let (old, reign) = (self.current(), self.reign());
        let mut promoted: Model = self.primaries[old].clone();
        promoted.forget(operations, reign);
        self.ledger.promoted(self.primaries.len(), &promoted);
        self.primaries.push(promoted);
        self.is_dead.push(false);
        let new = self.primaries.len() - 1;
        for gateway in 0..self.gateways.len() {
            if side >> gateway & 1 == 1 {
                self.gateways[gateway].primary = new;
                self.lose_commands(gateway);
            }
            if tails >> gateway & 1 == 1 {
                self.gateways[gateway].tail_primary = new;
                self.lose_tail(gateway);
            }
        }
        let primary = if keeps_old { old } else { new };
        self.queue.push(self.now + millis, Event::Heal { primary });
    }

    /// This primary is left.
    pub(crate) fn heal(&mut self, primary: usize) {
        for other in 0..self.primaries.len() {
            if other != primary && !self.is_dead[other] {
                self.is_dead[other] = true;
                self.hang_up(other);
            }
        }
        for gateway in 0..self.gateways.len() {
            self.gateways[gateway].primary = primary;
            self.gateways[gateway].tail_primary = primary;
        }
        self.lost(primary);
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn calm(&mut self) {
        let now = self.now;
        self.note(|| "calm".into());
        for gateway in &mut self.gateways {
            gateway.cut_until = now;
            gateway.paused_until = gateway.paused_until.min(now + 1_000);
        }
        for gateway in 0..self.gateways.len() {
            self.queue.push(now + 1_000, Event::Wake { gateway });
        }
    }
}
