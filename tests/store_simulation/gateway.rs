//! A gateway: its member of the stream, and its connections.

use std::collections::{BTreeMap, VecDeque};

use tower_sse::store::{Answer, Beats, Command, Context, InstanceId, Member, Output, Rule};

use crate::client::{Client, State};
use crate::queue::Event;
use crate::world::World;

/// Milliseconds behind its last client in which a gateway keeps a stream.
const LINGER: u64 = 700;

/// A connection, in both directions of which nothing overtakes, but for reads.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Another number for each connection.
    pub(crate) number: u64,
    pub(crate) is_up: bool,
    pub(crate) primary: usize,
    pub(crate) there: u64,
    pub(crate) back: u64,
    pub(crate) is_subscribed: bool,
    pub(crate) is_deaf: bool,
    /// Reads have a connection of their own, so that they overtake other commands, and are overtaken.
    pub(crate) reads_there: u64,
    pub(crate) reads_back: u64,
    /// Commands are counted, and answered in their order.
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) answers: BTreeMap<u64, (Option<usize>, Answer)>,
}

impl Line {
    /// When what is sent now arrives.
    fn arrives(&mut self, is_read: bool, at: u64) -> u64 {
        let there = match is_read {
            true => &mut self.reads_there,
            false => &mut self.there,
        };
        *there = at.max(*there);
        *there
    }

    /// When its answer does.
    pub(crate) fn returns(&mut self, is_read: bool, at: u64) -> u64 {
        let back = match is_read {
            true => &mut self.reads_back,
            false => &mut self.back,
        };
        *back = at.max(*back);
        *back
    }

    /// The next answer, if it has come.
    pub(crate) fn next_answer(&mut self) -> Option<(Option<usize>, Answer)> {
        let next = self.answers.remove(&self.answered)?;
        self.answered += 1;
        Some(next)
    }
}

pub(crate) struct Gateway {
    pub(crate) id: InstanceId,
    /// Another number for each start.
    pub(crate) run: u64,
    pub(crate) is_up: bool,
    pub(crate) paused_until: u64,
    /// What has happened during the pause.
    pub(crate) deferred: VecDeque<Event>,
    pub(crate) cut_until: u64,
    /// The primary that it reaches.
    pub(crate) primary: usize,
    /// The one that its tail reaches.
    pub(crate) tail_primary: usize,
    /// It is about to end, and takes no clients.
    pub(crate) drains: bool,
    /// Since when it has no clients.
    pub(crate) idle_since: Option<u64>,
    pub(crate) member: Option<Member>,
    /// Its entries were compared up to here.
    pub(crate) compared: u64,
    /// The primaries to which its commands have led, as bits.
    pub(crate) reached: u64,
    pub(crate) beats: Beats,
    pub(crate) commands: Line,
    pub(crate) tail: Line,
    pub(crate) upstream: Line,
    /// What the upstream has sent and the member has not read.
    pub(crate) unread: VecDeque<Option<u64>>,
    /// What the upstream sends next.
    pub(crate) next: u64,
}

impl Gateway {
    pub(crate) fn new(id: InstanceId, run: u64, now: u64) -> Self {
        Gateway {
            id,
            run,
            is_up: true,
            paused_until: 0,
            deferred: VecDeque::new(),
            cut_until: 0,
            primary: 0,
            tail_primary: 0,
            drains: false,
            idle_since: None,
            member: None,
            compared: 0,
            reached: 0,
            beats: Beats::new(id, now),
            commands: Line::default(),
            tail: Line::default(),
            upstream: Line::default(),
            unread: VecDeque::new(),
            next: 0,
        }
    }
}

