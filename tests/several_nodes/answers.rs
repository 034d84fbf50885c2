//! An upstream whose answers are each one client's: so many numbers from the first on, and then the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::time::sleep;

/// Between two events.
const PACE: Duration = Duration::from_millis(5);

#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<Counts>);

#[derive(Default)]
struct Counts {
    events: AtomicU64,
    /// Milliseconds behind the last event, before the end.
    rest: AtomicU64,
    gets: AtomicUsize,
    posts: AtomicUsize,
}

impl Answers {
    /// How long they are. Until then there are none.
    pub(crate) fn have(&self, events: u64) {
        self.0.events.store(events, Ordering::Relaxed);
    }

    pub(crate) fn rest_before_the_end(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.0.rest.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn gets(&self) -> usize {
        self.0.gets.load(Ordering::Relaxed)
    }

    pub(crate) fn posts(&self) -> usize {
        self.0.posts.load(Ordering::Relaxed)
    }

    /// With ids to a GET, which goes on behind one; without any to a POST.
    pub(crate) fn answer(&self, method: &Method, request: &HeaderMap) -> Response<Body> {
        let is_post = method == Method::POST;
        match is_post {
            true => &self.0.posts,
            false => &self.0.gets,
        }
        .fetch_add(1, Ordering::Relaxed);
        let asked = request.get("last-event-id");
        let from: u64 = asked
            .and_then(|id| id.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        let until = self.0.events.load(Ordering::Relaxed);
        if until == 0 {
            let response = Response::builder().status(404);
            return response.body(Body::empty()).unwrap();
        }
        let rest = Duration::from_millis(self.0.rest.load(Ordering::Relaxed));
        let events = stream::unfold(from, move |from| async move {
            if from >= until {
                sleep(rest).await;
                return None;
            }
            sleep(PACE).await;
            let next = from + 1;
            let event = match is_post {
                true => format!("data: {next}\n\n"),
                false => format!("id: {next}\ndata: {next}\n\n"),
            };
            Some((Ok::<_, Infallible>(Bytes::from(event)), next))
        });
        Response::builder()
            .header("content-type", "text/event-stream")
            .header("x-upstream", "1")
            .body(Body::from_stream(events))
            .unwrap()
    }
}
