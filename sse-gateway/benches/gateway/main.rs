//! What does `sse-gateway` cost, beside a plain hyper proxy and nginx?
//!
//! ```text
//! cargo bench -p sse-gateway --features jemalloc --bench gateway
//! cargo bench -p sse-gateway --features jemalloc --bench gateway -- --quick --only plain,nginx
//! ```
//!
//! All of it is real and over loopback: an upstream that writes event streams, a proxy, and a load that reads them
//! through it. Each part is a process of its own, so that the CPU time and memory of the proxy (all its threads and
//! processes) can be read apart from those of the rest. This executable is the one that conducts, and starts itself
//! again as the upstream, the load and the plain hyper proxy. CPU time and memory come from `/proc`, so
//! it runs on Linux alone.
//!
//! | file | what it does |
//! |---|---|
//! | `conductor` | the rounds, interleaved: which part is started when, and what is read off it |
//! | `upstream`, `load` | the two ends of every event stream |
//! | `plain_proxy` | the baseline: hyper's server and client, and nothing else |
//! | `targets` | how each proxy is started, and the configuration of nginx |
//! | `parts` | what other benches have too: processes and what Linux says of them, the event, latencies, nginx |
//! | `options`, `report` | the command line, and the table for `benches/README.md` |

mod conductor;
mod load;
mod options;
#[path = "../parts/mod.rs"]
mod parts;
mod plain_proxy;
mod report;
mod targets;
mod upstream;

use std::{env, process::ExitCode};

/// What any part may fail with. It is printed, and the bench ends.
type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match *words.as_slice() {
        ["upstream"] => upstream::run(),
        ["load", address] => load::run(address),
        ["plain-proxy", address] => plain_proxy::run(address),
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
