//! What goes wrong seldom: requests that are dropped at a bad moment, services that never wait, histories that have nothing left.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_sse::history::seam::{Appended, Draft, Keep, Log, Logs, MemoryLog, Reserved, Seal};
use tower_sse::history::{History, MemoryHistory};
use tower_sse::relay::{Key, OnFull, RelayLayer, SlowClient};
use tower_sse::wire::Epoch;

use crate::client::{Client, app, get, numbers, send};
use crate::upstream::upstream;

const LONG: Duration = Duration::from_secs(3600);

/// Always has another chunk.
struct Endless(Bytes, u64);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.1 += 1;
        assert!(self.1 < 10_000, "nobody else is let run");
        Poll::Ready(Some(Ok(Frame::data(self.0.clone()))))
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_never_waits_lets_others_run() {
    let event = Bytes::from(format!("data: {}\n\n", "x".repeat(70_000)));
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        let body = Endless(event.clone(), 0);
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
    });
    let service = RelayLayer::shared(Key::default()).layer(service);
    let request = get("/").body(Full::default()).unwrap();
    let answer = service.oneshot(request).await.unwrap();
    let mut body = answer.into_body();
    for _ in 0..10 {
        let frame = timeout(LONG, body.frame()).await.unwrap();
        assert!(frame.is_some(), "it was never let read");
    }
}

#[test]
fn a_runtime_that_stops_leaves_no_relay_behind() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default());
    let app = app(&layer, &fake);
    let first = runtime();
    // Polled once: the relay's task was made, and never ran.
    let mut asking = Box::pin(app.clone().oneshot(get("/").body(Full::default()).unwrap()));
    first.block_on(poll_fn(|cx| {
        assert!(asking.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    }));
    drop(first);
    drop(asking);
    assert!(layer.relays().is_empty());
    runtime().block_on(async {
        let waiting = send(&app, get("/"), "");
        let call = timeout(LONG, calls.recv()).await.expect("a request");
        call.unwrap().open().events([1], false).await;
        assert_eq!(waiting.client().await.text().await, "1");
    });
}

/// A history that is somewhere else: to append takes its time.
struct Remote(MemoryHistory);
struct RemoteLog(MemoryLog);

impl History for Remote {}

impl Logs for Remote {
    type Log = RemoteLog;

    fn open(&self, epoch: Epoch, seal: Seal, behind: Option<Bytes>) -> RemoteLog {
        RemoteLog(self.0.open(epoch, seal, behind))
    }

    fn reserve(&self, bytes: usize) -> Option<Reserved> {
        self.0.reserve(bytes)
    }
}

impl Log for RemoteLog {
    fn replica(&self) -> &MemoryLog {
        &self.0
    }

    async fn append(&self, events: Vec<Draft>, now: Instant) -> Appended {
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.0.append(events, now).await
    }

    async fn append_within(
        &self,
        events: &mut VecDeque<Draft>,
        keep: Keep,
        now: Instant,
    ) -> Appended {
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.0.append_within(events, keep, now).await
    }

