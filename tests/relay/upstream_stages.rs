//! What the stages of the upstream's stream see and do, once for all clients.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{request, response};
use tokio::time::Instant;
use tower_sse::relay::{Key, RelayLayer};
use tower_sse::stage::{Bypass, Drain, DrainHandle, End, IdleTimeout, Outbox, Stage, Times};
use tower_sse::wire::{Event, LargeEvent};

use crate::client::{app, get, send};
use crate::upstream::upstream;

/// Notes what happens, drops events of the type `debug`, and writes needless words.
#[derive(Clone, Default)]
struct Probe(Arc<Mutex<Vec<String>>>);

impl Probe {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Stage for Probe {
    fn on_request(&mut self, request: &request::Parts, _: &Times) {
        let id = request.headers.get("last-event-id");
        self.note(format!("request {:?}", id.map(|id| id.to_str().unwrap())));
    }

    fn on_response(&mut self, _: &mut response::Parts, _: &Times, out: &mut Outbox) {
        self.note("response");
        out.comment("words");
    }

    fn on_bypass(&mut self, _: &response::Parts, _: Bypass, _: &Times) {
        self.note("bypass");
    }

    fn on_event(&mut self, event: Event, times: &Times) -> Option<Event> {
        self.note(format!("event {}", times.counts.events));
        (event.event_type() != b"debug").then_some(event)
    }

    fn on_large_event(&mut self, event: &LargeEvent, _: &Times) {
        self.note(format!("large event {:?}", event.id()));
    }

    fn on_sent(&mut self, _: &Times) {
        self.note("sent");
    }

    fn deadline(&self, times: &Times) -> Option<Instant> {
        times.sent.checked_add(Duration::from_secs(15))
    }

    fn on_deadline(&mut self, _: &Times, out: &mut Outbox) {
        out.comment("needless");
    }

    fn on_end(&mut self, end: End, _: &Times) {
        self.note(format!("end {end}"));
    }
}

#[tokio::test(start_paused = true)]
async fn they_see_each_stream_of_the_upstream_and_may_drop_events() {
    let probe = Probe::default();
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default())
        .with_max_event_bytes(100)
        .with_upstream_stages(probe.clone());
    let app = app(&layer, &fake);
    let one = send(&app, get("/events"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut one = one.client().await;
    let mut other = send(&app, get("/events"), "").client().await;
    stream
        .send("id: 1\ndata: 1\n\nevent: debug\ndata: x\n\nid: 2\ndata: 2\n\n")
        .await;
    for client in [&mut one, &mut other] {
        assert_eq!(client.texts(2).await, ["1", "2"]);
    }
    let opened = [
        "request None",
        "response",
        "event 1",
        "event 2",
        "event 3",
        "sent",
    ];
    assert_eq!(probe.take(), opened, "once for both");

    stream
        .send(format!("id: 2\ndata: {}\n\n", "x".repeat(200)))
        .await;
    for client in [&mut one, &mut other] {
        assert_eq!(client.text().await, "stream-gap:1");
    }
    assert_eq!(probe.take(), ["large event Some([50])", "sent"]);

    stream.fail().await;
    let again = calls.recv().await.unwrap();
    assert_eq!(probe.take(), ["end upstream_error", "request Some(\"2\")"]);
    drop(again.answer(503, &[]));
    let again = calls.recv().await.unwrap().open();
    again.events([3], true).await;
    assert_eq!(one.text().await, "3");
    let seen = probe.take();
    assert_eq!(seen[..3], ["bypass", "request Some(\"2\")", "response"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(one.is_silent().await, "what they write is for nobody");
    drop((one, other));
    again.cancelled().await;
    assert_eq!(probe.take().last().unwrap(), "end client");
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_the_stream_has_the_upstream_asked_again() {
    for resumable in [false, true] {
        let idle = IdleTimeout::after(Duration::from_secs(10));
        let layer = match resumable {
            false => RelayLayer::shared(Key::default()),
            true => RelayLayer::resumable(),
        };
        let (fake, mut calls) = upstream();
        let app = app(&layer.with_upstream_stages(idle), &fake);
        let client = send(&app, get("/events"), "");
        let stream = calls.recv().await.unwrap().open();
        let mut client = client.client().await;
        let began = Instant::now();
        stream.events([1], true).await;
        assert_eq!(client.text().await, "1");
        tokio::time::sleep(Duration::from_secs(5)).await;
        stream.send(": still there\n").await;
        let call = calls.recv().await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(15));
        assert!(stream.is_cancelled());
        assert_eq!(call.last_event_id(), Some("1"));
        let stream = call.open();
        stream.events([2], true).await;
        assert_eq!(client.text().await, "2", "its client stays");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_woken_acts_at_once() {
    let handle = DrainHandle::new();
    let drain = Drain::on(&handle).with_window(Duration::from_millis(1));
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default()).with_upstream_stages(drain);
    let app = app(&layer, &fake);
    let client = send(&app, get("/events"), "");
    let stream = calls.recv().await.unwrap().open();
    let _client = client.client().await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    handle.start();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(stream.is_cancelled());
}
