//! Where what is added stands, and what becomes of blocks without data behind it.

use std::time::Duration;

use http::Method;
use tower_sse::EventLayer;
use tower_sse::stage::{EventIds, Heartbeat, HeartbeatFrame, IdleTimeout, Retry, Stage};

use crate::client::{answer, read, seen};
use crate::upstream::{Upstream, upstream};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn retry() -> Retry {
    Retry::after(secs(3))
}

/// All that comes through this layer.
async fn text<St: Stage + Clone>(layer: EventLayer<St>, upstream: Upstream) -> String {
    let response = answer(&layer, Method::GET, upstream.response()).await;
    let chunks = read(response.into_body(), 20).await;
    chunks.into_iter().map(|(_, chunk)| chunk).collect()
}

/// A stream in two chunks.
fn cut(stream: &str, at: usize) -> Upstream {
    let (first, second) = stream.split_at(at);
    upstream()
        .chunk(1, first.to_owned())
        .chunk(2, second.to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_reconnection_time_stands_in_front_of_the_first_event_with_data() {
    let upstream = upstream()
        .chunk(1, ": processing\n\n")
        .chunk(2, ": processing\n\ndata: a\n\n: processing\n\ndata: b\n\n");
    assert_eq!(
        seen(retry(), upstream, 10).await,
        [
            (1, ": processing\n\n"),
            (
                2,
                ": processing\n\nretry: 3000\ndata: a\n\n: processing\ndata: b\n\n"
            ),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn it_goes_out_with_a_heartbeat_that_is_due_before() {
    let upstream = upstream().chunk(20, ": ping\n\n").chunk(21, "data: a\n\n");
    let stages = (retry(), Heartbeat::every(secs(15)));
    assert_eq!(
        seen(stages, upstream, 30).await,
        [
            (15, "retry: 3000\n:\n"),
            (20, ": ping\n"),
            (21, "data: a\n\n"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn it_goes_out_with_an_opening_comment() {
    let stages = (retry(), Heartbeat::every(secs(15)).at_open());
    assert_eq!(
        seen(stages, upstream(), 10).await,
        [(0, "retry: 3000\n:\n")]
    );
}

#[tokio::test(start_paused = true)]
async fn it_goes_out_when_the_stream_ends_before() {
    let ended = upstream().chunk(1, ": c\n\n").end(2);
    assert_eq!(
        seen(retry(), ended, 10).await,
        [(1, ": c\n\n"), (2, "retry: 3000\n"), (2, "(end)")]
    );
    let stages = (retry(), IdleTimeout::after(secs(5)));
    assert_eq!(
        seen(stages, upstream(), 10).await,
        [(5, "retry: 3000\n: closing: idle\n"), (5, "(end)")]
    );
}

#[tokio::test(start_paused = true)]
async fn blocks_of_comments_have_no_blank_line_behind_an_id() {
    let upstream = upstream()
        .chunk(1, "id: 1\ndata: a\n\n: c\n\n")
        .chunk(2, "data: b\n\n: c\r\n\r\n: d\n\n\n")
        .chunk(3, "foo: bar\n: e\nid: a\0b\nevent\n\n");
    let got = seen(EventIds::sequential(), upstream, 10).await;
    let [(1, first), (2, second), (3, third)] = got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(first, "id: 1\ndata: a\n\n: c\n\n");
    assert!(second.starts_with("id: ts"), "{second}");
    assert!(
        second.ends_with("-1.1\ndata: b\n\n: c\r\n: d\n"),
        "{second}"
    );
    assert_eq!(third, ": e\n");
}

#[tokio::test(start_paused = true)]
async fn blocks_without_data_that_mean_something_stay_as_they_are() {
    let blocks = "event: x\n\nid: 7\n\nid\n\nretry: 5\n\n";
    let upstream = upstream().chunk(1, "data: a\n\n").chunk(2, blocks);
    let got = seen(retry(), upstream, 10).await;
    assert_eq!(got[1], (2, blocks));
}

#[tokio::test(start_paused = true)]
async fn blocks_of_comments_stay_whole_for_those_who_need_them() {
    let upstream = upstream()
        .chunk(20, ": c\n\n")
        .chunk(21, "data: a\n\n: c\n\n");
    let heartbeat = Heartbeat::every(secs(15)).with_frame(HeartbeatFrame::CommentBlock);
    assert_eq!(
        seen((retry(), heartbeat), upstream, 30).await,
        [
            (15, ":\n\n"),
            (20, ": c\n\n"),
            (21, "retry: 3000\ndata: a\n\n: c\n\n"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_block_of_comments_has_no_blank_line_either() {
    let comment = format!(": {}\n", "x".repeat(100));
    for chunks in [
        vec![format!("data: a\n\n{comment}\n")],
        vec![format!("data: a\n\n{comment}"), "\n".into()],
        vec!["data: a\n\n: x".into(), "x".repeat(99), "\n\n".into()],
    ] {
        let upstream = chunks.iter().fold(upstream(), |upstream, chunk| {
            upstream.chunk(1, chunk.clone())
        });
        let layer = EventLayer::new(retry()).with_max_event_bytes(20);
        assert_eq!(
            text(layer, upstream).await,
            format!("retry: 3000\ndata: a\n\n{comment}")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn lines_end_as_those_of_the_stream_from_the_first_on() {
    let stages = (retry(), EventIds::sequential(), Heartbeat::every(secs(15)));
    for ending in ["\r\n", "\n"] {
        let event = format!("data: a{ending}{ending}");
        for at in 1..event.len() {
            let got = text(EventLayer::new(stages.clone()), cut(&event, at)).await;
            let without = got.replace(ending, "");
            assert!(!without.contains(['\r', '\n']), "{got:?}");
            let begin = format!("retry: 3000{ending}id: ts");
            let end = format!("data: a{ending}{ending}:{ending}");
            assert!(got.starts_with(&begin) && got.ends_with(&end), "{got:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_lf_of_a_last_blank_line_arrives_under_every_cut() {
    for stream in ["data: a\r\r\n", "data: x\n\ndata: a\r\r\n"] {
        for at in 0..=stream.len() {
            let got = text(EventLayer::new(()), cut(stream, at)).await;
            assert_eq!(got, stream, "cut at {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lf_is_left_out_behind_what_was_written_since() {
    let upstream = upstream()
        .chunk(1, "data: a\r\r")
        .chunk(20, "\ndata: b\n\n");
    assert_eq!(
        seen(Heartbeat::every(secs(15)), upstream, 21).await,
        [(1, "data: a\r\r"), (16, ":\r"), (20, "data: b\n\n")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_in_an_event_that_never_ends_is_applied() {
    let event = "data: a\nretry: 7\nretry: 8";
    for at in 0..=event.len() {
        assert_eq!(
            seen((), cut(event, at).fail(3), 10).await,
            [(3, "retry: 7\n"), (3, "(failed)")],
            "cut at {at}"
        );
        let last = if at == event.len() { 1 } else { 2 };
        assert_eq!(
            seen(IdleTimeout::after(secs(5)), cut(event, at), 10).await,
            [
                (last + 5, "retry: 7\n: closing: idle\n"),
                (last + 5, "(end)")
            ],
            "cut at {at}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_in_an_event_that_is_too_large_counts() {
    for (id, expected) in [("id: 8\n", "-2.8"), ("id\n", "-2"), ("", "-2.7")] {
        let large = format!("data: {}\n{id}\n", "x".repeat(100));
        let stream = format!("id: 7\ndata: a\n\ndata: b\n\n{large}data: c\n\n");
        for at in 0..=stream.len() {
            let layer = EventLayer::new(EventIds::sequential()).with_max_event_bytes(30);
            let got = text(layer, cut(&stream, at)).await;
            assert!(
                got.ends_with(&format!("{expected}\ndata: c\n\n")),
                "cut at {at}: {got}"
            );
        }
    }
}
