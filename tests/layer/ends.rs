//! Every way in which a stream can end, and what the stages are told of it: once, and rightly.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::time::Duration;

use futures_util::FutureExt;
use http::{Method, Request, Response, response};
use http_body_util::{BodyExt, Empty};
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::EventLayer;
use tower_sse::stage::{Lifetime, Outbox, Reason, Stage, StreamError, Times};

use crate::client::{answer, next, open, read, seen};
use crate::probe::Log;
use crate::upstream::{Broken, upstream};

#[tokio::test(start_paused = true)]
async fn an_upstream_that_finishes() {
    let log = Log::default();
    let whole = upstream().chunk(1, "data: a\n\n").end(2);
    seen(log.probe("p"), whole, 10).await;
    assert_eq!(log.ends(), ["p on_end upstream_end 2"]);

    let half = upstream().chunk(1, "data: a\n\ndata: [DONE]").end(2);
    assert_eq!(
        seen(log.probe("p"), half, 10).await[1..],
        [(1, "data: a\n\n"), (2, "data: [DONE]"), (2, "(end)")]
    );
    assert_eq!(log.ends(), ["p on_end upstream_end 2"]);

    let with_trailers = upstream().chunk(1, "data: a\n\n").trailer(2, "x-sum", "1");
    seen(log.probe("p"), with_trailers, 10).await;
    assert_eq!(log.ends(), ["p on_end upstream_end 2"]);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_fails_takes_half_an_event_with_it() {
    let log = Log::default();
    let failing = upstream().chunk(1, "data: a\n\ndata: b").fail(3);
    assert_eq!(
        seen(log.probe("p"), failing, 10).await,
        [(0, ": p\n"), (1, "data: a\n\n"), (3, "(failed)")]
    );
    assert_eq!(log.ends(), ["p on_end upstream_error 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_ends_it_ends_it_between_two_events() {
    let log = Log::default();
    let lifetime = Lifetime::at_most(Duration::from_secs(5)).with_jitter(0.0);
    let endless = upstream()
        .chunk(1, "data: a\n\ndata: b")
        .chunk(9, "\n\n")
        .fail(9);
    assert_eq!(
        seen((lifetime, log.probe("p")), endless, 20).await,
        [
            (0, ": p\n"),
            (1, "data: a\n\n"),
            (5, ": closing: lifetime\n"),
            (5, "(end)")
        ]
    );
    assert_eq!(log.ends(), ["p on_end lifetime 5"]);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_come_back_is_not_told_that_it_was_all() {
    let lifetime = Lifetime::at_most(Duration::from_secs(5)).with_jitter(0.0);
    for (method, asks, expected, end) in [
        (Method::GET, true, "(end)", "p on_end lifetime 5"),
        (Method::POST, true, "(failed)", "p on_end lifetime 5"),
        (Method::PUT, true, "(failed)", "p on_end lifetime 5"),
        // It has not asked for an error.
        (Method::POST, false, "(end)", "p on_end lifetime 5"),
    ] {
        let log = Log::default();
        let layer = EventLayer::new((lifetime.clone(), log.probe("p")));
        let upstream = upstream().chunk(1, "data: a\n\ndata: b").response();
        let seen = match asks {
            true => {
                let layer = layer.with_broken_ends();
                read(answer(&layer, method, upstream).await.into_body(), 20).await
            }
            false => read(answer(&layer, method, upstream).await.into_body(), 20).await,
        };
        assert_eq!(
            seen[1..],
            [
                (1, "data: a\n\n"),
                (5, ": closing: lifetime\n"),
                (5, expected)
            ]
        );
        assert_eq!(log.ends(), [end]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_says_why() {
    let layer = EventLayer::new(()).with_broken_ends();
    let failing = upstream().fail(1).response();
    let mut body = answer(&layer, Method::GET, failing).await.into_body();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, StreamError::Inner(Broken)));

    let lifetime = Lifetime::at_most(Duration::from_secs(5)).with_jitter(0.0);
    let layer = EventLayer::new(lifetime).with_broken_ends();
    let mut body = answer(&layer, Method::POST, upstream().response())
        .await
        .into_body();
    body.frame().await.unwrap().unwrap();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, StreamError::Broken(Reason::LIFETIME)));
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_ends_it_when_it_opens() {
    #[derive(Clone)]
    struct Never;

    impl Stage for Never {
        fn on_response(&mut self, _: &mut response::Parts, _: &Times, out: &mut Outbox) {
            out.end(Reason::new("never"));
        }
    }

    let log = Log::default();
    let endless = upstream().chunk(0, "data: a\n\n");
    assert_eq!(
        seen((log.probe("p"), Never), endless, 20).await,
        [(0, ": p\n"), (0, "(end)")]
    );
    assert_eq!(log.ends(), ["p on_end never 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves() {
    let log = Log::default();
    let stream = || {
        upstream()
            .chunk(1, "data: a\n\n")
            .chunk(3, "data: b")
            .chunk(4, "\n\n")
            .end(20)
    };

    let body = open(log.probe("before the first poll"), stream()).await;
    sleep(Duration::from_secs(30)).await;
    drop(body);
    assert_eq!(log.ends(), ["before the first poll on_end client 30"]);

    let mut body = open(log.probe("after an event"), stream()).await;
    assert_eq!(next(&mut body).await, ": after an event\n");
    assert_eq!(next(&mut body).await, "data: a\n\n");
    drop(body);
    assert_eq!(log.ends(), ["after an event on_end client 1"]);

    let mut body = open(log.probe("mid-event"), stream()).await;
    let three = Duration::from_millis(3500);
    let half_read = tokio::time::timeout(three, read(&mut body, 100)).await;
    half_read.expect_err("the event is not whole");
    drop(body);
    assert_eq!(log.ends(), ["mid-event on_end client 3"]);

    let mut body = open(log.probe("after the last"), stream()).await;
    read(&mut body, 10).await;
    drop(body);
    assert_eq!(log.ends(), ["after the last on_end client 10"]);
}

#[tokio::test(start_paused = true)]
async fn the_body_is_told_of_once_though_it_is_dropped_later() {
    let log = Log::default();
    for (stream, end) in [
        (upstream().end(0), "p on_end upstream_end 0"),
        (upstream().fail(0), "p on_end upstream_error 0"),
    ] {
        let mut body = open(log.probe("p"), stream).await;
        read(&mut body, 10).await;
        sleep(Duration::from_secs(5)).await;
        drop(body);
        assert_eq!(log.ends(), [end]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_never_comes_was_no_stream() {
    let log = Log::default();
    let layer = EventLayer::new(log.probe("p"));
    let request = || Request::get("/a").body(()).unwrap();

    let silent = service_fn(|_| pending::<Result<Response<Empty<&[u8]>>, Infallible>>());
    let waiting = layer.layer(silent).oneshot(request()).now_or_never();
    assert!(waiting.is_none(), "there is no response");
    assert_eq!(log.take(), ["p on_request /a"]);

    let broken = service_fn(|_| ready(Err::<Response<Empty<&[u8]>>, _>(Broken)));
    assert!(layer.layer(broken).oneshot(request()).await.is_err());
    assert_eq!(log.take(), ["p on_request /a"]);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_no_event_stream_ends_nothing() {
    let log = Log::default();
    let layer = EventLayer::new(log.probe("p"));
    let response = Response::new(upstream().chunk(0, "data: a\n\n").end(0));
    let response = answer(&layer, Method::GET, response).await;
    read(response.into_body(), 10).await;
    assert_eq!(
        log.take(),
        ["p on_request /", "p on_bypass NotAnEventStream"]
    );
}
