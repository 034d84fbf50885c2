//! Instructions of whole runs of 10,000 events, compared with those of the run before.
//!
//! `cargo bench --bench instructions --features metrics`, with valgrind and
//! `cargo install gungraun-runner --version 0.18.2`. The bench `cost` has the numbers per event.

#![allow(missing_docs)] // of what the macros make

mod streams;

use std::hint::black_box;

use gungraun::prelude::*;
use streams::{Reader, Set, Shape};
use tokio::runtime::Runtime;

fn prepare(shape: Shape, set: Set) -> (Runtime, Reader) {
    streams::record_metrics();
    (streams::runtime(), set.reader(shape.chunks()))
}

#[library_benchmark(setup = prepare)]
#[bench::source(Shape::OneAChunk, Set::Source)]
#[bench::look(Shape::OneAChunk, Set::Look)]
#[bench::look_and_ids(Shape::OneAChunk, Set::LookAndIds)]
#[bench::ours(Shape::OneAChunk, Set::Ours)]
#[bench::ours_and_ids(Shape::OneAChunk, Set::OursAndIds)]
fn one_a_chunk((runtime, reader): (Runtime, Reader)) -> usize {
    black_box(streams::run_to_end(&runtime, reader))
}

#[library_benchmark(setup = prepare)]
#[bench::source(Shape::EightyAChunk, Set::Source)]
#[bench::look(Shape::EightyAChunk, Set::Look)]
#[bench::look_and_ids(Shape::EightyAChunk, Set::LookAndIds)]
#[bench::ours(Shape::EightyAChunk, Set::Ours)]
#[bench::ours_and_ids(Shape::EightyAChunk, Set::OursAndIds)]
fn eighty_a_chunk((runtime, reader): (Runtime, Reader)) -> usize {
    black_box(streams::run_to_end(&runtime, reader))
}

library_benchmark_group!(name = events, benchmarks = [one_a_chunk, eighty_a_chunk]);
main!(library_benchmark_groups = events);
