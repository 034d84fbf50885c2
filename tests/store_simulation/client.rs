//! A client that goes from gateway to gateway with the id that it had last, and what it has seen.

use tower_sse::store::{Sought, Stored};

use crate::plan::{Kind, Plan};
use crate::world::World;

/// Milliseconds that it waits for its id to be known.
const PATIENCE: u64 = 8_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Away,
    Waits { since: u64, begun: u64 },
    Reads { place: u64 },
    Over,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) gateway: usize,
    pub(crate) run: u64,
    pub(crate) state: State,
    pub(crate) id: Vec<u8>,
    pub(crate) number: Option<u64>,
    pub(crate) told: bool,
    /// How often, and why last.
    pub(crate) gaps: u64,
    pub(crate) events: u64,
    /// What came behind a gap and was behind what it had.
    pub(crate) twice: u64,
    pub(crate) joined: u64,
}

impl Client {
    pub(crate) fn new() -> Self {
        Client {
            gateway: 0,
            run: 0,
            state: State::Away,
            id: Vec::new(),
            number: None,
            told: false,
            gaps: 0,
            events: 0,
            twice: 0,
            joined: 0,
        }
    }

    fn tell(&mut self) {
        self.told = true;
        self.gaps += 1;
    }
}

impl World {
    pub(crate) fn client(&mut self, number: usize, is_rough: bool) -> Result<(), String> {
        let gateway = self.clients[number].gateway;
        let is_gone = |world: &World| {
            let gateway = &world.gateways[gateway];
            !gateway.is_up || gateway.drains || gateway.run != world.clients[number].run
        };
        let state = self.clients[number].state;
        if state != State::Away && state != State::Over && is_gone(self) {
            self.clients[number].state = State::Away;
        }
        let hops = is_rough && self.random.below(40) == 0;
        if hops && state != State::Over {
            self.clients[number].state = State::Away;
        }
        match self.clients[number].state {
            State::Away => self.arrive(number),
            State::Waits { since, begun } => {
                if self.now >= self.gateways[gateway].paused_until {
                    self.wait(number, since, begun);
                }
                Ok(())
            }
            State::Reads { place } if self.now >= self.gateways[gateway].paused_until => {
                self.read(number, place)
            }
            State::Reads { .. } | State::Over => Ok(()),
        }
    }

    fn arrive(&mut self, number: usize) -> Result<(), String> {
        let gateway = self.random.below(self.gateways.len() as u64) as usize;
        let state = &self.gateways[gateway];
        if !state.is_up || state.drains || self.now < state.paused_until {
            return Ok(());
        }
        self.attach(gateway);
        let id = self.clients[number].id.clone();
        let mut since = 0;
        self.with(gateway, |member, cx| {
            if !id.is_empty() {
                since = member.seek(&id, cx);
            }
        });
        let member = self.gateways[gateway].member.as_ref().unwrap();
        let next = member.replica().next();
        let (now, run) = (self.now, self.gateways[gateway].run);
        let client = &mut self.clients[number];
        (client.gateway, client.run, client.joined) = (gateway, run, now);
        client.state = match id.is_empty() {
            true => State::Reads { place: next },
            false => State::Waits { since, begun: now },
        };
        self.note(|| format!("client {number} comes to {gateway}"));
        Ok(())
    }

    fn wait(&mut self, number: usize, since: u64, begun: u64) {
        let client = &self.clients[number];
        let member = self.gateways[client.gateway].member.as_ref().unwrap();
        let next = member.replica().next();
        let is_over = self.now > begun + PATIENCE || member.replica().is_closed();
        let sought = member.sought(&client.id, since);
        let client = &mut self.clients[number];
        match sought {
            Sought::At { place, is_lost } => {
                if is_lost {
                    client.tell();
                }
                client.state = State::Reads { place };
            }
            Sought::Wait if !is_over => return,
            Sought::Wait | Sought::Unknown => {
                client.tell();
                client.state = State::Reads { place: next };
            }
        }
        let what = format!("client {number}: {sought:?}");
        self.note(|| what);
    }

    fn read(&mut self, number: usize, mut place: u64) -> Result<(), String> {
        let most = 1 + self.random.below(if self.is_rough() { 20 } else { 80 });
        let gateway = self.clients[number].gateway;
        let member = self.gateways[gateway].member.as_ref().unwrap();
        let client = &mut self.clients[number];
        let mut lines = Vec::new();
        for _ in 0..most {
            if place < member.replica().oldest() {
                client.tell();
                place = member.replica().oldest();
            }
            let Some(entry) = member.replica().entry(place) else {
                if member.replica().is_closed() {
                    client.state = State::Over;
                    self.note(|| format!("client {number} is at the end"));
                    return Ok(());
                }
                break;
            };
            place += 1;
            match entry {
                None => client.tell(),
                Some(event) => {
                    lines.push(text(event));
                    client
                        .see(&self.plan, self.has_expired, event)
                        .map_err(|error| {
                            format!("client {number} at {gateway}, {:?}: {error}", text(event))
                        })?;
                }
            }
        }
        client.state = State::Reads { place };
        if !lines.is_empty() {
            self.note(|| format!("client {number} at {gateway} sees {lines:?}"));
        }
        Ok(())
    }
}

pub(crate) fn text(event: &Stored) -> String {
    String::from_utf8_lossy(&event.bytes)
        .trim_end()
        .replace('\n', " ")
}

/// The number that the upstream has put into the data.
pub(crate) fn number_of(event: &Stored) -> Option<u64> {
    let body = std::str::from_utf8(&event.bytes[event.body..]).ok()?;
    body.strip_prefix("data: ")?.trim_end().parse().ok()
}

impl Client {
    fn see(&mut self, plan: &Plan, has_expired: bool, event: &Stored) -> Result<(), String> {
        let text = std::str::from_utf8(&event.bytes).unwrap();
        let id = text
            .strip_prefix("id: ")
            .and_then(|rest| rest.lines().next());
        self.id = id.unwrap().as_bytes().to_vec();
        if event.is_gap {
            self.tell();
            return Ok(());
        }
        if !event.has_data {
            return Ok(());
        }
        let number = number_of(event).ok_or("no number")?;
        self.events += 1;
        if let Some(last) = self.number {
            let is_next = number == last + 1 || number > last && self.told;
            // Who is told that nobody knows what it missed may be ahead of where it goes on.
            let forgets = plan.forgets() || has_expired;
            let is_behind = self.told && (plan.kind.has_ids() || forgets);
            // It gives all of its events again, also those that no gateway knows any more.
            let is_anew = plan.kind == Kind::Anew && forgets;
            if !is_next && !is_behind && !is_anew {
                return Err(format!("{number} behind {last}, told: {}", self.told));
            }
        }
        self.twice += u64::from(self.number.is_some_and(|last| number <= last));
        self.number = Some(number);
        self.told = false;
        Ok(())
    }
}
