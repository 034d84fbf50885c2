//! Answers that are each one client's, on a cluster: a primary that is killed, and slots that move under load.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::cluster::{self, Cluster};
use crate::node::Node;
use crate::own::{Asker, numbers};
use crate::upstream::Upstream;

/// Half of them POST.
const ASKERS: usize = 12;
/// How many of an answer are read from one node.
const HOP: usize = 50;
const EVENTS: u64 = 400;

/// Clients hop from node to node with each part of their answers, while something is done to the cluster.
async fn endure(mut cluster: Cluster, harm: impl AsyncFnOnce(&mut Cluster)) {
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    let nodes = cluster::nodes(&cluster, &upstream);
    let mut askers: Vec<_> = (0..ASKERS)
        .map(|number| match number % 2 {
            0 => Asker::get(),
            _ => Asker::post(),
        })
        .collect();
    let reading = askers.iter_mut().enumerate().map(|(number, asker)| {
        let nodes = &nodes;
        async move {
            let mut hops = (number..).map(|hop| &nodes[hop / 2 % 2]);
            let mut next = || hops.next().expect("there is always one");
            while asker.last() < EVENTS {
                asker.read(next(), HOP).await;
            }
            asker.read_all(next()).await;
        }
    });
    tokio::join!(join_all(reading), harm(&mut cluster));
    for asker in &askers {
        assert_eq!(asker.given, numbers(EVENTS), "{}", asker.status);
    }
    assert_eq!(upstream.answers.posts(), ASKERS / 2);
    let left_alone: u64 = nodes
        .iter()
        .map(|node: &Node| node.stats().left_alone)
        .sum();
    assert_eq!(left_alone, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_killed_and_all_answers_come_whole() {
    endure(Cluster::start().await, async |cluster| {
        sleep(Duration::from_millis(500)).await;
        cluster.servers[0].kill();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_to_another_node_and_all_answers_come_whole() {
    endure(Cluster::start().await, async |cluster| {
        for slot in cluster::slots_of_first() {
            cluster.move_slot(slot, 0, 1).await;
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
