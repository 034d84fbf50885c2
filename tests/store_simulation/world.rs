//! Gateways, a store, an upstream and clients, and the network between them.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use tower_sse::store::{
    Context, Draft, Fence, Frame, InstanceId, Member, Message, Model, Output, Published, Reign,
    Rules,
};

use crate::client::Client;
use crate::gateway::Gateway;
use crate::plan::{END, Kind, Plan, QUIET, ROUGH};
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
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) clients: Vec<Client>,
    pub(crate) produced: u64,
    pub(crate) ids: u64,
    /// Commands on these lines are done though the line is lost.
    pub(crate) ghosts: HashSet<u64>,
    /// What was published under a number.
    pub(crate) events: BTreeMap<(u64, u64), (Bytes, Option<Bytes>)>,
    pub(crate) fences: BTreeMap<Fence, InstanceId>,
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
            primaries: vec![Model::new(Reign(1), rules)],
            is_dead: vec![false],
            gateways: Vec::new(),
            clients: (0..plan.clients).map(|_| Client::new()).collect(),
            produced: 0,
            ids: 1,
            ghosts: HashSet::new(),
            events: BTreeMap::new(),
            fences: BTreeMap::new(),
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
        self.judge_end()
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
    fn delay(&mut self) -> u64 {
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
                command,
            } => {
                self.arrived(gateway, line, (primary, reign, from), command);
            }
            Event::Answer {
                gateway,
                line,
                answer,
            } => {
                if self.gateways[gateway].commands.number == line {
                    self.note(|| format!("{gateway} is answered {answer:?}"));
                    self.with(gateway, |member, cx| member.answer(answer, cx));
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
                let again = self.now + 5 + self.random.below(40);
                self.queue.push(again, Event::Client { client });
                self.client(client, self.is_rough())?;
            }
            Event::Fault { number } => self.fault(number),
            Event::Restart { gateway } => self.restart(gateway),
            Event::Heal { primary } => self.heal(primary),
        }
        Ok(())
    }

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
                        line.there = line.there.max(self.now + delay);
                        let (number, primary, from) = (line.number, line.primary, state.id);
                        let reign = self.primaries[primary].reign();
                        let event = Event::Command {
                            gateway,
                            line: number,
                            primary,
                            reign,
                            from,
                            command,
                        };
                        self.queue.push(line.there, event);
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
        self.feed(gateway);
    }

    fn arrived(
        &mut self,
        gateway: usize,
        line: u64,
        (primary, reign, from): (usize, Reign, InstanceId),
        command: tower_sse::store::Command,
    ) {
        let is_up = self.gateways[gateway].commands.number == line;
        let is_there = self.primaries[primary].reign() == reign && !self.is_dead[primary];
        if !is_there || !(is_up || self.ghosts.contains(&line)) {
            return;
        }
        let before = self.primaries[primary].read(STREAM, u64::MAX).meta;
        let before = before.map_or(0, |meta| meta.position);
        let (answer, published) =
            self.primaries[primary].execute((STREAM, from), command, self.now);
        if let Some(Published { message, .. }) = published {
            self.published((primary, from), &message, before);
            for to in 0..self.gateways.len() {
                let lost = self.plan.loss > 0 && self.random.below(self.plan.loss) == 0;
                if !lost {
                    let message = message.clone();
                    self.bring(to, primary, true, |gateway, line| Event::Hear {
                        gateway,
                        line,
                        message,
                    });
                }
            }
        }
        if is_up {
            let delay = self.delay();
            let commands = &mut self.gateways[gateway].commands;
            commands.back = commands.back.max(self.now + delay);
            self.queue.push(
                commands.back,
                Event::Answer {
                    gateway,
                    line,
                    answer,
                },
            );
        }
    }

    fn beat_arrived(
        &mut self,
        gateway: usize,
        line: u64,
        (primary, reign, from): (usize, Reign, InstanceId),
        moved: Option<u64>,
    ) {
        let is_there = self.primaries[primary].reign() == reign && !self.is_dead[primary];
        if !is_there || self.gateways[gateway].commands.number != line {
            return;
        }
        self.primaries[primary].beat(from, self.now);
        for to in 0..self.gateways.len() {
            self.bring(to, primary, false, |gateway, line| Event::Beat {
                gateway,
                line,
                from,
                moved,
            });
        }
    }

    fn bring(
        &mut self,
        gateway: usize,
        primary: usize,
        of_stream: bool,
        event: impl FnOnce(usize, u64) -> Event,
    ) {
        let delay = self.delay();
        let tail = &mut self.gateways[gateway].tail;
        let hears = tail.is_up && tail.primary == primary && !tail.is_deaf;
        if hears && (tail.is_subscribed || !of_stream) {
            tail.back = tail.back.max(self.now + delay);
            self.queue.push(tail.back, event(gateway, tail.number));
        }
    }

    /// An id means one event, whoever gave it; a fence is one owner's.
    fn published(&mut self, (primary, from): (usize, InstanceId), message: &Message, before: u64) {
        let error = match message {
            Message::Frame(bytes) => {
                let frame = Frame::parse(bytes).expect("a frame that was written here");
                let mut error = None;
                for (index, event) in frame.events.iter().enumerate() {
                    let is = (event.bytes.slice(event.body..), event.upstream.clone());
                    let name = (frame.epoch, frame.first + index as u64);
                    let kept = self.events.entry(name).or_insert_with(|| is.clone());
                    if *kept != is {
                        error = Some(format!("V2: {name:?} was {kept:?} and is {is:?}"));
                    }
                }
                let broken = frame.base != before;
                error.or(broken.then(|| format!("V4: {} behind {before}", frame.base)))
            }
            Message::Owned(fence, owner) => {
                let known = self.fences.insert(*fence, *owner);
                let is_other = known.is_some_and(|known| known != *owner);
                is_other.then(|| format!("V4: {fence:?} is of two owners"))
            }
            _ => None,
        };
        self.note(|| format!("published at {primary} by {from:?}: {}", shown(message)));
        self.error = self.error.take().or(error);
    }

    fn tick(&mut self, gateway: usize) {
        self.queue.push(self.now + 50, Event::Tick { gateway });
        let now = self.now;
        if !self.gateways[gateway].is_up || now < self.gateways[gateway].paused_until {
            return;
        }
        if self.rules.deafness && self.gateways[gateway].beats.is_deaf(now) {
            self.lose_tail(gateway);
        }
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
    }

    fn produce(&mut self) {
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

    fn send_given(&mut self, gateway: usize, number: Option<u64>) {
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

    fn asked(&mut self, gateway: usize, line: u64, behind: Option<Bytes>) {
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
        self.give(gateway);
    }

    /// The member reads what it may.
    fn feed(&mut self, gateway: usize) {
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

    fn count_readers(&mut self) -> Result<(), String> {
        let readers = self
            .gateways
            .iter()
            .filter(|gateway| gateway.upstream.is_up)
            .count();
        match (readers > 1, self.two_readers_since) {
            (true, None) => self.two_readers_since = Some(self.now),
            (true, Some(since)) => {
                self.two_readers = self.two_readers.max(self.now - since);
                if self.now > ROUGH + 4_000 && since < ROUGH + 1_000 {
                    return Err("V5: two read the upstream in the calm".into());
                }
            }
            (false, _) => self.two_readers_since = None,
        }
        Ok(())
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

fn shown(message: &Message) -> String {
    let Message::Frame(bytes) = message else {
        return format!("{message:?}");
    };
    let frame = Frame::parse(bytes).unwrap();
    let data: Vec<_> = frame.events.iter().map(crate::client::text).collect();
    format!(
        "{:?} base {} first {} was {:?} {data:?}",
        frame.fence, frame.base, frame.first, frame.was
    )
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
        | Event::Given { gateway, .. } => Some(*gateway),
        _ => None,
    }
}
