//! What a client is told of an end: an answer that broke never looks whole, and one that is whole is not kept from anybody.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};
use tower_sse::EventLayer;
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{AfterEnd, RelayLayer};
use tower_sse::stage::{BrokenEnds, IdleTimeout, Reason, StreamError};
use tower_sse::wire::{Epoch, SequentialId};

use crate::client::{app, get, send};
use crate::upstream::{Fake, Stream, upstream};

fn post() -> http::request::Builder {
    Request::post("/tokens")
}

fn breaking() -> RelayLayer<MemoryHistory, BrokenEnds> {
    RelayLayer::resumable().with_broken_ends()
}

/// All that a client reads, and why its stream was broken off.
async fn read(
    layer: &RelayLayer<MemoryHistory, BrokenEnds>,
    fake: &Fake,
    request: http::request::Builder,
) -> (String, Option<Reason>) {
    let request = request.body(Full::<Bytes>::from("x")).unwrap();
    let answer = layer.layer(fake.clone()).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    let mut text = Vec::new();
    loop {
        let text_so_far = || String::from_utf8(text.clone()).unwrap();
        match body.frame().await {
            Some(Ok(frame)) => text.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(StreamError::Broken(reason))) => return (text_so_far(), Some(reason)),
            Some(Err(error)) => panic!("{error:?}"),
            None => return (text_so_far(), None),
        }
    }
}

