//! Each rule of the protocol, switched off, is caught: so each is needed, and the simulation sees it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tower_sse::store::Rules;

use crate::{THREADS, run};

/// So many schedules may pass before a rule that is off is caught.
const PATIENCE: u64 = 20_000;

/// The first schedule that fails.
fn caught(rules: Rules) -> Option<(u64, String)> {
    let next = AtomicU64::new(0);
    let is_caught = AtomicBool::new(false);
    let work = || {
        while !is_caught.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= PATIENCE {
                return None;
            }
            if let (_, Err(error)) = run(seed, rules, false) {
                is_caught.store(true, Ordering::Relaxed);
                return Some((seed, error));
            }
        }
        None
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        let found = threads
            .into_iter()
            .filter_map(|thread| thread.join().unwrap());
        found.min()
    })
}

#[test]
fn each_rule_that_is_off_is_caught() {
    type Off = fn(&mut Rules);
    let rules: [(&str, Off); 17] = [
        ("base check", |rules| rules.base_check = false),
        ("fence equality", |rules| rules.fence_equality = false),
        ("random part of the fence", |rules| {
            rules.fence_random = false
        }),
        ("jump", |rules| rules.jump = false),
        ("randomness of the jump", |rules| rules.jump_random = false),
        ("jump noted with its frame", |rules| {
            rules.jump_noted = false
        }),
        ("was", |rules| rules.was = false),
        ("dedup of orphans", |rules| rules.orphans = false),
        ("repair", |rules| rules.repair = false),
        ("subscribe before read", |rules| {
            rules.subscribe_first = false
        }),
        ("heartbeat positions", |rules| rules.beat_positions = false),
        ("deaf connections", |rules| rules.deafness = false),
        ("one reign", |rules| rules.one_reign = false),
        ("own again", |rules| rules.own_again = false),
        ("ask the owner", |rules| rules.ask_owner = false),
        ("wait for a number", |rules| rules.wait_for_number = false),
        ("random epoch", |rules| rules.random_epoch = false),
    ];
    let mut missed = Vec::new();
    for (name, off) in rules {
        let mut rules = Rules::default();
        off(&mut rules);
        match caught(rules) {
            Some((seed, error)) => println!("without {name}: SEED={seed}: {error}"),
            None => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "nothing failed without {missed:?}");
}
