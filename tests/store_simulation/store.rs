//! What reaches the store, and what it publishes.

use tower_sse::store::{Command, InstanceId, Message, Published, Reign};

use crate::gateway::Gateway;
use crate::queue::Event;
use crate::world::{STREAM, World};

impl World {
    pub(crate) fn arrived(
        &mut self,
        gateway: usize,
        line: u64,
        (primary, reign, from): (usize, Reign, InstanceId),
        (sent, call): (u64, Option<usize>),
        command: Command,
    ) {
        let is_up = self.gateways[gateway].commands.number == line;
        let is_there = self.primaries[primary].reign() == reign && !self.is_dead[primary];
        if !is_there || !(is_up || self.ghosts.contains(&line)) {
            return;
        }
        let log = self.primaries[primary].read(STREAM, u64::MAX).meta;
        let before = log.map_or(0, |meta| meta.position);
        let frame = match &command {
            Command::Append { frame, .. } => Some(frame.clone()),
            _ => None,
        };
        let is_read = matches!(command, Command::Read { .. });
        let is_expiring = log.is_some() && !self.primaries[primary].has(STREAM, self.now);
        let (answer, published) =
            self.primaries[primary].execute((STREAM, from), command, self.now);
        if is_expiring {
            self.note(|| "the log has expired".into());
            self.has_expired |= log.is_some_and(|log| !log.ended);
            self.lost(primary);
        }
        if let Some(frame) = frame {
            self.ledger.acknowledged(&frame, &answer);
        }
        if let Some(Published { message, .. }) = published {
            if message == Message::Told {
                self.ledger.told(&self.primaries[primary]);
            }
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
            let returns = commands.returns(is_read, self.now + delay);
            self.queue.push(
                returns,
                Event::Answer {
                    gateway,
                    line,
                    sent,
                    call,
                    answer,
                },
            );
        }
    }

    pub(crate) fn beat_arrived(
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

    /// Says that an instance has no connection on which it hears anything here; and at times that of one that has.
    pub(crate) fn whether_hears(
        &mut self,
        gateway: usize,
        line: u64,
        (primary, reign): (usize, Reign),
        instance: InstanceId,
    ) {
        let is_there = self.primaries[primary].reign() == reign && !self.is_dead[primary];
        if !is_there || self.gateways[gateway].commands.number != line {
            return;
        }
        let hears = |other: &Gateway| {
            other.id == instance && other.tail.is_up && other.tail.primary == primary
        };
        let is_wrong = self.is_rough() && self.random.below(8) == 0;
        if is_wrong || !self.gateways.iter().any(hears) {
            let delay = self.delay();
            let commands = &mut self.gateways[gateway].commands;
            commands.back = commands.back.max(self.now + delay);
            let gone = Event::Gone {
                gateway,
                line,
                instance,
            };
            self.queue.push(commands.back, gone);
        }
    }

    pub(crate) fn bring(
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
}
