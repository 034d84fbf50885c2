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
    // A follower that reads before it subscribes is caught in `suspicions`: here heartbeats mend it. So is a frame that does
    // not name its old numbers, for which some ten thousand schedules are needed.
    let rules = [
        (Rule::BaseCheck, 28),
        (Rule::FenceEquality, 75),
        (Rule::FenceRandom, 0),
        (Rule::Jump, 10),
        (Rule::JumpRandom, 7),
        (Rule::JumpNoted, 1575),
        (Rule::Orphans, 182),
        (Rule::Repair, 2),
        (Rule::BeatPositions, 29),
        (Rule::Deafness, 71),
        (Rule::OneReign, 77),
        (Rule::AskOwner, 45),
        (Rule::AskAgain, 1166),
        (Rule::WaitForNumber, 8),
        (Rule::RandomEpoch, 1),
        (Rule::NoteInOrder, 4),
        (Rule::Renew, 5),
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
