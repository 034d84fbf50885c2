//! A gateway that Redis cuts off, since it does not read what is published as fast as it comes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::gateway::PATIENCE;
use crate::redis::Redis;
use crate::several_answers::{Asker, Counter, LONG, gateway};

const LIMIT: &str = "pubsub 1mb 512kb 10";
const PADDING: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_redis_has_cut_off_reads_what_it_has_not_heard() {
    let redis = Redis::start("cut-off").await;
    redis.ask(&["CONFIG", "SET", "client-output-buffer-limit", LIMIT]);
    let upstream = Counter::start(LONG).await;
    let kept = ["--history-bytes", "200MiB"];
    let [reads, follows] = [(); 2].map(|()| gateway(&redis, &upstream, &kept));
    let mut client = Asker::new(false);
    client.read(reads.address, 10).await;
    client.read(follows.address, 10).await;

    let subscribers = || {
        redis
            .ask(&["CLIENT", "LIST", "TYPE", "pubsub"])
            .lines()
            .count()
    };
    assert_eq!(subscribers(), 2);
    upstream.counts.padding.store(PADDING, Ordering::Relaxed);
    follows.signal("-STOP");
    let cut_off = async {
        while subscribers() == 2 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let is_cut_off = timeout(PATIENCE, cut_off).await;
    follows.signal("-CONT");
    is_cut_off.expect("it is cut off");
    upstream.counts.padding.store(0, Ordering::Relaxed);

    client.read(follows.address, 500).await;
    client.read(reads.address, 10).await;
    client.assert_in_order();
    assert_eq!((client.gaps.len(), upstream.gets()), (0, 1));
}
