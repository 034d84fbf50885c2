//! Crowds before the gateway: nothing grows, nothing is left over, and nothing starves.
//!
//! The gateway runs as a process; upstreams and clients are plain sockets, many of them.

#![allow(
    clippy::disallowed_methods,
    reason = "what the tests send is bounded by the tests"
)]

mod descriptors;
mod hot;
mod leaves;
mod quiet;
mod starving;
#[path = "../support/mod.rs"]
mod support;
mod upstream;
mod visits;

use support::{gateway, wire};
use tokio::sync::{Mutex, MutexGuard};

/// Waits for the turn of a test: each takes many descriptors, and most of the machine.
async fn one_at_a_time() -> MutexGuard<'static, ()> {
    // Each holds both ends of thousands of connections.
    rlimit::increase_nofile_limit(u64::MAX).expect("a limit");
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
