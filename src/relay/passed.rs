//! What is remembered for a while of keys whose answer was not for all.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use http::HeaderName;
use tokio::time::Instant;

use super::secret::Hash;

/// Keys for which nobody waits, and fields by which answers differ, each for a time.
#[derive(Default)]
pub(super) struct Passed {
    by_key: HashMap<Hash, Entry>,
    in_order: VecDeque<(Hash, Instant)>,
}

/// What an answer has said of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was no event stream: nobody waits for the next answer ("hit for pass").
    NoStream,
    /// It was for one client alone: nobody waits, and a request that had more than its key is made as it came.
    Private,
    /// It differs by these fields, which the key has not.
    Differs(Vec<HeaderName>),
}

struct Entry {
    known: Known,
    until: Instant,
}

/// So many keys are remembered.
const MAX: usize = 10_000;

impl Known {
    /// For so long: a page may be gone with the next deploy, but whom streams are for changes seldom.
    fn time(&self) -> Duration {
        match self {
            Known::NoStream => Duration::from_secs(5),
            Known::Private | Known::Differs(_) => Duration::from_secs(60),
        }
    }
}

impl Passed {
    pub(super) fn note(&mut self, key: Hash, known: Known) {
        let now = Instant::now();
        let until = now + known.time();
        self.by_key.insert(key, Entry { known, until });
        self.in_order.push_back((key, until));
        while let Some((key, until)) = self.in_order.front().copied() {
            if until > now && self.in_order.len() <= MAX {
                break;
            }
            self.in_order.pop_front();
            if self
                .by_key
                .get(&key)
                .is_some_and(|entry| entry.until == until)
            {
                self.by_key.remove(&key);
            }
        }
    }

    pub(super) fn of(&self, key: &Hash) -> Option<&Known> {
        let entry = self.by_key.get(key)?;
        (entry.until > Instant::now()).then_some(&entry.known)
    }

    pub(super) fn forget(&mut self, key: &Hash) {
        self.by_key.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_is_remembered_for_its_time_and_the_last_word_counts() {
        let mut passed = Passed::default();
        let (one, other) = ([1; 32], [2; 32]);
        passed.note(one, Known::Private);
        passed.note(other, Known::NoStream);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(passed.of(&other), Some(&Known::NoStream));
        passed.note(one, Known::NoStream);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(passed.of(&one), Some(&Known::NoStream));
        assert_eq!(passed.of(&other), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(passed.of(&one), None);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_remembered_than_there_is_room_for() {
        let mut passed = Passed::default();
        for number in 0..2 * MAX as u64 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            passed.note(key, Known::Private);
        }
        assert_eq!((passed.by_key.len(), passed.in_order.len()), (MAX, MAX));
    }
}