impl World {
    /// Lets a member do something, and does what it wants.
    pub(crate) fn with(
        &mut self,
        gateway: usize,
        then: impl FnOnce(&mut Member, &mut Context<'_>),
    ) {
        let random = &mut self.random;
        let mut chance = || random.below(u64::MAX);
        let mut cx = Context {
            now: self.now,
            chance: &mut chance,
            outputs: Vec::new(),
        };
        let Some(member) = &mut self.gateways[gateway].member else {
            return;
        };
        let was_owner = member.is_owner();
        then(member, &mut cx);
        let outputs = cx.outputs;
        self.takeovers += u64::from(member.is_owner() && !was_owner);
        for output in outputs {
            let delay = self.delay();
            self.note(|| format!("{gateway} wants {output:?}"));
            let state = &mut self.gateways[gateway];
            match output {
                Output::Command(command) => {
                    let line = &mut state.commands;
                    if line.is_up {
                        let is_read = matches!(command, Command::Read { .. });
                        let arrives = line.arrives(is_read, self.now + delay);
                        let sent = line.sent;
                        line.sent += 1;
                        let (number, primary, from) = (line.number, line.primary, state.id);
                        let reign = self.primaries[primary].reign();
                        let call = self.ledger.call(&command, number);
                        let event = Event::Command {
                            gateway,
                            line: number,
                            primary,
                            reign,
                            from,
                            sent,
                            call,
                            command,
                        };
                        self.queue.push(arrives, event);
                    }
                }
                Output::Subscribe => {
                    let tail = &mut state.tail;
                    tail.there = tail.there.max(self.now + delay);
                    let event = Event::Subscribe {
                        gateway,
                        line: tail.number,
                    };
                    self.queue.push(tail.there, event);
                }
                Output::Open(behind) => {
                    self.close_upstream(gateway);
                    let line = self.gateways[gateway].upstream.number;
                    self.queue.push(
                        self.now + delay,
                        Event::Ask {
                            gateway,
                            line,
                            behind,
                        },
                    );
                }
                Output::Close => self.close_upstream(gateway),
            }
        }
        self.compare(gateway);
        self.feed(gateway);
    }

    fn compare(&mut self, gateway: usize) {
        let state = &mut self.gateways[gateway];
        if let Some(member) = &state.member {
            let compared = self.ledger.compare(member, state.compared, state.reached);
            let noted = match self.plan.forgets() || self.plan.loss > 0 || self.has_expired {
                true => Ok(()),
                false => self.ledger.check_note(member),
            };
            let compared = compared.and(noted);
            state.compared = member.replica().next();
            self.error = self.error.take().or(compared.err());
        }
    }

    pub(crate) fn tick(&mut self, gateway: usize) {
        self.queue.push(self.now + 50, Event::Tick { gateway });
        let now = self.now;
        if !self.gateways[gateway].is_up || now < self.gateways[gateway].paused_until {
            return;
        }
        if self.rules.hold(Rule::Deafness) && self.gateways[gateway].beats.is_deaf(now) {
            self.lose_tail(gateway);
        }
        self.ledger.history.forget(now);
        self.linger(gateway);
        self.with(gateway, |member, cx| member.tick(cx));
        if self.gateways[gateway].commands.is_up && self.gateways[gateway].beats.is_due(now) {
            let moved = self.gateways[gateway]
                .member
                .as_mut()
                .and_then(Member::moved);
            let delay = self.delay();
            let state = &mut self.gateways[gateway];
            let line = &mut state.commands;
            line.there = line.there.max(now + delay);
            let reign = self.primaries[line.primary].reign();
            let event = Event::SendBeat {
                gateway,
                line: line.number,
                primary: line.primary,
                reign,
                from: state.id,
                moved,
            };
            self.queue.push(line.there, event);
        }
        if self.gateways[gateway].commands.is_up {
            for instance in self.gateways[gateway].beats.silent(now) {
                let delay = self.delay();
                let line = &mut self.gateways[gateway].commands;
                line.there = line.there.max(now + delay);
                let event = Event::WhetherHears {
                    gateway,
                    line: line.number,
                    primary: line.primary,
                    reign: self.primaries[line.primary].reign(),
                    instance,
                };
                self.queue.push(line.there, event);
            }
        }
    }

    /// Whose last client has left a while ago gives the stream up.
    fn linger(&mut self, gateway: usize) {
        let run = self.gateways[gateway].run;
        let is_here = |client: &Client| {
            let is_there = matches!(client.state, State::Waits { .. } | State::Reads { .. });
            is_there && client.gateway == gateway && client.run == run
        };
        let is_used = self.clients.iter().any(is_here);
        let since = &mut self.gateways[gateway].idle_since;
        match is_used {
            true => *since = None,
            false if self.now >= *since.get_or_insert(self.now) + LINGER => {
                self.with(gateway, |member, cx| member.leave(cx));
            }
            false => {}
        }
    }
}
