//! What does one stream to many clients cost, beside nchan and a bare loop?
//!
//! ```text
//! cargo bench -p sse-gateway --features jemalloc --bench fanout
//! cargo bench -p sse-gateway --features jemalloc --bench fanout -- --quick --only gateway,floor
//! ```
//!
//! One source writes events at a pace, and thousands of clients read all of them, over loopback. Each part is a process of its
//! own, so that what the server in the middle uses can be read apart from the rest. CPU time and memory come from
//! `/proc`, so it runs on Linux alone.
//!
//! | file | what it does |
//! |---|---|
//! | `conductor` | the rounds, interleaved: which part is started when, and what is read off it |
//! | `source` | the upstream of the gateway, which is asked once, and what publishes to nchan |
//! | `floor` | the bare loop: writes what is ready to each socket in turn, and nothing else |
//! | `load` | the clients |
//! | `targets` | how each server is started, and the configuration of nchan |
//! | `options`, `report` | the command line, and the table |

mod conductor;
mod event;
mod floor;
mod load;
mod options;
#[path = "../parts/mod.rs"]
mod parts;
mod report;
mod source;
mod targets;

use std::{env, process::ExitCode};

/// What any part may fail with. It is printed, and the bench ends.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match *words.as_slice() {
        ["source"] => source::serve(),
        ["publisher", address, rate] => source::publish(address, rate),
        ["floor", rate] => floor::run(rate),
        ["load", address] => load::run(address),
        _ => options::parse(&words).and_then(|options| match options {
            Some(options) => conductor::run(&options),
            None => Ok(()),
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
