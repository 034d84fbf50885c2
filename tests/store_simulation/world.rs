//! Gateways, a store, an upstream and clients, and the network between them.

use std::collections::HashSet;

use tower_sse::store::{InstanceId, Model, Reign, Rules};

use crate::client::Client;
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::plan::{END, Plan, ROUGH};
use crate::queue::{Event, Queue};
use crate::random::Random;

/// The one stream.
pub(crate) const STREAM: u64 = 7;

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rules: Rules,
    pub(crate) random: Random,
    pub(crate) now: u64,
    pub(crate) queue: Queue,
    pub(crate) primaries: Vec<Model>,
    /// Those that nobody reaches any more.
    pub(crate) is_dead: Vec<bool>,
    /// States that a primary may come back with.
    pub(crate) put_by: Vec<Model>,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) clients: Vec<Client>,
    pub(crate) produced: u64,
    /// How often something was told beside events.
    pub(crate) told: u64,
    pub(crate) ids: u64,
    /// Commands on these lines are done though the line is lost.
    pub(crate) ghosts: HashSet<u64>,
    pub(crate) ledger: Ledger,
    /// A log was gone since nobody had kept it.
    pub(crate) has_expired: bool,
    pub(crate) notes: Option<Vec<String>>,
    pub(crate) error: Option<String>,
    pub(crate) takeovers: u64,
    pub(crate) two_readers_since: Option<u64>,
    pub(crate) two_readers: u64,
}

impl World {
    pub(crate) fn new(plan: Plan, rules: Rules, notes: bool) -> Self {
        let mut world = World {
            random: Random::new(plan.seed ^ 0x5eed),
            rules,
            now: 0,
            queue: Queue::default(),
            primaries: vec![Model::new(Reign(1), rules).keep_for(plan.lifetime)],
            is_dead: vec![false],
            put_by: Vec::new(),
            gateways: Vec::new(),
            clients: (0..plan.clients).map(|_| Client::new()).collect(),
            produced: 0,
            told: 0,
            ids: 1,
            ghosts: HashSet::new(),
            ledger: Ledger::default(),
            has_expired: false,
            notes: notes.then(Vec::new),
            error: None,
            takeovers: 0,
            two_readers_since: None,
            two_readers: 0,
            plan,
        };
        for gateway in 0..world.plan.gateways {
            let (id, run) = (world.instance(), world.number());
            world.gateways.push(Gateway::new(id, run, 0));
            world.start(gateway);
        }
        for client in 0..world.clients.len() {
            let at = world.random.below(2_000);
            world.queue.push(at, Event::Client { client });
        }
        for (number, (at, _)) in world.plan.faults.iter().enumerate() {
            world.queue.push(*at, Event::Fault { number });
        }
        world.queue.push(10, Event::Produce);
        world
    }

    pub(crate) fn run(&mut self) -> Result<(), String> {
        let mut is_calm = false;
        while let Some((at, event)) = self.queue.pop() {
            if at > END {
                break;
            }
            self.now = at;
            if at >= ROUGH && !is_calm {
                is_calm = true;
                self.calm();
            }
            self.happen(event)?;
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            self.count_readers()?;
        }
        self.judge_end()?;
        self.judge_log()
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(crate) fn instance(&mut self) -> InstanceId {
        let number = self.number();
        InstanceId(1_000 + number)
    }

    pub(crate) fn reign(&mut self) -> Reign {
        Reign(self.number())
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.push(format!("{:>6} {}", self.now, what()));
        }
    }

    pub(crate) fn is_rough(&self) -> bool {
        self.now < ROUGH
    }

    /// How long a message is under way.
    pub(crate) fn delay(&mut self) -> u64 {
        let late = self.plan.late > 0 && self.is_rough() && self.random.below(self.plan.late) == 0;
        1 + self.random.below(if late { 400 } else { 6 })
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        if let Some(gateway) = at_gateway(&event) {
            let until = self.gateways[gateway].paused_until;
            if self.now < until {
                self.gateways[gateway].deferred.push_back(event);
                self.queue.push(until, Event::Wake { gateway });
                return Ok(());
            }
            // What came before goes before.
            self.wake(gateway)?;
        }
        self.handle(event)
    }

    /// Gives a member the answers that have come, in the order of its commands.
    fn answer(&mut self, gateway: usize) {
        while let Some((call, answer)) = self.gateways[gateway].commands.next_answer() {
            if let Some(call) = call {
                self.ledger.history.returned(call, answer.clone());
            }
            self.note(|| format!("{gateway} is answered {answer:?}"));
            self.with(gateway, |member, cx| member.answer(answer, cx));
        }
    }

