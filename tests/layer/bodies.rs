//! What a body promises: order, trailers, hints, fairness, and to leave alone what is no event stream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tower_sse::EventLayer;
use tower_sse::stage::{Drain, DrainHandle, EventIds, Heartbeat, Lifetime, NoBuffering, Retry};

use crate::client::{answer, read, seen};
use crate::upstream::{Broken, upstream};

/// Stages that change whatever they may.
fn stages() -> impl tower_sse::stage::Stage + Clone {
    (
        Retry::after(Duration::from_secs(3)),
        EventIds::sequential().replacing(),
        Heartbeat::every(Duration::from_secs(1)).at_open(),
        Lifetime::at_most(Duration::from_secs(5)),
        NoBuffering,
    )
}

#[tokio::test(start_paused = true)]
async fn trailers_come_behind_all_that_is_left() {
    let upstream = upstream()
        .chunk(1, "data: a\n\ndata: b")
        .trailer(2, "x-sum", "1");
    assert_eq!(
        seen((), upstream, 10).await,
        [
            (1, "data: a\n\n"),
            (2, "data: b"),
            (2, "(x-sum: 1)"),
            (2, "(end)")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn empty_chunks_of_the_upstream_go_no_further() {
    let upstream = upstream()
        .chunk(0, "")
        .chunk(1, "data: a\n\n")
        .chunk(1, "")
        .chunk(2, "data: b\n\n")
        .chunk(3, "")
        .end(4);
    assert_eq!(
        seen((), upstream, 10).await,
        [(1, "data: a\n\n"), (2, "data: b\n\n"), (4, "(end)")]
    );
}

#[tokio::test(start_paused = true)]
async fn the_head_says_nothing_of_bytes_that_changed() {
    let response = Response::builder()
        .header("content-type", "text/event-stream; charset=utf-8")
        .header("content-length", "9")
        .header("etag", "\"1\"")
        .header("accept-ranges", "bytes")
        .header("content-md5", "x")
        .header("x-other", "stays")
        .body(Full::<Bytes>::from("data: a\n\n"))
        .unwrap();
    let response = answer(&EventLayer::new(()), Method::GET, response).await;
    let expected: HeaderMap = Response::builder()
        .header("content-type", "text/event-stream; charset=utf-8")
        .header("x-other", "stays")
        .body(())
        .unwrap()
        .into_parts()
        .0
        .headers;
    assert_eq!(response.headers(), &expected);
    assert_eq!(
        read(response.into_body(), 10).await,
        [(0, "data: a\n\n"), (0, "(end)")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_no_event_stream_is_untouched() {
    let event_stream = [
        ("content-type", "text/event-stream"),
        ("content-length", "9"),
        ("etag", "\"1\""),
    ];
    let encoded = [
        ("content-type", "text/event-stream"),
        ("content-encoding", "gzip"),
        ("content-length", "9"),
    ];
    let json = [
        ("content-type", "application/json"),
        ("content-length", "9"),
        ("etag", "\"1\""),
        ("cache-control", "max-age=60"),
    ];
    for (method, status, fields) in [
        (Method::GET, StatusCode::OK, &json[..]),
        (Method::GET, StatusCode::OK, &[]),
        (Method::GET, StatusCode::OK, &encoded),
        (Method::GET, StatusCode::NOT_FOUND, &event_stream),
        (Method::GET, StatusCode::PARTIAL_CONTENT, &event_stream),
        (Method::HEAD, StatusCode::OK, &event_stream),
    ] {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let response = response.body(Full::<Bytes>::from("data: a\n\n")).unwrap();
        let headers = response.headers().clone();
        let got = answer(&EventLayer::new(stages()), method, response).await;
        assert_eq!((got.status(), got.headers()), (status, &headers));
        assert_eq!(got.body().size_hint().exact(), Some(9));
        assert!(!got.body().is_end_stream());
        assert_eq!(
            read(got.into_body(), 10).await,
            [(0, "data: a\n\n"), (0, "(end)")]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_untouched_body_keeps_its_frames_trailers_and_failure() {
    let layer = EventLayer::new(stages());
    let plain = upstream()
        .chunk(1, "half a ")
        .chunk(30, "line")
        .trailer(31, "x-sum", "1");
    let response = answer(&layer, Method::GET, Response::new(plain)).await;
    assert_eq!(
        read(response.into_body(), 60).await,
        [
            (1, "half a "),
            (30, "line"),
            (31, "(x-sum: 1)"),
            (31, "(end)")
        ]
    );

    let failing = upstream().chunk(1, "half").fail(2);
    let response = answer(&layer, Method::GET, Response::new(failing)).await;
    assert_eq!(
        read(response.into_body(), 60).await,
        [(1, "half"), (2, "(failed)")]
    );

    let empty = Response::new(Full::<Bytes>::default());
    let response = answer(&layer, Method::GET, empty).await;
    assert!(response.body().is_end_stream());
    assert_eq!(read(response.into_body(), 60).await, [(0, "(end)")]);
}

/// An upstream that never lets anybody wait.
struct Busy {
    chunk: &'static str,
    polls: Arc<AtomicU32>,
}

impl Body for Busy {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(self.chunk.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// An event stream that is always ready, and the number of times it was asked.
fn busy(chunk: &'static str) -> (Response<Busy>, Arc<AtomicU32>) {
    let polls = Arc::new(AtomicU32::new(0));
    let body = Busy {
        chunk,
        polls: polls.clone(),
    };
    let response = Response::builder()
        .header("content-type", "text/event-stream")
        .body(body)
        .unwrap();
    (response, polls)
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_always_ready_lets_other_tasks_run() {
    for chunk in ["data: a\n\n", "data: never whole", ""] {
        let (response, polls) = busy(chunk);
        let response = answer(&EventLayer::new(()), Method::GET, response).await;
        let mut body = response.into_body();
        for round in 1..=10 {
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(woken.clone());
            let mut cx = Context::from_waker(&waker);
            while Pin::new(&mut body).poll_frame(&mut cx).is_ready() {}
            assert!(woken.0.load(Ordering::Relaxed), "it wants to go on");
            assert_eq!(polls.load(Ordering::Relaxed), round * 64);
        }
    }
}

/// Whether a waker was called.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn an_upstream_that_is_always_ready_does_not_outlive_its_lifetime() {
    for chunk in ["data: a\n\n", "data: never whole", ": a\n"] {
        let (response, _) = busy(chunk);
        let lifetime = Lifetime::at_most(Duration::from_millis(50));
        let layer = EventLayer::new(lifetime).with_max_event_bytes(1000);
        let mut body = answer(&layer, Method::GET, response).await.into_body();
        let mut last = Bytes::new();
        while let Some(frame) = body.frame().await {
            last = frame.unwrap().into_data().unwrap();
        }
        let last = last.escape_ascii().to_string();
        // In the middle of an event that is too large nothing can be said.
        assert!(
            last.ends_with(": closing: lifetime\\n") != (chunk == "data: never whole"),
            "{last}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_is_always_ready_can_be_drained() {
    let (response, _) = busy("data: a\n\n");
    let handle = DrainHandle::new();
    let drain = Drain::on(&handle).with_window(Duration::ZERO);
    let response = answer(&EventLayer::new(drain), Method::GET, response).await;
    let stream = tokio::spawn(async move {
        let mut body = response.into_body();
        let mut last = Bytes::new();
        while let Some(frame) = body.frame().await {
            last = frame.unwrap().into_data().unwrap();
        }
        last
    });
    tokio::task::yield_now().await;
    handle.start();
    handle.drained().await;
    assert_eq!(stream.await.unwrap(), ": closing: drain\n");
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_let_go_when_a_stage_ended_the_stream() {
    struct Held(Arc<AtomicBool>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let gone = Arc::new(AtomicBool::new(false));
    let held = Held(gone.clone());
    let endless = upstream().map_frame(move |frame| {
        let _ = &held;
        frame
    });
    let response = Response::builder()
        .header("content-type", "text/event-stream")
        .body(endless)
        .unwrap();
    let lifetime = Lifetime::at_most(Duration::from_secs(5));
    let response = answer(&EventLayer::new(lifetime), Method::GET, response).await;
    let mut body = response.into_body();
    read(&mut body, 10).await;
    assert!(
        gone.load(Ordering::Relaxed),
        "though the body is still held"
    );
}
