//! The streams that are open: a line in the log at both ends, and a list to look at.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::{Method, header, request, response};
use serde_json::{Value, json};
use tower_sse::stage::{Bypass, End, Outbox, Stage, Times};

use crate::client::address::ClientAddress;
use crate::log::shown_path::ShownPath;
use crate::log::time_value;

/// The streams that are open now. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    last_number: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    client: Client,
    opened: SystemTime,
    events: AtomicU64,
    bytes: AtomicU64,
}

/// Who asked for a stream.
#[derive(Clone, Debug)]
struct Client {
    route: Arc<str>,
    address: Option<ClientAddress>,
    method: Method,
    path: Option<ShownPath>,
}

impl Client {
    fn path(&self) -> Option<&str> {
        self.path.as_ref().map(|path| &*path.0)
    }
}

impl Streams {
    /// The stage that enters the streams of a route.
    pub(crate) fn stage(&self, route: &str) -> StreamLog {
        StreamLog {
            streams: self.clone(),
            route: route.into(),
            has_told: Arc::default(),
            client: None,
            open: None,
        }
    }

    /// All that are open, the oldest first.
    pub(crate) fn to_json(&self) -> Vec<Value> {
        let mut open: Vec<(u64, Arc<Entry>)> = self
            .open()
            .iter()
            .map(|(number, entry)| (*number, entry.clone()))
            .collect();
        open.sort_by_key(|(number, _)| *number);
        let now = SystemTime::now();
        open.iter()
            .map(|(number, entry)| entry.to_json(*number, now))
            .collect()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        // An entry is put in or taken out in one step, so a panic elsewhere leaves nothing half done.
        self.shared
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn to_json(&self, number: u64, now: SystemTime) -> Value {
        let age = now.duration_since(self.opened).unwrap_or_default();
        json!({
            "number": number,
            "route": &*self.client.route,
            "client": self.client.address.map(|address| address.to_string()),
            "method": self.client.method.as_str(),
            "path": self.client.path(),
            "opened": humantime::format_rfc3339_seconds(self.opened).to_string(),
            "seconds": age.as_secs_f64(),
            "events": self.events.load(Ordering::Relaxed),
            "bytes": self.bytes.load(Ordering::Relaxed),
        })
    }
}

/// A stage that enters its stream in [`Streams`] and in the log.
#[derive(Debug)]
pub(crate) struct StreamLog {
    streams: Streams,
    route: Arc<str>,
    /// That an encoded stream passed; it is told once a route.
    has_told: Arc<AtomicBool>,
    client: Option<Client>,
    open: Option<(u64, Arc<Entry>)>,
}

impl Clone for StreamLog {
    /// For another stream of the route.
    fn clone(&self) -> Self {
        StreamLog {
            streams: self.streams.clone(),
            route: self.route.clone(),
            has_told: self.has_told.clone(),
            client: None,
            open: None,
        }
    }
}

impl Stage for StreamLog {
    fn on_request(&mut self, request: &request::Parts, _: &Times) {
        self.client = Some(Client {
            route: self.route.clone(),
            address: request.extensions.get().copied(),
            method: request.method.clone(),
            path: request.extensions.get().cloned(),
        });
    }

    fn on_response(&mut self, _: &mut response::Parts, _: &Times, _: &mut Outbox) {
        let Some(client) = self.client.take() else {
            return;
        };
        tracing::info!(
            route = &*client.route,
            client = client.address.map(tracing::field::display),
            method = %client.method,
            path = client.path(),
            "stream opened"
        );
        let number = self
            .streams
            .shared
            .last_number
            .fetch_add(1, Ordering::Relaxed)
            + 1;
        let entry = Arc::new(Entry {
            client,
            opened: SystemTime::now(),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        self.streams.open().insert(number, entry.clone());
        self.open = Some((number, entry));
    }

    fn on_bypass(&mut self, response: &response::Parts, why: Bypass, _: &Times) {
        if why != Bypass::Encoded || self.has_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let coding = response.headers.get(header::CONTENT_ENCODING);
        tracing::warn!(
            route = &*self.route,
            coding = coding.and_then(|value| value.to_str().ok()),
            "event streams pass untouched: the upstream encodes them, though it was not asked to"
        );
    }

    fn on_sent(&mut self, times: &Times) {
        if let Some((_, entry)) = &self.open {
            entry.events.store(times.counts.events, Ordering::Relaxed);
            entry
                .bytes
                .store(times.counts.event_bytes, Ordering::Relaxed);
        }
    }

    fn on_end(&mut self, end: End, times: &Times) {
        let Some((number, entry)) = self.open.take() else {
            return;
        };
        {
            let mut open = self.streams.open();
            open.remove(&number);
            if open.is_empty() {
                open.shrink_to_fit();
            }
        }
        tracing::info!(
            route = &*entry.client.route,
            client = entry.client.address.map(tracing::field::display),
            duration = time_value(times.now.max(times.opened) - times.opened),
            events = times.counts.events,
            bytes = times.counts.event_bytes,
            reason = end.as_str(),
            "stream closed"
        );
    }
}
