//! Several gateways with one history, in a simulation without sockets or tasks: each seed is a schedule.
//!
//! `SEED=…` runs one and prints what happened, `SCHEDULES=…` so many, from `FROM=…` on.

mod answers;
mod bench;
mod client;
mod faults;
mod found;
mod gateway;
mod hand_over;
mod ledger;
mod linear;
mod mutations;
mod plan;
mod queue;
#[path = "../support/random.rs"]
mod random;
mod store;
mod suspicions;
mod upstream;
#[path = "../support/variable.rs"]
mod variable;
mod verdict;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::Plan;
use tower_sse::store::Rules;
use variable::variable;
use world::World;

const THREADS: usize = 2;

#[derive(Debug, Default)]
struct Sums {
    events: u64,
    gaps: u64,
    takeovers: u64,
    published: u64,
    two_readers: u64,
    gaps_with_ids: u64,
    twice: u64,
    twice_with_ids: u64,
}

fn run(seed: u64, rules: Rules, notes: bool) -> (World, Result<(), String>) {
    let mut world = World::new(Plan::new(seed), rules, notes);
    let result = world.run();
    (world, result)
}

#[test]
fn no_event_is_lost_or_doubled_in_any_schedule() {
    let schedules = variable("SCHEDULES").unwrap_or(2_000);
    if let Some(seed) = variable("SEED") {
        let (world, result) = run(seed, Rules::default(), true);
        println!("{:#?}", world.plan);
        for note in world.notes.iter().flatten() {
            println!("{note}");
        }
        return result.unwrap();
    }
    let from = variable("FROM").unwrap_or(0);
    let next = AtomicU64::new(from);
    let failures = Mutex::new(Vec::new());
    let sums = Mutex::new(Sums::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + schedules {
                return;
            }
            let (world, result) = run(seed, Rules::default(), false);
            if let Err(error) = result {
                failures.lock().unwrap().push((seed, error));
            }
            let mut sums = sums.lock().unwrap();
            for client in &world.clients {
                sums.events += client.events;
                sums.gaps += client.gaps;
                sums.twice += client.twice;
                if world.plan.kind != plan::Kind::NoIds && world.plan.kind != plan::Kind::Anew {
                    sums.twice_with_ids += client.twice;
                }
                if world.plan.kind.has_ids() && world.plan.limit > 100 {
                    sums.gaps_with_ids += client.gaps;
                }
            }
            sums.takeovers += world.takeovers;
            sums.published += world.ledger.events.len() as u64;
            sums.two_readers = sums.two_readers.max(world.two_readers);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    println!("{schedules} schedules: {:#?}", sums.into_inner().unwrap());
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    for (seed, error) in failures.iter().take(40) {
        println!("SEED={seed}: {error}");
    }
    assert!(failures.is_empty(), "{} schedules failed", failures.len());
}
