//! What does `sse-gateway` cost, beside a plain hyper proxy, nginx and HAProxy?
//!
//! ```text
//! cargo bench -p sse-gateway --features jemalloc --bench gateway
//! cargo bench -p sse-gateway --features jemalloc --bench gateway -- --quick --only plain,nginx
//! cargo bench -p sse-gateway --features jemalloc --bench gateway -- --rows burst --other before=/path/to/old/sse-gateway
//! ```
//!
//! All of it is real and over loopback: an upstream that writes event streams, a proxy, and a load that reads them
//! through it. Each part is a process of its own, so that the CPU time and memory of the proxy (all its threads and
//! processes) can be read apart from those of the rest. This executable is the one that conducts, and starts itself
//! again as the upstream, the clients and the plain hyper proxy. CPU time and memory come from `/proc`, so
//! it runs on Linux alone.
//!
//! | file | what it does |
//! |---|---|
//! | `conductor` | which row is measured when |
//! | `rows` | what is measured, a file and a table for each |
//! | `upstream` | writes all event streams |
//! | `visits`, `leavers`, `posts` | the clients that come and go, in one way and in all, and those that post |
//! | `plain_proxy` | the baseline: hyper's server and client, and nothing else |
//! | `targets`, `haproxy` | how each proxy is started, and the configurations of nginx and HAProxy |
//! | `options` | what the command line offers |
//! | `parts` | what other benches have too: the clients, rounds, processes, tables |

mod conductor;
mod haproxy;
mod leavers;
mod options;
#[path = "../parts/mod.rs"]
mod parts;
mod plain_proxy;
mod posts;
mod rows;
mod targets;
mod upstream;
mod visits;

use std::process::ExitCode;

use parts::{Error, client, options::Options};

fn main() -> ExitCode {
    parts::run(|words| match *words {
        ["upstream"] => upstream::run(),
        ["plain-proxy", address] => plain_proxy::run(address),
        ["load", address] => client::run(address),
        ["visits", address] => visits::run(address),
        ["leavers", address] => leavers::run(address),
        ["posts", address] => posts::run(address),
        _ => Options::parse(words)?.map_or(Ok(()), |options| conductor::run(&options)),
    })
}
