//! What the benches that run whole processes have in common.
//!
//! | file | what it does |
//! |---|---|
//! | `options`, `target` | the command line, and what a bench offers on it |
//! | `round` | the rounds, interleaved, and what each case gave in them |
//! | `measure` | one measurement: what was read, and the CPU time and memory it took |
//! | `load`, `client` | the clients: how they are told what to do, and the process that reads |
//! | `event`, `response` | the event that both ends agree on, written and read |
//! | `server`, `nginx`, `program` | how the servers that are measured are started |
//! | `process`, `address`, `folder`, `machine` | a part as a process, its files, and the machine under all of it |
//! | `histogram`, `spread`, `report` | latencies, several rounds in one number, the tables |

#![allow(dead_code)] // each bench uses its part of it

use std::{env, process::ExitCode};

#[path = "../../tests/support/address.rs"]
pub(crate) mod address;
pub(crate) mod client;
pub(crate) mod event;
pub(crate) mod folder;
pub(crate) mod histogram;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod measure;
pub(crate) mod nginx;
pub(crate) mod options;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod report;
pub(crate) mod response;
pub(crate) mod round;
pub(crate) mod server;
pub(crate) mod spread;
pub(crate) mod target;

/// What any part may fail with. It is printed, and the bench ends.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Runs one part of a bench with the words of the command line: this executable is the one that conducts, and starts
/// itself again as the others.
pub(crate) fn run(part: impl FnOnce(&[&str]) -> Result<(), Error>) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match part(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
