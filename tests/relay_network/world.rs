//! What all hosts of a schedule share: what is so, whoever crashes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::client::Life;
use crate::feed::Feed;
use crate::plan::Plan;
use crate::random::Random;
use crate::record::Book;

pub(crate) struct World {
    pub(crate) plan: Plan,
    state: Mutex<State>,
    /// Told whenever something that a stream of the upstream waits for has changed.
    pub(crate) news: watch::Sender<News>,
    /// How often the connections of the crowd were cut.
    pub(crate) cuts: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The number of the last event.
    pub(crate) events: u64,
    /// How often all streams were ended.
    pub(crate) ends: u64,
    pub(crate) cleanly: bool,
}

pub(crate) struct State {
    pub(crate) feed: Feed,
    /// What was asked for by POST, by the name of the request.
    pub(crate) answers: HashMap<String, Feed>,
    /// The status that the upstream answers with, if it gives no stream.
    pub(crate) refuses: Option<u16>,
    /// Nothing goes wrong any more.
    pub(crate) calm: bool,
    /// What each client has seen.
    pub(crate) lives: Vec<Vec<Life>>,
    /// What the relays were given, and what they have kept.
    pub(crate) book: Book,
    pub(crate) step: u64,
    random: Random,
    trace: Vec<String>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        let mut random = Random::new(!plan.seed);
        let feed = Feed::new(&plan, "feed", Random::new(random.below(u64::MAX)));
        Arc::new(World {
            state: Mutex::new(State {
                feed,
                answers: HashMap::new(),
                refuses: None,
                calm: false,
                lives: (0..plan.count_clients()).map(|_| Vec::new()).collect(),
                book: Book::default(),
                step: 0,
                random,
                trace: Vec::new(),
            }),
            plan,
            news: watch::Sender::default(),
            cuts: watch::Sender::default(),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A task that panicked is told of by the schedule.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chance for somebody who needs some.
    pub(crate) fn random(&self) -> Random {
        Random::new(self.state().random.below(u64::MAX))
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.state().calm
    }

    pub(crate) fn emit(&self, events: u64, is_last: bool) {
        let mut state = self.state();
        for _ in 0..events {
            state.feed.push(is_last);
        }
        let len = state.feed.len();
        drop(state);
        self.news.send_modify(|news| news.events = len);
    }

    pub(crate) fn note(&self, line: String) {
        let mut state = self.state();
        let step = state.step;
        state.trace.push(format!("{step:>4} {line}"));
    }

    pub(crate) fn trace(&self) -> String {
        self.state().trace.join("\n")
    }
}
