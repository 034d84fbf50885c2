//! Heartbeats: only when nothing was sent, never inside an event.

use std::time::Duration;

use http::Method;
use tower_sse::EventLayer;
use tower_sse::stage::{Heartbeat, HeartbeatFrame};

use crate::client::{answer, read, seen};
use crate::upstream::upstream;

fn heartbeat() -> Heartbeat {
    Heartbeat::every(Duration::from_secs(15))
}

#[tokio::test(start_paused = true)]
async fn it_comes_only_when_nothing_was_sent_for_the_interval() {
    let upstream = upstream()
        .chunk(10, "data: a\n\n")
        .chunk(20, "data: b\n\n")
        .chunk(40, "data: c\n\n")
        .end(50);
    assert_eq!(
        seen(heartbeat(), upstream, 100).await,
        [
            (10, "data: a\n\n"),
            (20, "data: b\n\n"),
            (35, ":\n"),
            (40, "data: c\n\n"),
            (50, "(end)")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn it_comes_while_half_an_event_is_held_back() {
    let upstream = upstream()
        .chunk(1, "data: a\n")
        .chunk(2, "data: b")
        .chunk(29, "b\n")
        .chunk(40, "\n");
    assert_eq!(
        seen(heartbeat(), upstream, 50).await,
        [(15, ":\n"), (30, ":\n"), (40, "data: a\ndata: bb\n\n")]
    );
}

#[tokio::test(start_paused = true)]
async fn it_comes_behind_comments_that_were_handed_on_early() {
    let upstream = upstream()
        .chunk(1, ": a\nretry: 5\ndata: a")
        .chunk(20, "\n\n");
    assert_eq!(
        seen(heartbeat(), upstream, 30).await,
        [(1, ": a\nretry: 5\n"), (16, ":\n"), (20, "data: a\n\n")]
    );
}

#[tokio::test(start_paused = true)]
async fn comments_of_the_upstream_count_as_sent() {
    let upstream = upstream()
        .chunk(10, ":\n")
        .chunk(20, ": still here\n\n")
        .chunk(30, "retry: 1\n");
    assert_eq!(
        seen(heartbeat(), upstream, 50).await,
        [
            (10, ":\n"),
            (20, ": still here\n\n"),
            (30, "retry: 1\n"),
            (45, ":\n")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn one_at_open_comes_at_once() {
    assert_eq!(
        seen(heartbeat().at_open(), upstream(), 20).await,
        [(0, ":\n"), (15, ":\n")]
    );
}

#[tokio::test(start_paused = true)]
async fn every_frame_can_be_chosen() {
    for (frame, expected) in [
        (HeartbeatFrame::CommentLine, ":\n"),
        (HeartbeatFrame::CommentBlock, ":\n\n"),
        (
            HeartbeatFrame::event("ping").unwrap(),
            "event: ping\ndata:\n\n",
        ),
        (HeartbeatFrame::Text("still here".into()), ": still here\n"),
    ] {
        let stage = heartbeat().with_frame(frame).at_open();
        assert_eq!(
            seen(stage, upstream(), 20).await,
            [(0, expected), (15, expected)]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn its_lines_end_as_those_of_the_stream() {
    for (chunk, expected) in [
        ("data: a\n\n", ":\n\n"),
        ("data: a\r\n\r\n", ":\r\n\r\n"),
        ("data: a\r\rdata: b", ":\r\r"),
    ] {
        let stage = heartbeat().with_frame(HeartbeatFrame::CommentBlock);
        let got = seen(stage, upstream().chunk(0, chunk), 20).await;
        assert_eq!(got.last(), Some(&(15, expected)));
    }
}

#[tokio::test(start_paused = true)]
async fn none_comes_inside_an_event_that_is_too_large_to_be_held_back() {
    let layer = EventLayer::new(heartbeat()).with_max_event_bytes(16);
    let upstream = upstream()
        .chunk(1, "data: 0123456789")
        .chunk(2, "0123456789")
        .chunk(50, "\n\ndata: b")
        .chunk(70, "\n\n");
    let response = answer(&layer, Method::GET, upstream.response()).await;
    assert_eq!(
        read(response.into_body(), 80).await,
        [
            (2, "data: 01234567890123456789"),
            (50, "\n\n"),
            (65, ":\n"),
            (70, "data: b\n\n")
        ]
    );
}