fn last_id(text: &str) -> String {
    let id = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("id: "));
    id.expect("an id").to_owned()
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_upstream_was_lost_is_broken_off_for_all_who_read_it() {
    let (fake, mut calls) = upstream();
    let layer = breaking();
    let one = read(&layer, &fake, post());
    let served = async {
        let stream = calls.recv().await.unwrap().open();
        stream.events(1..=2, false).await;
        stream.fail().await;
    };
    let ((text, broken), ()) = tokio::join!(one, served);
    assert!(
        text.ends_with("-2\ndata: 2\n\n: closing: upstream_error\n"),
        "{text:?}"
    );
    assert!(!text.contains("stream-gap"), "{text:?}");
    assert_eq!(broken, Some(Reason::UPSTREAM));

    // Whether it lacks some of it or not.
    let id = last_id(&text);
    for (id, rest) in [(id.replace("-2", "-1"), "data: 2\n\n"), (id, "")] {
        let back = post().header("last-event-id", id);
        let (text, broken) = read(&layer, &fake, back).await;
        assert!(
            text.ends_with(&format!("{rest}: closing: upstream_error\n")),
            "{text:?}"
        );
        assert_eq!(broken, Some(Reason::UPSTREAM));
    }
    assert!(calls.try_recv().is_err(), "it is asked once");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_any_more_breaks_an_answer_off_unless_an_event_is_asked_for() {
    for asks in [false, true] {
        let (fake, mut calls) = upstream();
        let history = MemoryHistory::new().with_events(2);
        let mut layer = RelayLayer::resumable_in(history).with_broken_ends();
        if asks {
            layer = layer
                .with_gap_event(Some("message"))
                .with_gap_data(r#"{"choices":[],"missed":{missed}}"#);
        }
        let one = read(&layer, &fake, post());
        let served = async {
            let stream = calls.recv().await.unwrap().open();
            for number in 1..=9 {
                stream.events([number], false).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let ((text, broken), ()) = tokio::join!(one, served);
        assert_eq!(broken, None);
        let id = last_id(&text);

        let early = post().header("last-event-id", id.replace("-9", "-4"));
        let (text, broken) = read(&layer, &fake, early).await;
        let missed = r#"data: {"choices":[],"missed":3}"#;
        assert_eq!(text.contains(missed), asks, "{text:?}");
        assert_eq!(text.contains("data: 9\n\n"), asks, "{text:?}");
        assert_eq!(broken, (!asks).then_some(Reason::GAP));

        // An id that nobody knows.
        let unknown = SequentialId {
            epoch: Epoch::from_secret(7),
            sequence: 9,
            upstream: None,
        };
        let unknown = post().header("last-event-id", unknown.to_event_id().as_bytes());
        let (text, broken) = read(&layer, &fake, unknown).await;
        let missed = r#"data: {"choices":[],"missed":null}"#;
        assert_eq!(text.contains(missed), asks, "{text:?}");
        assert_eq!(broken, Some(Reason::GAP), "{text:?}");
        assert!(calls.try_recv().is_err(), "it is asked once");
    }
}

/// An upstream that is silent for longer than its stage allows.
async fn silent(calls: &mut tokio::sync::mpsc::Receiver<crate::upstream::Call>) -> Stream {
    let stream = calls.recv().await.unwrap().open();
    stream.events([1], false).await;
    stream
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_a_stage_has_ended_has_not_said_all() {
    let (fake, mut calls) = upstream();
    let idle = EventLayer::new(IdleTimeout::after(Duration::from_secs(10)));
    let relays = RelayLayer::resumable();
    let service = relays.layer(idle.layer(fake));
    let ask = |request: http::request::Builder| {
        let request = request.body(Full::<Bytes>::from("")).unwrap();
        let service = service.clone();
        tokio::spawn(async move { service.oneshot(request).await.unwrap().into_body() })
    };

    // Asked for by GET it is asked for again, and the client stays.
    let asked = ask(get("/events"));
    let _first = silent(&mut calls).await;
    let mut body = asked.await.unwrap();
    body.frame().await.unwrap().unwrap();
    let again = calls.recv().await.unwrap().open();
    again.events([2], false).await;
    let told = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(!told.is_empty());
    drop((body, again));

    // By POST it cannot be: the client is told, and who comes back is not told that it was all.
    let asked = ask(post());
    let _stream = silent(&mut calls).await;
    let text = asked.await.unwrap().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("event: stream-gap\n"), "{text:?}");
}

#[tokio::test(start_paused = true)]
async fn who_had_all_of_a_get_is_given_the_upstreams_answer_anew_or_204() {
    for after_end in [AfterEnd::Again, AfterEnd::NoContent] {
        let (fake, mut calls) = upstream();
        let layer = RelayLayer::resumable().with_after_end(after_end);
        let app = app(&layer, &fake);
        let waiting = send(&app, get("/events"), "");
        let stream = calls.recv().await.unwrap().open();
        let mut client = waiting.client().await;
        stream.events(1..=2, true).await;
        drop(stream);
        assert_eq!(client.texts(3).await, ["1", "2", "(end)"]);

        let id = client.last_id.clone();
        let waiting = send(&app, get("/events").header("last-event-id", &id), "");
        if after_end == AfterEnd::NoContent {
            assert_eq!(waiting.answer().await.status(), StatusCode::NO_CONTENT);
            continue;
        }
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("2"));
        let stream = call.open();
        let mut client = waiting.client().await;
        stream.events([3], true).await;
        assert_eq!(client.text().await, "3", "nothing is said to be missing");
    }
}

#[tokio::test(start_paused = true)]
async fn the_upstream_goes_on_with_an_answer_that_it_ended_early_where_it_is_asked_by_a_get() {
    for fails in [false, true] {
        let (fake, mut calls) = upstream();
        let layer = breaking();
        let first = read(&layer, &fake, post());
        let upstream = async {
            let stream = calls.recv().await.unwrap().open();
            stream.events(1..=2, true).await;
            match fails {
                true => stream.fail().await,
                false => drop(stream),
            }
        };
        let ((text, broken), ()) = tokio::join!(first, upstream);
        assert_eq!(broken.is_some(), fails);

        let back = post().method("GET").header("last-event-id", last_id(&text));
        let again = read(&layer, &fake, back);
        let upstream = async {
            let call = calls.recv().await.unwrap();
            assert_eq!(call.last_event_id(), Some("2"));
            call.open().events([3], true).await;
        };
        let ((text, broken), ()) = tokio::join!(again, upstream);
        assert!(text.contains("data: 3\n") && broken.is_none(), "{text:?}");
        assert!(!text.contains("stream-gap"), "{text:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_post_is_204_for_who_had_all_of_it() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::resumable(), &fake);
    let waiting = send(&app, post(), "x");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.events([1], false).await;
    drop(stream);
    assert_eq!(client.texts(2).await, ["1", "(end)"]);
    let back = post().header("last-event-id", &client.last_id);
    let answer = send(&app, back, "x").answer().await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}
