//! Whether the upstreams can be connected to, for probes that ask.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::reload::Reload;

/// For so long an answer holds: probes of many do not become a load on the upstream.
const HOLDS: Duration = Duration::from_secs(1);

/// What was found last. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Upstreams(Arc<Mutex<Option<Found>>>);

struct Found {
    at: Instant,
    why: Option<String>,
}

impl Upstreams {
    /// Connects to each, and closes the connections, unless that was done a moment ago.
    ///
    /// # Errors
    ///
    /// When there is a route none of whose upstreams can be connected to. The text names all of them, with the reasons.
    pub(super) async fn check(&self, reload: &Reload) -> Result<(), String> {
        // Who comes meanwhile waits for the answer, and does not ask again.
        let mut found = self.0.lock().await;
        let why = match &*found {
            Some(found) if found.at.elapsed() < HOLDS => found.why.clone(),
            _ => {
                let why = unreachable(reload).await;
                *found = Some(Found {
                    at: Instant::now(),
                    why: why.clone(),
                });
                why
            }
        };
        why.map_or(Ok(()), Err)
    }
}

async fn unreachable(reload: &Reload) -> Option<String> {
    let mut asked = JoinSet::new();
    for upstreams in reload.upstreams() {
        asked.spawn(async move { upstreams.reach().await.err() });
    }
    let all = asked.join_all().await;
    let mut why: Vec<_> = all.into_iter().flatten().collect();
    why.sort();
    (!why.is_empty()).then(|| why.concat())
}
