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
//! | `conductor` | which part is started when, for each rate and number of clients |
//! | `source`, `pace` | the upstream of the gateway, which is asked once, and what publishes to nchan |
//! | `floor` | the bare loop: writes what is ready to each socket in turn, and nothing else |
//! | `targets` | how each server is started, and the configuration of nchan |
//! | `options`, `report` | what the command line offers, and the tables |
//! | `parts` | what other benches have too: the clients, rounds, processes, tables |

mod conductor;
mod floor;
mod options;
mod pace;
#[path = "../parts/mod.rs"]
mod parts;
mod report;
mod source;
mod targets;

use std::process::ExitCode;

use parts::{Error, client, options::Options};

fn main() -> ExitCode {
    parts::run(|words| match *words {
        ["source"] => source::serve(),
        ["publisher", address, rate] => source::publish(address, rate),
        ["floor", rate] => floor::run(rate),
        ["load", address] => client::run(address),
        _ => Options::parse(words)?.map_or(Ok(()), |options| conductor::run(&options)),
    })
}
