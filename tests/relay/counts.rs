//! What is counted of histories by the doing of others.

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower_sse::history::{History, MemoryHistory};
use tower_sse::relay::{Key, RelayLayer};

use crate::client::{app, get, send};
use crate::upstream::upstream;

/// What was counted since it was asked last, where that is not zero, by name and labels but for the route.
fn counted(snapshotter: &Snapshotter) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let value = match value {
            DebugValue::Counter(value) => value as f64,
            DebugValue::Gauge(value) => value.0,
            DebugValue::Histogram(_) => continue,
        };
        let labels = key.key().labels().filter(|label| label.key() != "route");
        let labels: Vec<_> = labels.map(|label| label.value()).collect();
        let name = [&[key.key().name()], &labels[..]].concat().join(" ");
        if value != 0.0 {
            all.push((name, value));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn with_recorder(test: impl AsyncFnOnce(Snapshotter)) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(test(snapshotter)));
}

#[test]
fn what_others_pushed_out_is_counted_though_the_stream_is_quiet() {
    with_recorder(async |snapshotter| {
        let (fake, mut calls) = upstream();
        let history = MemoryHistory::new().with_budget(100_000);
        let layer = RelayLayer::shared(Key::default())
            .with_metrics("/r")
            .with_history(history.clone());
        let app = app(&layer, &fake);
        let mut streams = Vec::new();
        let mut clients = Vec::new();
        for path in ["/quiet", "/chatty"] {
            let waiting = send(&app, get(path), "");
            streams.push(calls.recv().await.unwrap().open());
            clients.push(waiting.client().await);
        }
        let event = format!("data: {}\n\n", "x".repeat(1000));
        for (stream, client) in streams.iter().zip(&mut clients) {
            for _ in 0..80 {
                stream.send(event.clone()).await;
                assert!(client.next().await.is_some());
            }
        }
        let kept: usize = layer.relays().iter().map(|relay| relay.events).sum();
        let dropped = history.evictions().budget as usize;
        assert_eq!(kept + dropped, 160);
        layer.update_metrics();
        let of_history = |(name, value): (String, f64)| {
            let name = name.strip_prefix("sse_history_")?;
            Some((name.to_owned(), value as usize))
        };
        let counts = counted(&snapshotter).into_iter().filter_map(of_history);
        assert_eq!(
            counts.collect::<Vec<_>>(),
            [
                ("bytes".to_owned(), history.bytes()),
                ("events".to_owned(), kept),
                ("evictions_total budget".to_owned(), dropped),
            ]
        );
    });
}
