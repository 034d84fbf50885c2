//! What a relay asks a store for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Elsewhere, Store, Stream, Wanted, Way};
use crate::history::{Keep, MemoryLog};
use crate::relay::config::Config;
use crate::relay::secret::Hash;
use crate::relay::{OnFull, gap, note};
use crate::store::outside::{Found, Opening};
use crate::store::{Part, WhenAway, Writing};
use crate::wire::Epoch;

/// So long a stream may be there of which nothing was told.
const BEGINS: Duration = Duration::from_secs(2);
/// Between two looks for what may come.
const AGAIN: Duration = Duration::from_millis(100);

impl Store {
    /// Follows a stream, unless that is followed here already, or is not to be waited for.
    pub(in crate::relay) fn stream(
        &self,
        config: &Config,
        wanted: &Wanted<'_>,
        log: &MemoryLog,
    ) -> Option<Arc<Stream>> {
        let (name, part) = match wanted.way {
            Way::Key {
                key, is_answered, ..
            } => (self.name(key), part(is_answered, Part::Makes, Part::Any)),
            Way::Own {
                epoch,
                binding,
                is_new,
                ..
            } => (
                self.name_of_own(&epoch, binding),
                part(is_new, Part::Any, Part::Joins),
            ),
        };
        if self.when_away == WhenAway::Local && self.hub.session(&name).is_none() {
            return None;
        }
        let (shown, is_asked_again) = match wanted.way {
            Way::Key { is_asked_again, .. } => (None, is_asked_again),
            Way::Own {
                epoch,
                is_asked_again,
                ..
            } => (Some(epoch), is_asked_again),
        };
        let wants_rest = matches!(
            wanted.way,
            Way::Key {
                wants_rest: true,
                ..
            }
        );
        let gap = gap::without_id(config, None, !is_asked_again);
        let opening = Opening {
            log: log.clone(),
            writing: Writing {
                tag: config.tag,
                seal: Some(wanted.seal.clone()),
                gap: gap.map(|event| event.to_bytes()),
                keeps_ids: config.keep_ids && shown.is_none(),
                shown,
                is_sifted: true,
            },
            part,
            asks_once: !is_asked_again,
            keep: match config.on_full {
                OnFull::Wait => Keep::All,
                OnFull::Drop => Keep::Unread,
            },
            behind: wanted.behind.clone(),
            wants_rest: wants_rest.then_some(note::is_of_whole),
        };
        self.hub.open(name, opening)
    }

    /// Whether another gateway has the open stream of this key.
    pub(in crate::relay) async fn has_open(&self, key: &Hash) -> bool {
        match self.hub.find(self.name(key)).await {
            Found::There(note) => note::parse(&note).is_some_and(|note| note.ended.is_none()),
            Found::Nothing | Found::NotYet | Found::Away => false,
        }
    }

    /// Whether another gateway has the stream of these ids. The store is waited for, for at most this long.
    pub(in crate::relay) async fn find_own(
        &self,
        epoch: &Epoch,
        binding: &Hash,
        at_most: Duration,
    ) -> Elsewhere {
        let name = self.name_of_own(epoch, binding);
        let (began, mut begins) = (Instant::now(), None);
        loop {
            let is_over = began.elapsed() >= at_most;
            match self.hub.find(name).await {
                Found::There(note) if !note.is_empty() => return Elsewhere::There(note),
                // Whether its request may be made again is told next, unless whoever has begun it is dead.
                Found::There(_) if begins.get_or_insert_with(Instant::now).elapsed() < BEGINS => {
                    sleep(AGAIN).await;
                }
                Found::There(_) | Found::Nothing => return Elsewhere::Nothing,
                Found::Away if self.when_away == WhenAway::Local => return Elsewhere::Nothing,
                Found::NotYet if is_over => return Elsewhere::Nothing,
                Found::Away if is_over => return Elsewhere::Unknown,
                Found::NotYet | Found::Away => sleep(AGAIN).await,
            }
        }
    }
}

fn part(is_one: bool, one: Part, other: Part) -> Part {
    if is_one { one } else { other }
}
