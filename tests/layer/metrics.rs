//! The names, labels and values of the metrics: a public contract.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, Response};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::time::sleep;
use tower_sse::EventLayer;
use tower_sse::stage::{EventIds, Heartbeat, Lifetime, Metrics};

use crate::client::{answer, next, read};
use crate::upstream::upstream;

/// Everything that was recorded: `name{label=value}` and its value, since the last time;
/// of a gauge how much it moved.
fn recorded(snapshotter: &Snapshotter) -> BTreeMap<String, String> {
    let snapshot = snapshotter.snapshot().into_vec();
    let all = snapshot.into_iter().map(|(key, _, description, value)| {
        let (_, key) = key.into_parts();
        assert!(description.is_some(), "{} is described", key.name());
        let labels: Vec<String> = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()))
            .collect();
        let value = match value {
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(value) => value.to_string(),
            DebugValue::Histogram(values) => {
                let values: Vec<f64> = values.into_iter().map(f64::from).collect();
                format!("{values:?}")
            }
        };
        (format!("{}{{{}}}", key.name(), labels.join(",")), value)
    });
    all.collect()
}

/// What is recorded of the route `r`, where nothing is 0 or `[]`, without these.
fn expect(all: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    let names = [
        ("sse_encoded_streams_total", "0"),
        ("sse_event_bytes_total", "0"),
        ("sse_event_gap_seconds", "[]"),
        ("sse_events_total", "0"),
        ("sse_first_event_seconds", "[]"),
        ("sse_head_seconds", "[]"),
        ("sse_heartbeats_total", "0"),
        ("sse_ids_added_total", "0"),
        ("sse_oversize_events_total", "0"),
        ("sse_stream_duration_seconds", "[]"),
        ("sse_streams_active", "0"),
        ("sse_streams_opened_total", "0"),
    ];
    let mut whole: BTreeMap<String, String> = names
        .into_iter()
        .map(|(name, value)| (format!("{name}{{route=r}}"), value.to_owned()))
        .collect();
    for (name, value) in expected {
        let name = match name.split_once(' ') {
            Some((name, reason)) => format!("{name}{{route=r,reason={reason}}}"),
            None => format!("{name}{{route=r}}"),
        };
        whole.insert(name, (*value).to_owned());
    }
    assert_eq!(all, &whole);
}

#[tokio::test(start_paused = true)]
async fn all_that_a_stream_does_is_recorded_and_ours_is_not_the_upstreams() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let layer = EventLayer::new((
        Metrics::new("r"),
        EventIds::sequential(),
        Heartbeat::every(Duration::from_secs(15)),
    ))
    .with_max_event_bytes(32);
    expect(&recorded(&snapshotter), &[]);

    let large = "data: 0123456789012345678901234567890123456789\n\n";
    let upstream = upstream()
        .chunk(2, ": hello\n\n")
        .chunk(4, "data: a\n\n")
        .chunk(4, "data: b\n\n")
        .chunk(7, "id: 7\ndata: c\n\n")
        .chunk(30, large)
        .end(31);
    let mut body = answer(&layer, Method::GET, upstream.response())
        .await
        .into_body();
    assert_eq!(next(&mut body).await, ": hello\n\n");
    expect(
        &recorded(&snapshotter),
        &[
            ("sse_event_bytes_total", "9"),
            ("sse_head_seconds", "[0.0]"),
            ("sse_streams_active", "1"),
            ("sse_streams_opened_total", "1"),
        ],
    );
    read(body, 100).await;
    let bytes = (9 + 9 + 15 + large.len()).to_string();
    expect(
        &recorded(&snapshotter),
        &[
            ("sse_event_bytes_total", &bytes),
            ("sse_event_gap_seconds", "[3.0]"),
            ("sse_events_total", "3"),
            ("sse_first_event_seconds", "[4.0]"),
            ("sse_heartbeats_total", "1"),
            ("sse_ids_added_total", "2"),
            ("sse_oversize_events_total", "1"),
            ("sse_stream_duration_seconds", "[31.0]"),
            ("sse_streams_active", "-1"),
            ("sse_streams_closed_total upstream_end", "1"),
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn every_end_has_its_reason() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let lifetime = Lifetime::at_most(Duration::from_secs(60)).with_jitter(0.0);
    let layer = EventLayer::new((Metrics::new("r"), lifetime));
    for (reason, upstream) in [
        ("upstream_end", upstream().end(5)),
        ("upstream_error", upstream().fail(5)),
        ("lifetime", upstream()),
        ("client", upstream()),
    ] {
        let body = answer(&layer, Method::GET, upstream.response())
            .await
            .into_body();
        let seconds = match reason {
            "lifetime" => "[60.0]",
            "client" => "[20.0]",
            _ => "[5.0]",
        };
        if reason == "client" {
            // Nothing came from upstream, and it was never polled.
            sleep(Duration::from_secs(20)).await;
            drop(body);
        } else {
            read(body, 100).await;
        }
        let mut all = recorded(&snapshotter);
        // Labels that were seen stay.
        all.retain(|name, value| !name.contains("reason=") || value != "0");
        expect(
            &all,
            &[
                ("sse_head_seconds", "[0.0]"),
                ("sse_stream_duration_seconds", seconds),
                (&format!("sse_streams_closed_total {reason}"), "1"),
                ("sse_streams_opened_total", "1"),
            ],
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoded_event_stream_is_counted_and_another_response_is_not() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let layer = EventLayer::new(Metrics::new("r"));
    answer(&layer, Method::GET, Response::new(upstream())).await;
    expect(&recorded(&snapshotter), &[]);

    let mut response = upstream().response();
    let fields = response.headers_mut();
    fields.insert("content-encoding", "br".parse().unwrap());
    answer(&layer, Method::GET, response).await;
    expect(
        &recorded(&snapshotter),
        &[("sse_encoded_streams_total", "1")],
    );
}
