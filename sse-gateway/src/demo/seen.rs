//! What the upstream has been asked for: the streams that are open, and the last few that were.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use http::request::Parts;
use serde_json::{Value, json};

/// The requests for event streams, the oldest first. Clones are one and the same.
#[derive(Clone, Default)]
pub(super) struct Seen {
    requests: Arc<Mutex<VecDeque<Arc<Asked>>>>,
}

struct Asked {
    at: u64,
    method: String,
    target: String,
    last_event_id: Option<String>,
}

/// A stream that is open until this is dropped.
pub(super) struct Open {
    _asked: Arc<Asked>,
}

impl Seen {
    /// Writes down a request whose stream opens now.
    pub(super) fn open(&self, request: &Parts) -> Open {
        let short = |text: &str| text.chars().take(MAX_TEXT).collect::<String>();
        let last = request.headers.get("last-event-id");
        let asked = Arc::new(Asked {
            at: unix_millis(SystemTime::now()),
            method: short(request.method.as_str()),
            target: short(&request.uri.to_string()),
            last_event_id: last.map(|id| short(&String::from_utf8_lossy(id.as_bytes()))),
        });
        let mut requests = self.lock();
        if requests.len() >= KEEP {
            // Those that are open stay, and connections are limited.
            if let Some(oldest) = requests.iter().position(|asked| !is_open(asked)) {
                requests.remove(oldest);
            }
        }
        requests.push_back(asked.clone());
        Open { _asked: asked }
    }

    /// How many streams are open.
    #[cfg(test)]
    pub(super) fn streams(&self) -> usize {
        self.lock().iter().filter(|asked| is_open(asked)).count()
    }

    pub(super) fn to_json(&self) -> Vec<Value> {
        let requests = self.lock();
        let told = requests.iter().map(|asked| {
            json!({
                "at": asked.at,
                "method": asked.method,
                "target": asked.target,
                "last_event_id": asked.last_event_id,
                "open": is_open(asked),
            })
        });
        told.collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Asked>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The list holds one, an open stream the other.
fn is_open(asked: &Arc<Asked>) -> bool {
    Arc::strong_count(asked) > 1
}

pub(super) fn unix_millis(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

const KEEP: usize = 16;
const MAX_TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> Parts {
        let request = http::Request::get(target).header("last-event-id", "57");
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn old_requests_are_forgotten_unless_their_stream_is_open() {
        let seen = Seen::default();
        let first = seen.open(&request("/news?x"));
        for _ in 0..2 * KEEP {
            seen.open(&request("/clock"));
        }
        let told = seen.to_json();
        assert_eq!((told.len(), seen.streams()), (KEEP, 1));
        assert_eq!(told[0]["target"], "/news?x");
        assert_eq!(told[0]["last_event_id"], "57");
        assert_eq!(told[0]["open"], true);
        assert_eq!(told[1]["open"], false);
        drop(first);
        assert_eq!(seen.streams(), 0);
    }

    #[test]
    fn long_requests_are_cut_short() {
        let seen = Seen::default();
        seen.open(&request(&format!("/{}", "x".repeat(MAX_TEXT))));
        let target = seen.to_json()[0]["target"].as_str().map(str::len);
        assert_eq!(target, Some(MAX_TEXT));
    }
}