    fn wake(&mut self, gateway: usize) -> Result<(), String> {
        while self.now >= self.gateways[gateway].paused_until {
            let Some(event) = self.gateways[gateway].deferred.pop_front() else {
                break;
            };
            self.handle(event)?;
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Wake { gateway } => self.wake(gateway)?,
            Event::Tick { gateway } => self.tick(gateway),
            Event::Connect { gateway, run } => self.connect(gateway, run),
            Event::ConnectTail { gateway, run } => self.connect_tail(gateway, run),
            Event::Command {
                gateway,
                line,
                primary,
                reign,
                from,
                sent,
                call,
                command,
            } => {
                self.arrived(gateway, line, (primary, reign, from), (sent, call), command);
            }
            Event::Answer {
                gateway,
                line,
                sent,
                call,
                answer,
            } => {
                let commands = &mut self.gateways[gateway].commands;
                if commands.number == line {
                    commands.answers.insert(sent, (call, answer));
                    self.answer(gateway);
                }
            }
            Event::Subscribe { gateway, line } => {
                let delay = self.delay();
                let tail = &mut self.gateways[gateway].tail;
                if tail.number == line {
                    tail.is_subscribed = true;
                    tail.back = tail.back.max(self.now + delay);
                    self.queue
                        .push(tail.back, Event::Subscribed { gateway, line });
                }
            }
            Event::Subscribed { gateway, line } => {
                if self.gateways[gateway].tail.number == line {
                    self.with(gateway, |member, cx| member.subscribed(cx));
                }
            }
            Event::Hear {
                gateway,
                line,
                message,
            } => {
                if self.gateways[gateway].tail.number == line {
                    self.with(gateway, |member, cx| member.hear(&message, cx));
                }
            }
            Event::SendBeat {
                gateway,
                line,
                primary,
                reign,
                from,
                moved,
            } => {
                self.beat_arrived(gateway, line, (primary, reign, from), moved);
            }
            Event::Beat {
                gateway,
                line,
                from,
                moved,
            } => {
                if self.gateways[gateway].tail.number == line {
                    let now = self.now;
                    self.gateways[gateway].beats.hear(from, now);
                    self.with(gateway, |member, cx| member.beat(from, moved, cx));
                }
            }
            Event::WhetherHears {
                gateway,
                line,
                primary,
                reign,
                instance,
            } => self.whether_hears(gateway, line, (primary, reign), instance),
            Event::Gone {
                gateway,
                line,
                instance,
            } => {
                if self.gateways[gateway].commands.number == line {
                    self.note(|| format!("{gateway} learns that {instance:?} is gone"));
                    self.with(gateway, |member, cx| member.gone(instance, cx));
                }
            }
            Event::Ask {
                gateway,
                line,
                behind,
            } => self.asked(gateway, line, behind),
            Event::Given {
                gateway,
                line,
                number,
            } => {
                if self.gateways[gateway].upstream.number == line {
                    self.gateways[gateway].unread.push_back(number);
                    self.feed(gateway);
                }
            }
            Event::Produce => self.produce(),
            Event::Client { client } => {
                let pace = if self.is_rough() { 1 } else { 4 };
                let again = self.now + pace * (5 + self.random.below(40));
                self.queue.push(again, Event::Client { client });
                self.client(client, self.is_rough())?;
            }
            Event::Fault { number } => self.fault(number),
            Event::Stop { gateway, run, down } => {
                if self.gateways[gateway].run == run {
                    self.crash(gateway, down);
                }
            }
            Event::Restart { gateway } => self.restart(gateway),
            Event::Heal { primary } => self.heal(primary),
            Event::Older { primary, state } => self.come_back_older(primary, state),
        }
        Ok(())
    }
}

/// What a gateway has to be awake for.
fn at_gateway(event: &Event) -> Option<usize> {
    match event {
        Event::Connect { gateway, .. }
        | Event::ConnectTail { gateway, .. }
        | Event::Answer { gateway, .. }
        | Event::Subscribed { gateway, .. }
        | Event::Hear { gateway, .. }
        | Event::Beat { gateway, .. }
        | Event::Gone { gateway, .. }
        | Event::Given { gateway, .. } => Some(*gateway),
        _ => None,
    }
}