    fn close(&self) {
        self.0.close();
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_given_once_a_history_has_them_that_takes_its_time() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared_in(Key::default(), Remote(MemoryHistory::new()));
    let mut app = layer.layer(fake);
    let asking = tokio::spawn(app.call(get("/").body(Full::default()).unwrap()));
    let call = timeout(LONG, calls.recv()).await.expect("a request");
    call.unwrap().open().events(1..=3, true).await;
    let mut body = asking.await.unwrap().unwrap().into_body();
    let frame = timeout(LONG, body.frame()).await.unwrap().unwrap().unwrap();
    let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    assert!(text.ends_with(".3\ndata: 3\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn comments_that_went_are_no_gap() {
    for policy in [SlowClient::Disconnect, SlowClient::Skip] {
        let (fake, mut calls) = upstream();
        let layer = RelayLayer::shared_in(Key::default(), MemoryHistory::new().with_events(3))
            .with_slow_client(policy);
        let app = app(&layer, &fake);
        let waiting = send(&app, get("/"), "");
        let stream = calls.recv().await.unwrap().open();
        let mut client = waiting.client().await;
        stream.events([1], false).await;
        assert_eq!(client.text().await, "1");
        let last_id = client.last_id.clone();
        for _ in 0..10 {
            stream.send(": still there\n\n").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let known = layer.relays()[0].last_id.clone().unwrap();
        assert_eq!(known.as_bytes(), last_id.as_bytes(), "a comment has no id");
        stream.events([2], false).await;
        assert_eq!(client.text().await, "2", "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_finished_stream_has_not_any_more_is_told() {
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_age(Duration::from_secs(10));
    let layer = RelayLayer::resumable_in(history).with_on_full(OnFull::Drop);
    let app = app(&layer, &fake);
    let request = || Request::post("/tokens");
    let waiting = send(&app, request(), "prompt");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.events([1], false).await;
    assert_eq!(client.text().await, "1");
    let id = client.last_id.clone();
    drop(client);
    stream.events(2..=3, false).await;
    drop(stream);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let waiting = send(&app, request().header("last-event-id", &id), "prompt");
    let mut back = Client::of(waiting.answer().await);
    assert_eq!(back.texts(2).await, ["stream-gap:2", "(end)"]);
    // It is told once.
    let again = request().header("last-event-id", &back.last_id);
    assert_eq!(send(&app, again, "prompt").answer().await.status(), 204);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_cannot_be_sent_upstream_is_as_none() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default());
    let app = app(&layer, &fake);
    let waiting = send(&app, get("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.send("id: a\u{1}b\ndata: 1\n\n").await;
    stream.fail().await;
    let call = calls.recv().await.unwrap();
    assert_eq!(call.last_event_id(), None);
    call.open().events([2], false).await;
    assert_eq!(client.texts(3).await, ["1", "stream-gap:null", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_query_parameter_of_a_key_has_one_name_however_it_is_written() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared("path, query:room".parse().unwrap());
    let app = app(&layer, &fake);
    // The upstream reads it as `room`, so what it sends is not for those who named none.
    let _other = send(&app, get("/events?ro%6fm=other"), "");
    let _stream = calls.recv().await.unwrap().open();
    let _none = send(&app, get("/events"), "");
    let call = timeout(LONG, calls.recv()).await.expect("its own request");
    assert_eq!(call.unwrap().request.uri(), "/events");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_was_stable_is_asked_again_soon() {
    let (fake, mut calls) = upstream();
    // The client reads at the end alone, and is told of each gap then.
    let layer = RelayLayer::shared_in(Key::default(), MemoryHistory::new().with_age(LONG))
        .with_give_up(LONG);
    let app = app(&layer, &fake);
    let waiting = send(&app, get("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.fail().await;
    // Up to 30 s a wait by now.
    for _ in 0..10 {
        drop(calls.recv().await.unwrap().answer(502, &[]));
    }
    for _ in 0..20 {
        let stream = calls.recv().await.unwrap().open();
        tokio::time::sleep(Duration::from_secs(11)).await;
        let lost = Instant::now();
        stream.fail().await;
        let call = calls.recv().await.unwrap();
        assert!(lost.elapsed() <= Duration::from_secs(1));
        call.open().fail().await;
        let second = calls.recv().await.unwrap();
        assert!(lost.elapsed() <= Duration::from_secs(3));
        drop(second.answer(502, &[]));
    }
    let stream = calls.recv().await.unwrap().open();
    stream.events(1..=2, false).await;
    let mut texts = Vec::new();
    while texts.len() < 2 {
        let text = client.text().await;
        texts.extend((!text.starts_with("stream-gap")).then_some(text));
    }
    assert_eq!(texts, numbers(1..=2));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_an_answer_is_told_before_its_stream_ends() {
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_events(10);
    let layer = RelayLayer::resumable_in(history).with_on_full(OnFull::Drop);
    let app = app(&layer, &fake);
    let request = || Request::post("/tokens");
    let waiting = send(&app, request(), "prompt");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.events([1], false).await;
    assert_eq!(client.text().await, "1");
    stream.events(2..=500, false).await;
    // It has stopped.
    tokio::time::sleep(Duration::from_secs(31)).await;
    // `fetch` takes a clean end for the end of the answer.
    assert_eq!(client.texts(2).await, ["stream-gap:489", "(end)"]);
    let again = request().header("last-event-id", &client.last_id);
    let mut back = send(&app, again, "prompt").client().await;
    assert_eq!(back.texts(10).await, numbers(491..=500));
}
