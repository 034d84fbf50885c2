//! Judges what clients have seen and what relays have kept, once a schedule is over.

use crate::world::World;

mod life;
mod relay;

/// What was seen in schedules, so that nobody believes in a check that never had anything to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(crate) events: u64,
    pub(crate) connections: u64,
    pub(crate) cut: u64,
    /// Gaps with a number that were told to one client, and the events that they were about.
    pub(crate) gaps: u64,
    pub(crate) missed: u64,
    /// Gaps of which nobody knows how large they are.
    pub(crate) unknown_gaps: u64,
    /// Clients that went on with a relay that was not the one they came from, and missed nothing.
    pub(crate) moves: u64,
    /// Events that one client was given by an upstream request of its own.
    pub(crate) caught_up: u64,
    pub(crate) relays: u64,
    pub(crate) upstream_connections: u64,
    /// What the upstream sent again and no client was given.
    pub(crate) repeated: u64,
    pub(crate) evicted: u64,
    /// Schedules with two gateways, one behind the other.
    pub(crate) chains: u64,
    /// Schedules with a crowd.
    pub(crate) crowds: u64,
}

impl Sums {
    pub(crate) fn add(&mut self, other: &Sums) {
        for (sum, more) in self.all_mut().into_iter().zip(other.clone().all_mut()) {
            *sum += *more;
        }
    }

    pub(crate) fn all_mut(&mut self) -> [&mut u64; 14] {
        [
            &mut self.events,
            &mut self.connections,
            &mut self.cut,
            &mut self.gaps,
            &mut self.missed,
            &mut self.unknown_gaps,
            &mut self.moves,
            &mut self.caught_up,
            &mut self.relays,
            &mut self.upstream_connections,
            &mut self.repeated,
            &mut self.evicted,
            &mut self.chains,
            &mut self.crowds,
        ]
    }
}

pub(crate) fn judge(world: &World) -> Result<Sums, String> {
    let state = world.state();
    let mut sums = Sums::default();
    for (epoch, record) in &state.book.relays {
        relay::judge(&world.plan, record, &state.book, &mut sums)
            .map_err(|error| format!("the relay {epoch}: {error}"))?;
    }
    sums.chains += u64::from(world.plan.gateways.len() > 1);
    sums.crowds += u64::from(world.plan.crowd > 0);
    for number in 0..world.plan.count_clients() {
        for (place, life) in state.lives[number as usize].iter().enumerate() {
            life::judge(&world.plan, &state, number, place, life, &mut sums)
                .map_err(|error| format!("client {number}, life {place}: {error}"))?;
        }
    }
    Ok(sums)
}
