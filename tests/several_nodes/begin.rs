//! Answers that begin, go on and come to their ends while the store is away, and has forgotten all of them when it is back.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::own::{Asker, nodes, numbers};
use crate::server::Server;
use crate::upstream::Upstream;

const ASKERS: u64 = 40;
const EVENTS: u64 = 20;
const ROUNDS: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_whole_wherever_they_are_when_a_redis_forgets_them() {
    let mut server = Server::start();
    let upstream = Upstream::begin();
    upstream.answers.have(EVENTS);
    // No end comes in front of the harm.
    upstream
        .answers
        .rest_before_the_end(Duration::from_millis(200));
    let nodes = nodes(2, &server, &upstream);
    for round in 0..ROUNDS {
        let reading = (0..ASKERS).map(|number| {
            let [asked, other] = match number % 2 {
                0 => [&nodes[0], &nodes[1]],
                _ => [&nodes[1], &nodes[0]],
            };
            async move {
                sleep(Duration::from_millis(10 * number)).await;
                let mut asker = Asker::post();
                asker.read(asked, 1 + (number % 7) as usize).await;
                while asker.last() < EVENTS {
                    asker.read(other, 5).await;
                }
                asker.read_all(other).await;
                asker.given
            }
        });
        let harm = async {
            sleep(Duration::from_millis(150 + 50 * round)).await;
            server.kill();
            server.start_again();
        };
        let (given, ()) = tokio::join!(join_all(reading), harm);
        for (number, given) in given.iter().enumerate() {
            assert_eq!(*given, numbers(EVENTS), "round {round}, client {number}");
        }
    }
    let asked = u64::try_from(upstream.answers.posts()).unwrap();
    assert_eq!(asked, ROUNDS * ASKERS);
}
