//! Runs a schedule: a network with its hosts, what goes wrong in it, and the calm behind it in which all must be well.

use std::sync::Arc;
use std::time::Duration;

use turmoil::{Builder, Sim};

use crate::feed::LAST;
use crate::plan::{Action, Asks, CLIENTS, Host, Plan, STEP};
use crate::verdict::{self, Sums};
use crate::world::World;
use crate::{PANICKED, client, gateway, upstream};

/// In so many steps of calm all clients must have the last event.
const CALM: u64 = 3_000;

/// So often the upstream has a last event, for those that begin with what comes next.
const LAST_EACH: u64 = 25;

/// What is over at some step.
enum Undo {
    Start(Host),
    Release(Host),
    Answer,
}

/// Runs a schedule to its end, and judges it.
pub(crate) fn run(plan: Plan) -> Result<Sums, String> {
    let world = World::new(plan);
    PANICKED.set(false);
    let result = drive(&world).and_then(|()| verdict::judge(&world));
    let result = match PANICKED.get() {
        true => Err("something panicked, see above".into()),
        false => result,
    };
    result.map_err(|error| format!("{error}\n\n{:?}\n\n{}", world.plan, world.trace()))
}

fn drive(world: &Arc<World>) -> Result<(), String> {
    let mut sim = network(world);
    let mut undo: Vec<(u64, Undo)> = Vec::new();
    let mut actions = world.plan.actions.iter().peekable();
    for step in 0..world.plan.rough_steps() {
        world.state().step = step;
        while let Some((_, action)) = actions.next_if(|(at, _)| *at <= step) {
            act(world, &mut sim, action, step, &mut undo);
        }
        let (due, later): (Vec<_>, Vec<_>) = undo.into_iter().partition(|(at, _)| *at <= step);
        undo = later;
        for (_, one) in due {
            world.undo(&mut sim, &one);
        }
        sim.step().map_err(|error| error.to_string())?;
    }
    for (_, one) in undo {
        world.undo(&mut sim, &one);
    }
    world.state().calm = true;
    world.note("calm".into());
    let calm = match world.plan.catches_up() {
        true => CALM,
        false => CALM / 20,
    };
    for step in 0..calm {
        world.state().step = world.plan.rough_steps() + step;
        if step % LAST_EACH == 0 {
            world.emit(1, true);
        }
        sim.step().map_err(|error| error.to_string())?;
        if step % 8 == 0 && world.is_done() {
            return Ok(());
        }
    }
    if !world.plan.catches_up() {
        return Ok(());
    }
    let waiting = world.waiting().join(", ");
    Err(format!(
        "all is well again, and not given what comes: {waiting}"
    ))
}

fn network(world: &Arc<World>) -> Sim<'static> {
    let mut sim = Builder::new()
        .rng_seed(world.plan.seed)
        .tick_duration(STEP)
        .simulation_duration(Duration::from_secs(100_000))
        .min_message_latency(Duration::ZERO)
        .max_message_latency(world.plan.latency)
        .tcp_capacity(world.plan.tcp_capacity)
        .enable_random_order()
        .build();
    let upstream = world.clone();
    sim.host(Host::Upstream.name(), move || {
        upstream::serve(upstream.clone())
    });
    for place in 0..world.plan.gateways.len() {
        let world = world.clone();
        sim.host(Host::Gateway(place).name(), move || {
            gateway::serve(world.clone(), place)
        });
    }
    for number in 0..CLIENTS {
        let client = client::run(world.clone(), number);
        sim.client(Host::Client(number).name(), client);
    }
    if world.plan.crowd > 0 {
        sim.client(Host::Crowd.name(), client::run_crowd(world.clone()));
    }
    sim
}

fn act(world: &World, sim: &mut Sim<'_>, action: &Action, step: u64, undo: &mut Vec<(u64, Undo)>) {
    match *action {
        Action::Emit(events) => return world.emit(events, false),
        Action::End { clean } => world.news.send_modify(|news| {
            news.ends += 1;
            news.cleanly = clean;
        }),
        Action::Refuse { status, steps } => {
            world.state().refuses = Some(status);
            undo.push((step + steps, Undo::Answer));
        }
        Action::Crash { host, steps } => {
            sim.crash(host.name());
            undo.push((step + steps, Undo::Start(host)));
        }
        Action::Hold { host, steps } => {
            sim.hold(world.in_front_of(host), host.name());
            undo.push((step + steps, Undo::Release(host)));
        }
        Action::Partition { host, steps } => {
            sim.partition(world.in_front_of(host), host.name());
            undo.push((step + steps, Undo::Release(host)));
        }
        Action::CutCrowd => world.cuts.send_modify(|cuts| *cuts += 1),
    }
    world.note(format!("{action:?}"));
}

impl World {
    fn undo(&self, sim: &mut Sim<'_>, undo: &Undo) {
        match undo {
            Undo::Start(host) => {
                if !sim.is_host_running(host.name()) {
                    self.note(format!("{host:?} is back"));
                    sim.bounce(host.name());
                }
            }
            Undo::Release(host) => {
                self.note(format!("the way to {host:?} is back"));
                sim.release(self.in_front_of(*host), host.name());
            }
            Undo::Answer => self.state().refuses = None,
        }
    }

    /// The name of the gateway that this host talks to, in front of it or, for a client, behind it.
    fn in_front_of(&self, host: Host) -> String {
        let gateway = match host {
            Host::Client(_) | Host::Crowd => 0,
            Host::Gateway(place) => place - 1,
            Host::Upstream => self.plan.gateways.len() - 1,
        };
        Host::Gateway(gateway).name()
    }

    /// Whether each client has what comes last.
    fn is_done(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Those who do not have it.
    fn waiting(&self) -> Vec<String> {
        let state = self.state();
        let lives = state.lives.iter().enumerate();
        let waiting = lives.filter_map(|(number, lives)| {
            let life = lives.last();
            let connection = life.and_then(|life| life.connections.last());
            let bytes = connection.map_or(&[][..], |connection| &connection.bytes);
            let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(2_000)..]);
            let has_it = life.is_some_and(|life| match life.asks {
                Asks::Answer => life.is_over,
                Asks::Shared | Asks::Own => tail.contains(LAST),
            });
            (!has_it).then(|| {
                let from = tail.char_indices().rev().take(120).last();
                let end = from.map_or("", |(from, _)| &tail[from..]);
                format!(
                    "client {number}, which has read {} bytes, ending {end:?}",
                    bytes.len()
                )
            })
        });
        waiting.collect()
    }
}
