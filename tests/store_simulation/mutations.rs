//! Each rule of the protocol, switched off, is caught: so each is needed, and the simulation sees it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tower_sse::store::{Rule, Rules};

use crate::{THREADS, run};

/// So many schedules may pass before a rule that is off is caught.
const PATIENCE: u64 = 4_000;

/// A schedule that fails: this one, which did once, or the first.
fn caught(rules: Rules, known: u64) -> Option<(u64, String)> {
    if let (_, Err(error)) = run(known, rules, false) {
        return Some((known, error));
    }
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
    // A follower that reads before it subscribes is caught in `suspicions`: here heartbeats mend it.
    let rules = [
        (Rule::BaseCheck, 15),
        (Rule::FenceEquality, 13),
        (Rule::FenceRandom, 0),
        (Rule::Jump, 3),
        (Rule::JumpRandom, 77),
        (Rule::JumpNoted, 557),
        (Rule::Was, 1664),
        (Rule::Orphans, 182),
        (Rule::Repair, 2),
        (Rule::BeatPositions, 43),
        (Rule::Deafness, 71),
        (Rule::OneReign, 87),
        (Rule::AskOwner, 113),
        (Rule::AskAgain, 77),
        (Rule::WaitForNumber, 8),
        (Rule::RandomEpoch, 0),
        (Rule::Renew, 2),
    ];
    let mut missed = Vec::new();
    for (rule, known) in rules {
        match caught(Rules::without(rule), known) {
            Some((seed, error)) => println!("without {rule:?}: SEED={seed}: {error}"),
            None => missed.push(rule),
        }
    }
    assert!(missed.is_empty(), "nothing failed without {missed:?}");
}
