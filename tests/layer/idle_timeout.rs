//! Idle timeouts: the upstream's silence, and nobody else's.

use std::time::Duration;

use http::Method;
use tower_sse::EventLayer;
use tower_sse::stage::{Heartbeat, IdleTimeout};

use crate::client::{answer, next, open, read, seen};
use crate::upstream::upstream;

fn timeout(seconds: u64) -> IdleTimeout {
    IdleTimeout::after(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn it_fires_though_heartbeats_flow_in_any_order() {
    let heartbeat = Heartbeat::every(Duration::from_secs(15));
    let stages = (heartbeat.clone(), timeout(40));
    let expected = [
        (15, ":\n"),
        (30, ":\n"),
        (40, ": closing: idle\n"),
        (40, "(end)"),
    ];
    assert_eq!(seen(stages, upstream(), 100).await, expected);
    let stages = (timeout(40), heartbeat);
    assert_eq!(seen(stages, upstream(), 100).await, expected);
}

#[tokio::test(start_paused = true)]
async fn any_byte_of_the_upstream_resets_the_clock_of_bytes() {
    let upstream = upstream()
        .chunk(10, ":\n")
        .chunk(20, "data: a\n\n")
        .chunk(30, "da");
    assert_eq!(
        seen(timeout(30), upstream, 100).await,
        [
            (10, ":\n"),
            (20, "data: a\n\n"),
            (60, ": closing: idle\n"),
            (60, "(end)")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn comments_of_the_upstream_do_not_reset_the_clock_of_events() {
    let upstream = upstream()
        .chunk(5, "data: a\n\n")
        .chunk(10, ":\n")
        .chunk(20, "id: 7\n\n")
        .chunk(30, "event: add\n\n");
    assert_eq!(
        seen(timeout(30).events_only(), upstream, 100).await,
        [
            (5, "data: a\n\n"),
            (10, ":\n"),
            (20, "id: 7\n\n"),
            (30, "event: add\n\n"),
            (35, ": closing: stalled\n"),
            (35, "(end)")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn half_an_event_does_not_reset_the_clock_of_events_and_is_dropped() {
    let upstream = upstream().chunk(1, "data: half").chunk(40, "\n\n");
    assert_eq!(
        seen(timeout(30).events_only(), upstream, 100).await,
        [(30, ": closing: stalled\n"), (30, "(end)")]
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_too_large_to_be_seen_is_an_event() {
    let layer = EventLayer::new(timeout(30).events_only()).with_max_event_bytes(16);
    let large = "data: 0123456789012345\n\n";
    let upstream = upstream().chunk(20, large).chunk(40, large);
    let response = answer(&layer, Method::GET, upstream.response()).await;
    assert_eq!(
        read(response.into_body(), 100).await,
        [
            (20, large),
            (40, large),
            (70, ": closing: idle\n"),
            (70, "(end)")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_from_a_stall() {
    let events_only = timeout(30).events_only();
    let upstream = upstream().chunk(10, "data: a\n\n");
    assert_eq!(
        seen(events_only, upstream, 100).await,
        [
            (10, "data: a\n\n"),
            (40, ": closing: idle\n"),
            (40, "(end)")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn event_types_can_be_ignored() {
    let upstream = upstream()
        .chunk(5, "event: add\ndata: a\n\n")
        .chunk(10, "event: ping\ndata:\n\n")
        .chunk(20, "event: tick\ndata:\n\n")
        .chunk(30, "data: b\n\n")
        .chunk(40, "event: ping\ndata:\n\n");
    let stage = timeout(30).ignoring("ping").ignoring("tick");
    assert_eq!(
        seen(stage, upstream, 100).await[5..],
        [(60, ": closing: stalled\n"), (60, "(end)")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_no_silence_of_the_upstream() {
    let heartbeat = Heartbeat::every(Duration::from_secs(15));
    for stage in [timeout(60), timeout(60).events_only()] {
        let upstream = upstream()
            .chunk(0, "data: a\n\n")
            .chunk(0, "data: b\n\n")
            .chunk(0, "data: c\n\n")
            .end(0);
        let mut body = open((stage, heartbeat.clone()), upstream).await;
        assert_eq!(next(&mut body).await, "data: a\n\n");
        // The server's buffers are full: the body is not polled.
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(
            read(body, 100).await,
            [(0, "data: b\n\n"), (0, "data: c\n\n"), (0, "(end)")]
        );
    }
}
