//! What does the layer cost an event?
//!
//! `cargo bench --bench cost --features metrics`
//!
//! Each row is a run of its own under callgrind (Debian: `apt install valgrind`), which counts the
//! instructions of [`streams::run_to_end`] alone; those of the same loop over the same chunks without the
//! layer are subtracted. What counts is user space: a read of the clock is a system call under valgrind.

mod streams;

use std::env;

use streams::{EVENTS, Set, Shape, callgrind};

/// At most so many instructions an event, for the rows that have a target.
const TARGETS: [(Shape, Set, u64); 4] = [
    (Shape::OneAChunk, Set::Look, 500),
    (Shape::OneAChunk, Set::LookAndIds, 900),
    (Shape::EightyAChunk, Set::Look, 300),
    (Shape::EightyAChunk, Set::LookAndIds, 550),
];

fn main() {
    let words: Vec<String> = env::args().collect();
    if let [_, flag, shape, set] = &words[..] {
        if flag == "--run" {
            return run(shape, set);
        }
    }
    println!("instructions per event of 200 bytes, the source's own subtracted, {EVENTS} events\n");
    println!("| events | stages | target | seen |\n|---|---|---:|---:|");
    for shape in Shape::ALL {
        let source = count(shape, Set::Source);
        println!(
            "| {} | source alone | | ({}) |",
            shape.name(),
            source / EVENTS as u64
        );
        for set in Set::ALL.into_iter().skip(1) {
            let seen = count(shape, set).saturating_sub(source) / EVENTS as u64;
            let target = TARGETS
                .iter()
                .find(|row| (row.0, row.1) == (shape, set))
                .map(|row| format!("≤ {}", row.2))
                .unwrap_or_default();
            println!("| {} | {} | {target} | {seen} |", shape.name(), set.name());
        }
    }
}

/// The child, under callgrind.
fn run(shape: &str, set: &str) {
    let shape = Shape::ALL
        .into_iter()
        .find(|one| format!("{one:?}") == shape);
    let set = Set::ALL.into_iter().find(|one| format!("{one:?}") == set);
    let (Some(shape), Some(set)) = (shape, set) else {
        panic!("no such case");
    };
    streams::record_metrics();
    let runtime = streams::runtime();
    streams::run_to_end(&runtime, set.reader(shape.chunks()));
}

/// Counts the instructions of one case.
fn count(shape: Shape, set: Set) -> u64 {
    let words = ["--run", &format!("{shape:?}"), &format!("{set:?}")];
    callgrind::count("*run_to_end*", &words)
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::OneAChunk => "1 a chunk",
            Shape::OneAChunkWithId => "1 a chunk, with an `id`",
            Shape::EightyAChunk => "80 in 16 KiB",
        }
    }
}

impl Set {
    fn name(self) -> &'static str {
        match self {
            Set::Source => "none",
            Set::Look => "4 that look",
            Set::LookAndIds => "4 that look, `EventIds`",
            Set::Ours => "`Metrics`, `Retry`, `IdleTimeout`, `Heartbeat`",
            Set::OursAndIds => "the same and `EventIds`",
        }
    }
}
