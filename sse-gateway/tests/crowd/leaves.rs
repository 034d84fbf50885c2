//! Clients that come and leave leave nothing.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::gateway::Gateway;
use crate::one_at_a_time;
use crate::support::admin::{admin_until, sum_of};
use crate::upstream::Upstream;
use crate::visits::{AT_ONCE, visits};

/// In each round, behind a tenth of one that is not counted: the first streams fill what is kept.
const VISITS: usize = 10_000;
const MOST_ROUNDS: usize = 4;
/// KiB by which the process may have grown in a round: 50 bytes a visit.
const GROWTH: usize = VISITS * 50 / 1024;

const GAUGES: [&str; 7] = [
    "sse_streams_active",
    "sse_relays_active",
    "sse_relay_clients",
    "sse_upstream_connected",
    "sse_history_events",
    "sse_history_bytes",
    "sse_history_reserved_bytes",
];

#[tokio::test]
async fn clients_that_come_and_leave_leave_nothing() {
    let _turn = one_at_a_time().await;
    let upstream = Arc::new(Upstream::start(AT_ONCE).await);
    let config = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("leaves.toml");
    fs::write(&config, SHARED).expect("is written");
    let flags = ["--config", config.to_str().expect("UTF-8")];
    let gateway = Gateway::with_all(&upstream.url, &flags, &GIVES_BACK);
    let before = gateway.descriptors();
    visits(gateway.address, &upstream, VISITS / 10).await;
    let mut memory = Vec::new();
    // What leaks does so in each of them; how the allocator's pages are filled varies by a megabyte.
    while memory.len() < MOST_ROUNDS && !has_stopped_growing(&memory) {
        visits(gateway.address, &upstream, VISITS).await;
        until_nothing_is_left(&gateway, &upstream).await;
        gateway.until_descriptors(before).await;
        memory.push(gateway.anonymous_memory());
    }
    println!("KiB after each round: {memory:?}");
    assert!(has_stopped_growing(&memory), "it grew: {memory:?} KiB");
    let log = gateway.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// Whoever comes late is given the event too.
const SHARED: &str = r#"
[[route]]
name = "shared"
path = "/shared"
share = "on"
start = "last:1"
on_leave = "cancel"
"#;

fn has_stopped_growing(memory: &[usize]) -> bool {
    let mut rounds = memory.windows(2);
    rounds.any(|round| round[1] <= round[0] + GROWTH)
}

async fn until_nothing_is_left(gateway: &Gateway, upstream: &Upstream) {
    admin_until(gateway, "/metrics", |metrics| {
        for gauge in GAUGES {
            assert!(metrics.contains(&format!("\n{gauge}")), "no {gauge}");
        }
        GAUGES.iter().all(|gauge| sum_of(metrics, gauge) == 0) && upstream.open() == 0
    })
    .await;
    admin_until(gateway, "/streams", |streams| {
        streams.contains("\"streams\":[]") && streams.contains("\"relays\":[]")
    })
    .await;
}

/// Has jemalloc give back at once what is free, rather than ten seconds later. glibc's allocator does not know it.
const GIVES_BACK: [(&str, &str); 1] = [("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")];
