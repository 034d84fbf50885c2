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
use crate::log::{time_value, trace};
use crate::otel::RequestSpan;
use crate::policy::limits::{Held, Permit};
use crate::proxy::upstreams::AnsweredBy;

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
    /// What limits count as long as it is open.
    _held: Option<Held>,
}

/// Who asked for a stream.
#[derive(Debug)]
struct Client {
    of: Arc<OfRoute>,
    address: Option<ClientAddress>,
    method: Method,
    path: Option<ShownPath>,
    trace: Option<Box<str>>,
    span: Option<RequestSpan>,
    permit: Option<Permit>,
}

impl Client {
    fn path(&self) -> Option<&str> {
        self.path.as_ref().map(|path| &*path.0)
    }
}

/// What the streams of a route have in common.
#[derive(Debug)]
struct OfRoute {
    streams: Streams,
    route: Box<str>,
    /// That an encoded stream passed; it is told once a route.
    has_told: AtomicBool,
}

impl Streams {
    /// The stage that enters the streams of a route.
    pub(crate) fn stage(&self, route: &str) -> StreamLog {
        StreamLog {
            of: Arc::new(OfRoute {
                streams: self.clone(),
                route: route.into(),
                has_told: AtomicBool::new(false),
            }),
            stream: Stream::None,
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
            "route": &*self.client.of.route,
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
    of: Arc<OfRoute>,
    stream: Stream,
}

/// Boxed and shared: each stream has one for as long as it is open.
#[derive(Debug)]
enum Stream {
    None,
    Asked(Box<Client>),
    Open(u64, Arc<Entry>),
}

impl Clone for StreamLog {
    /// For another stream of the route.
    fn clone(&self) -> Self {
        StreamLog {
            of: self.of.clone(),
            stream: Stream::None,
        }
    }
}

impl Stage for StreamLog {
    fn on_request(&mut self, request: &request::Parts, _: &Times) {
        self.stream = Stream::Asked(Box::new(Client {
            of: self.of.clone(),
            address: request.extensions.get().copied(),
            method: request.method.clone(),
            path: request.extensions.get().cloned(),
            trace: trace::id(&request.headers).map(Into::into),
            span: RequestSpan::of(&request.extensions),
            permit: request.extensions.get().cloned(),
        }));
    }

    fn on_response(&mut self, response: &mut response::Parts, _: &Times, _: &mut Outbox) {
        let Stream::Asked(client) = std::mem::replace(&mut self.stream, Stream::None) else {
            return;
        };
        let mut client = *client;
        if let Some(span) = &client.span {
            span.opened();
        }
        let held = client.permit.take().and_then(|permit| permit.take());
        tracing::info!(
            route = &*client.of.route,
            client = client.address.map(tracing::field::display),
            method = %client.method,
            path = client.path(),
            upstream = response.extensions.get().map(|by: &AnsweredBy| &*by.0),
            trace = client.trace.as_deref(),
            "stream opened"
        );
        let streams = &self.of.streams;
        let number = streams.shared.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(Entry {
            client,
            opened: SystemTime::now(),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            _held: held,
        });
        streams.open().insert(number, entry.clone());
        self.stream = Stream::Open(number, entry);
    }

    fn on_bypass(&mut self, response: &response::Parts, why: Bypass, _: &Times) {
        if why != Bypass::Encoded || self.of.has_told.swap(true, Ordering::Relaxed) {
            return;
        }
        let coding = response.headers.get(header::CONTENT_ENCODING);
        tracing::warn!(
            route = &*self.of.route,
            coding = coding.and_then(|value| value.to_str().ok()),
            "event streams pass untouched: the upstream encodes them, though it was not asked to"
        );
    }

    /// It looks at counts alone.
    fn passes(&self) -> bool {
        true
    }

    fn on_sent(&mut self, times: &Times) {
        if let Stream::Open(_, entry) = &self.stream {
            if let Some(span) = &entry.client.span {
                if times.counts.events > 0 && entry.events.load(Ordering::Relaxed) == 0 {
                    span.first_event();
                }
            }
            entry.events.store(times.counts.events, Ordering::Relaxed);
            entry
                .bytes
                .store(times.counts.event_bytes, Ordering::Relaxed);
        }
    }

    fn on_end(&mut self, end: End, times: &Times) {
        let Stream::Open(number, entry) = std::mem::replace(&mut self.stream, Stream::None) else {
            return;
        };
        {
            let mut open = self.of.streams.open();
            open.remove(&number);
            if open.is_empty() {
                open.shrink_to_fit();
            }
        }
        if let Some(span) = &entry.client.span {
            span.closed(end, &times.counts);
        }
        tracing::info!(
            route = &*entry.client.of.route,
            client = entry.client.address.map(tracing::field::display),
            duration = time_value(times.now.max(times.opened) - times.opened),
            events = times.counts.events,
            bytes = times.counts.event_bytes,
            reason = end.as_str(),
            trace = entry.client.trace.as_deref(),
            "stream closed"
        );
    }
}
