//! One upstream request for many clients.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body::Body;
use tower_sse::relay::{Key, OnLeave, RelayLayer, Start, UpstreamState};

use crate::client::{Client, app, get, numbers, send};
use crate::upstream::upstream;

#[tokio::test(start_paused = true)]
async fn a_thousand_joins_make_one_request_and_all_see_the_same() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default());
    let app = app(&layer, &fake);
    let waiting: Vec<_> = (0..1000).map(|_| send(&app, get("/clock"), "")).collect();
    let stream = calls.recv().await.unwrap().open();
    let mut clients = Vec::new();
    let mut cookies = 0;
    for waiting in waiting {
        let answer = waiting.answer().await;
        assert_eq!(answer.headers()["x-upstream"], "1");
        cookies += usize::from(answer.headers().contains_key("set-cookie"));
        clients.push(Client::of(answer));
    }
    assert_eq!(cookies, 1, "it is for who asked");
    assert_eq!(layer.relays()[0].clients, 1000);
    assert_eq!(layer.relays()[0].upstream, UpstreamState::Connected);
    stream.send("data: 1\n\nda").await;
    stream.send("ta: 2\n\n").await;
    for client in &mut clients {
        assert_eq!(client.texts(2).await, ["1", "2"]);
    }
    assert!(calls.try_recv().is_err(), "one request was made");

    // Ten seconds after the last has left, the upstream's stream is closed and nothing is left.
    let last = clients.pop();
    drop(clients);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!stream.is_cancelled());
    drop(last);
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!stream.is_cancelled());
    stream.cancelled().await;
    tokio::task::yield_now().await;
    assert!(layer.relays().is_empty());
    assert_eq!((layer.history().bytes(), layer.history().logs()), (0, 0));
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(tasks, 0, "no task is left");
}

#[tokio::test(start_paused = true)]
async fn other_credentials_make_another_request() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let mut streams = Vec::new();
    let mut clients = Vec::new();
    for (name, value) in [
        ("x", "x"),
        ("cookie", "a"),
        ("cookie", "b"),
        ("authorization", "a"),
    ] {
        let waiting = send(&app, get("/").header(name, value), "");
        streams.push(calls.recv().await.unwrap().open());
        clients.push(waiting.client().await);
    }
    for (number, stream) in streams.iter().enumerate() {
        stream.events([number as u64], false).await;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.text().await, number.to_string());
        assert!(client.is_silent().await);
    }
}

#[tokio::test(start_paused = true)]
async fn who_left_and_comes_back_gets_what_it_missed_once_and_in_order() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let waiting = send(&app, get("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut there = waiting.client().await;
    let mut client = send(&app, get("/"), "").client().await;
    stream.events(1..=5, false).await;
    assert_eq!(client.texts(5).await, numbers(1..=5));
    let id = client.last_id.clone();
    drop(client);
    stream.events(6..=9, false).await;
    assert_eq!(there.texts(9).await, numbers(1..=9));
    let header = get("/").header("last-event-id", &id);
    let query = get(&format!("/?lastEventId={id}"));
    for request in [header, query] {
        let mut client = send(&app, request, "").client().await;
        assert_eq!(client.texts(4).await, numbers(6..=9));
        assert!(client.is_silent().await);
    }
    let mut fresh = send(&app, get("/"), "").client().await;
    stream.events([10], false).await;
    assert_eq!(fresh.text().await, "10");

    for id in ["guessed", "ts000-7", &"x".repeat(5_000), "\u{e9}"] {
        let request = get("/").header("last-event-id", id.as_bytes());
        let mut client = send(&app, request, "").client().await;
        assert_eq!(client.text().await, "stream-gap:null");
        assert!(client.is_silent().await);
        // It is not told twice.
        let request = get("/").header("last-event-id", &client.last_id);
        assert!(send(&app, request, "").client().await.is_silent().await);
    }
    assert!(calls.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_without_an_id_begins_where_it_is_told_to() {
    for (begin, expected) in [
        (Start::Live, numbers(4..=4)),
        (Start::Last(2), numbers(2..=4)),
        (Start::All, numbers(1..=4)),
    ] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()).with_start(begin), &fake);
        let waiting = send(&app, get("/"), "");
        let stream = calls.recv().await.unwrap().open();
        let mut first = waiting.client().await;
        stream.events(1..=3, false).await;
        assert_eq!(first.texts(3).await, numbers(1..=3));
        let mut client = send(&app, get("/"), "").client().await;
        stream.events([4], false).await;
        assert_eq!(client.texts(expected.len()).await, expected, "{begin:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_cancelled_also_before_its_head() {
    for (on_leave, seconds) in [
        (OnLeave::Cancel, Some(0)),
        (OnLeave::Linger(Duration::from_secs(30)), Some(30)),
        (OnLeave::Finish, None),
    ] {
        for with_head in [false, true] {
            let (fake, mut calls) = upstream();
            let layer = RelayLayer::shared(Key::default()).with_on_leave(on_leave);
            let app = app(&layer, &fake);
            let waiting = send(&app, get("/"), "");
            let mut call = calls.recv().await.unwrap();
            let left = tokio::time::Instant::now();
            let long = Duration::from_secs(10_000);
            let cancelled = if with_head {
                let stream = call.open();
                drop(waiting.client().await);
                tokio::time::timeout(long, stream.cancelled()).await
            } else {
                drop(waiting);
                tokio::time::timeout(long, call.cancelled()).await
            };
            let after = cancelled.ok().map(|()| left.elapsed().as_secs());
            assert_eq!(after, seconds, "{on_leave:?}, head: {with_head}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_stream_is_not_shared() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default());
    let app = app(&layer, &fake);
    let head = Request::builder().method(Method::HEAD).uri("/");
    for request in [
        head,
        Request::get("/").header("accept", "text/html, */*"),
        Request::get("/").header("accept", "text/html"),
        get("/")
            .header("upgrade", "x")
            .header("connection", "upgrade"),
    ] {
        let waiting = send(&app, request, "");
        drop(calls.recv().await.unwrap().answer(200, &[]));
        assert_eq!(waiting.answer().await.status(), StatusCode::OK);
        assert!(layer.relays().is_empty());
    }

    // An error is for all who wait, and for nobody else.
    let both = [send(&app, get("/"), ""), send(&app, get("/"), "")];
    let call = calls.recv().await.unwrap();
    tokio::task::yield_now().await;
    let fields = [("retry-after", "7"), ("content-length", "4")];
    call.answer(503, &fields).send("busy").await;
    for waiting in both {
        let answer = waiting.answer().await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "7");
        assert_eq!(Client::of(answer).chunk().await.unwrap(), "busy");
    }
    assert!(calls.try_recv().is_err());

    // A page is for who asked, so each asks.
    let both = [send(&app, get("/"), ""), send(&app, get("/"), "")];
    for _ in &both {
        let stream = calls
            .recv()
            .await
            .unwrap()
            .answer(200, &[("content-type", "text/html")]);
        stream.send("page").await;
    }
    for waiting in both {
        let answer = waiting.answer().await;
        assert!(!answer.body().is_end_stream());
        assert_eq!(Client::of(answer).chunk().await.unwrap(), "page");
    }
    tokio::task::yield_now().await;
    assert!(layer.relays().is_empty());
}
