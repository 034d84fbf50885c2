//! Each request has its own stream, and finds it again.

use std::time::Duration;

use http::{Request, StatusCode};
use tower_sse::relay::RelayLayer;
use tower_sse::wire::{Epoch, SequentialId};

use crate::client::{Client, app, get, numbers, send};
use crate::upstream::upstream;

fn post() -> http::request::Builder {
    Request::post("/tokens").header("authorization", "me")
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_once_and_its_rest_is_there_for_who_comes_back() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::resumable();
    let app = app(&layer, &fake);
    let waiting = send(&app, post(), "prompt");
    let call = calls.recv().await.unwrap();
    assert_eq!(
        (call.request.uri().path(), &call.body[..]),
        ("/tokens", &b"prompt"[..])
    );
    let stream = call.open();
    let answer = waiting.answer().await;
    assert_eq!(
        answer.headers()["set-cookie"],
        "a=b",
        "it is the opener's own"
    );
    let mut client = Client::of(answer);
    stream.events(1..=100, false).await;
    assert_eq!(client.texts(100).await, numbers(1..=100));
    let id = client.last_id.clone();
    drop(client);
    stream.events(101..=200, false).await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let back = || post().header("last-event-id", &id);
    let mut client = send(&app, back(), "prompt").client().await;
    stream.events(201..=300, false).await;
    drop(stream);
    assert_eq!(client.texts(200).await, numbers(101..=300));
    assert_eq!(client.text().await, "(end)");

    // With other credentials, and with an id that was guessed, it does not exist.
    let other = Request::post("/tokens").header("authorization", "you");
    let guessed = SequentialId {
        epoch: Epoch::from_secret(7),
        sequence: 100,
        upstream: None,
    };
    let guessed = guessed.to_event_id();
    for request in [
        other.header("last-event-id", &id),
        Request::post("/tokens").header("last-event-id", &id),
        post().header("last-event-id", guessed.as_bytes()),
    ] {
        let mut client = send(&app, request, "prompt").client().await;
        assert_eq!(client.texts(2).await, ["stream-gap:null", "(end)"]);
    }

    // It stays for a while, and who has had all of it is told so.
    let mut again = send(&app, back(), "prompt").client().await;
    assert_eq!(again.texts(200).await, numbers(101..=300));
    let all = get("/tokens")
        .header("authorization", "me")
        .header("last-event-id", &client.last_id);
    let answer = send(&app, all, "").answer().await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert!(calls.try_recv().is_err(), "one POST was sent");
    drop((again, client, answer));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(layer.relays().is_empty());
    assert_eq!(layer.history().bytes(), 0);
    assert_eq!(
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_request_twice_is_two_streams() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::resumable();
    let app = app(&layer, &fake);
    let (a, b) = (send(&app, post(), "x"), send(&app, post(), "x"));
    let _a_stream = calls.recv().await.unwrap().open();
    let _b_stream = calls.recv().await.unwrap().open();
    let _clients = (a.client().await, b.client().await);
    assert_eq!(layer.relays().len(), 2);
    assert!(layer.relays().iter().all(|relay| relay.last_id.is_none()));
    assert!(layer.relays().iter().all(|relay| !relay.key.contains("me")));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_fails_is_not_sent_again_and_says_what_it_lost() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::resumable(), &fake);
    let waiting = send(&app, post(), "x");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.events(1..=2, false).await;
    stream.send("data: half").await;
    stream.fail().await;
    assert_eq!(
        client.texts(4).await,
        ["1", "2", "stream-gap:null", "(end)"]
    );
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(calls.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_post_whose_head_was_held_is_told_that_there_is_no_answer() {
    for status in [Some(401), Some(503), Some(200), None] {
        let (fake, mut calls) = upstream();
        let layer = RelayLayer::resumable().with_hold(true);
        let app = app(&layer, &fake);
        let waiting = send(&app, post(), "question");
        let call = calls.recv().await.unwrap();
        let mut client = waiting.client().await;
        // Without a status it never answers.
        let _unanswered = match status {
            Some(status) => {
                call.answer(status, &[]);
                None
            }
            None => Some(call),
        };
        // A clean end alone would be that of an answer.
        assert_eq!(
            client.texts(2).await,
            ["stream-gap:null", "(end)"],
            "{status:?}"
        );
        assert!(calls.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_left_at_a_clean_end_is_no_event() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::resumable(), &fake);
    let waiting = send(&app, post(), "x");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.send("data: 1\n\nid: 2\ndata: 2\n").await;
    drop(stream);
    let mut text = Vec::new();
    while let Some(chunk) = client.chunk().await {
        text.extend_from_slice(&chunk);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with("-1\ndata: 1\n\n"), "{text:?}");
}

#[tokio::test(start_paused = true)]
async fn whether_there_is_something_to_resume_is_for_the_answer_to_say() {
    for accept in ["application/json", "*/*", "text/html;q=0.1"] {
        let (fake, mut calls) = upstream();
        let layer = RelayLayer::resumable();
        let app = app(&layer, &fake);
        let request = || Request::post("/tokens?last_event_id=5").header("accept", accept);
        let waiting = send(&app, request(), "{}");
        let call = calls.recv().await.unwrap();
        assert_eq!(call.request.uri(), "/tokens?last_event_id=5");
        assert_eq!(call.request.headers()["accept"], accept);
        let fields = [("content-type", "application/json"), ("x-limit", "9")];
        call.answer(429, &fields).send("{\"error\":1}").await;
        let answer = waiting.answer().await;
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()["x-limit"], "9");
        let chunk = Client::of(answer).chunk().await.unwrap();
        assert_eq!(chunk, "{\"error\":1}");
        assert!(layer.relays().is_empty());

        let waiting = send(&app, request(), "{}");
        let stream = calls.recv().await.unwrap().open();
        stream.events(1..=2, false).await;
        let mut client = waiting.client().await;
        assert_eq!(client.text().await, "1");
        let back = request().header("last-event-id", &client.last_id);
        drop(client);
        let mut client = send(&app, back, "{}").client().await;
        assert_eq!(client.text().await, "2", "{accept}");
        assert!(calls.try_recv().is_err());
    }
}
