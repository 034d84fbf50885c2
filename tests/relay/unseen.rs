//! Events of a relay pass the stages of each client unseen, if these let them, and nobody can tell.

use std::convert::Infallible;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep_until};
use tower::util::MapResponse;
use tower::{Layer, Service, ServiceExt};
use tower_sse::EventLayer;
use tower_sse::relay::{CleanEnd, Key, RelayBody, RelayLayer};
use tower_sse::stage::{Heartbeat, IdleTimeout, Retry, Stage, Times};
use tower_sse::wire::Event;

use crate::client::get;
use crate::upstream::{FakeBody, upstream};

/// Notes what it is told, and passes events unseen or not.
#[derive(Clone, Default)]
struct Probe {
    passes: bool,
    told: Arc<Mutex<Vec<String>>>,
}

impl Probe {
    fn passing() -> Self {
        Probe {
            passes: true,
            ..Probe::default()
        }
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn note(&self, what: String) {
        self.told.lock().unwrap().push(what);
    }
}

impl Stage for Probe {
    fn passes(&self) -> bool {
        self.passes
    }

    fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
        if event.has_data() {
            self.note("event".into());
        }
        Some(event)
    }

    fn on_passed(&mut self, events: u64, _: &Times) {
        self.note(format!("passed {events}"));
    }

    fn on_sent(&mut self, times: &Times) {
        let counts = times.counts;
        self.note(format!("sent {} of {}", counts.events, counts.event_bytes));
    }
}

/// What a client reads, each piece with the second at which it came.
async fn read<B>(body: B, start: Instant) -> Vec<(u64, Bytes)>
where
    B: Body<Data = Bytes, Error: Debug>,
{
    let mut body = pin!(body);
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        pieces.push(((Instant::now() - start).as_secs(), data));
    }
    pieces
}

async fn ask<S, B>(service: S) -> B
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let request = get("/").body(Full::default()).unwrap();
    let Ok(answer) = service.oneshot(request).await;
    answer.into_body()
}

fn layer(probe: &Probe) -> EventLayer<(Probe, Retry, IdleTimeout, Heartbeat)> {
    EventLayer::new((
        probe.clone(),
        Retry::after(Duration::from_secs(3)),
        IdleTimeout::after(Duration::from_secs(60)),
        Heartbeat::every(Duration::from_secs(15)),
    ))
}

#[tokio::test(start_paused = true)]
async fn what_is_whole_is_not_taken_apart_for_each_client() {
    let start = Instant::now();
    let (fake, mut calls) = upstream();
    let relay = RelayLayer::shared(Key::default()).with_clean_end(CleanEnd::Finished);
    let relay = relay.layer(fake);
    // A body in between that gives the same as other bytes.
    let copying = MapResponse::new(relay.clone(), |answer: Response<RelayBody<FakeBody>>| {
        let copy = |data: Bytes| Bytes::copy_from_slice(&data);
        answer.map(|body| body.map_frame(move |frame| frame.map_data(copy)))
    });

    let probes = [Probe::passing(), Probe::default(), Probe::passing()];
    let first = tokio::spawn(ask(layer(&probes[0]).layer(relay.clone())));
    let stream = calls.recv().await.unwrap().open();
    let first = tokio::spawn(read(first.await.unwrap(), start));
    let looking = tokio::spawn(read(ask(layer(&probes[1]).layer(relay)).await, start));
    let copied = tokio::spawn(read(ask(layer(&probes[2]).layer(copying)).await, start));

    for (second, chunk) in [
        (1, "data: a\n\n"),
        (2, "data: b\n\n"),
        (3, "data: c\n\nid: 7\ndata: d\n\n"),
        (4, ": comment\n\n"),
        (5, "data: e\n\n"),
        (6, "data: f\r\n\r\n"),
        (40, "data: g\n\n"),
    ] {
        sleep_until(start + Duration::from_secs(second)).await;
        stream.send(chunk).await;
    }
    sleep_until(start + Duration::from_secs(41)).await;
    drop(stream);

    let read = first.await.unwrap();
    assert_eq!(read, looking.await.unwrap());
    assert_eq!(read, copied.await.unwrap());
    let seconds: Vec<u64> = read.iter().map(|(second, _)| *second).collect();
    assert_eq!(seconds, [1, 2, 3, 4, 5, 6, 21, 36, 40]);
    let [passing, looking, copied] = probes.map(|probe| probe.told());
    assert_eq!(
        calls_of(&passing),
        [
            // The reconnection time stands in front of it.
            "event", "passed 1", "passed 2",
            // Behind the comment an event is looked for in it.
            "event", "passed 1", "passed 1"
        ]
    );
    assert_eq!(calls_of(&looking), ["event"; 7]);
    // It is decoded, and several may pass at once. What ends behind a comment is looked at.
    let decoded = [
        "event", "passed 1", "passed 2", "event", "passed 1", "passed 1",
    ];
    assert_eq!(calls_of(&copied), decoded);
    let sent = |told: &[String]| -> Vec<String> {
        let sent = told.iter().filter(|line| line.starts_with("sent"));
        sent.cloned().collect()
    };
    assert_eq!(sent(&passing), sent(&looking));
    assert_eq!(sent(&copied), sent(&looking));
}

fn calls_of(told: &[String]) -> Vec<&str> {
    let calls = told.iter().filter(|line| !line.starts_with("sent"));
    calls.map(String::as_str).collect()
}
