//! An upstream that numbers its events, and goes on behind an id that it is asked for.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::watch;

use crate::answers::Answers;

/// Between two events.
const PACE: Duration = Duration::from_millis(5);

#[derive(Clone)]
pub(crate) struct Upstream {
    last: watch::Receiver<u64>,
    kind: Arc<Mutex<Kind>>,
    counts: Arc<Counts>,
    pub(crate) answers: Answers,
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Events with ids, behind the one that is asked for.
    Numbered,
    /// Events without ids, from now on.
    WithoutIds,
    /// For who asks alone.
    Private,
    /// So many numbered events from the first on, and then the end.
    Finite(u64),
    /// So many, and then nothing.
    Silent(u64),
    NotFound,
}

#[derive(Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl Upstream {
    /// Counts on for as long as anybody has it.
    pub(crate) fn begin() -> Self {
        let (sender, last) = watch::channel(0);
        tokio::spawn(async move {
            while !sender.is_closed() {
                sender.send_modify(|last| *last += 1);
                tokio::time::sleep(PACE).await;
            }
        });
        Upstream {
            last,
            kind: Arc::new(Mutex::new(Kind::Numbered)),
            counts: Arc::default(),
            answers: Answers::default(),
        }
    }

    pub(crate) fn sends(&self, kind: Kind) {
        *self.kind.lock().unwrap() = kind;
    }

    /// How many connections there were at a time, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.counts.most.load(Ordering::Relaxed)
    }

    /// How many connections there are.
    pub(crate) fn open(&self) -> usize {
        self.counts.now.load(Ordering::Relaxed)
    }

    pub(crate) fn asked(&self) -> usize {
        self.counts.all.load(Ordering::Relaxed)
    }

    pub(crate) fn answer(&self, request: &HeaderMap) -> Response<Body> {
        let kind = *self.kind.lock().unwrap();
        let asked = request
            .get("last-event-id")
            .filter(|_| kind != Kind::WithoutIds);
        let asked = asked.and_then(|id| id.to_str().ok()?.parse().ok());
        let last = self.last.clone();
        let from: u64 = asked.unwrap_or_else(|| match kind {
            Kind::Finite(_) | Kind::Silent(_) => 0,
            _ => *last.borrow(),
        });
        let open = Open::new(self.counts.clone());
        if kind == Kind::NotFound {
            let response = Response::builder().status(404);
            return response.body(Body::empty()).unwrap();
        }
        let events = stream::unfold(
            (from, last, open),
            move |(from, mut last, open)| async move {
                let _ = last.wait_for(|last| *last > from).await.ok()?;
                let next = from + 1;
                if matches!(kind, Kind::Finite(end) if next > end) {
                    return None;
                }
                if matches!(kind, Kind::Silent(last) if next > last) {
                    std::future::pending::<()>().await;
                }
                let event = match kind {
                    Kind::WithoutIds => format!("data: {next}\n\n"),
                    _ => format!("id: {next}\ndata: {next}\n\n"),
                };
                let event = Bytes::from(event);
                Some((Ok::<_, Infallible>(event), (next, last, open)))
            },
        );
        Response::builder()
            .header("content-type", "text/event-stream")
            .header("x-upstream", "1")
            .header(
                "cache-control",
                match kind {
                    Kind::Private => "private",
                    _ => "no-cache",
                },
            )
            .body(Body::from_stream(events))
            .unwrap()
    }
}

struct Open(Arc<Counts>);

impl Open {
    fn new(counts: Arc<Counts>) -> Self {
        let now = counts.now.fetch_add(1, Ordering::Relaxed) + 1;
        counts.most.fetch_max(now, Ordering::Relaxed);
        counts.all.fetch_add(1, Ordering::Relaxed);
        Open(counts)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}
