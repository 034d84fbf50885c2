//! What does it cost that several gateways share streams by a Redis server, beside one gateway in memory, and beside what people
//! write by hand?
//!
//! ```text
//! cargo bench -p sse-gateway --features jemalloc --bench several
//! cargo bench -p sse-gateway --features jemalloc --bench several -- --quick --rows latency,kills
//! ```
//!
//! Three gateways, Redis, the upstream and the clients are processes of their own, over loopback. It needs `redis-server`, and
//! `python3` for the application on Redis Streams (`app.py`).
//!
//! | file | what it does |
//! |---|---|
//! | `rows` | what is measured, row by row, in rounds |
//! | `targets` | one gateway, three with a store, three processes of `app.py` |
//! | `redis` | the Redis server, and what it says of itself |
//! | `source` | the upstream: numbered events with ids behind which it goes on |
//! | `options` | what the command line offers |
//! | `parts` | what other benches have too: the clients, processes, tables |

mod options;
#[path = "../parts/mod.rs"]
mod parts;
mod redis;
mod rows;
mod source;
mod targets;

use std::process::ExitCode;

use parts::{Error, client};

fn main() -> ExitCode {
    parts::run(|words| match *words {
        ["source"] => source::serve(),
        ["load", address] => client::run(address),
        _ => options::parse(words)?.map_or(Ok(()), |options| rows::run(&options)),
    })
}
