//! Random operations of three callers, carried out by the model and by a server: all answers, and all that is published, are
//! the same.

mod choose;
mod round;

use round::Round;

use crate::server::Server;
use crate::variable::variable;

/// Of one seed, beginning with an empty store.
const OPERATIONS: u64 = 500;

#[tokio::test]
async fn scripts_answer_and_publish_what_the_model_does() {
    let server = Server::start();
    let seeds = match variable("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("OPERATIONS").unwrap_or(2_000).div_ceil(OPERATIONS),
    };
    let count = seeds.end - seeds.start;
    let mut outcomes = std::collections::BTreeMap::new();
    for seed in seeds {
        let mut round = Round::begin(&server, seed).await;
        for _ in 0..OPERATIONS {
            *outcomes.entry(round.step().await).or_insert(0) += 1;
        }
        round.end().await;
    }
    println!("{} operations: {outcomes:#?}", count * OPERATIONS);
}
