//! What is counted of histories by the doing of others, and of clients that do not read.

use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::time::timeout;
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Hangup, Key, RelayLayer, SlowClient};

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
        let layer = RelayLayer::shared_in(Key::default(), history.clone()).with_metrics("/r");
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

/// Whether the connection is to be closed, by the time that others who do not read would have been.
async fn is_asked(hangup: &Hangup) -> bool {
    timeout(Duration::from_secs(3), hangup.asked())
        .await
        .is_ok()
}

#[test]
fn the_server_of_a_client_that_does_not_read_is_asked_to_let_it_go() {
    for policy in [SlowClient::Disconnect, SlowClient::Skip, SlowClient::Latest] {
        with_recorder(async |snapshotter| {
            let (fake, mut calls) = upstream();
            let layer = RelayLayer::shared_in(Key::default(), MemoryHistory::new().with_events(10))
                .with_metrics("/r")
                .with_slow_client(policy);
            let app = app(&layer, &fake);
            let [first, never, late] = [0; 3].map(|_| Hangup::new());
            let waiting = send(&app, get("/").extension(first.clone()), "");
            let call = calls.recv().await.unwrap();
            assert!(call.request.extensions().get::<Hangup>().is_none());
            let stream = call.open();
            let mut first_client = waiting.client().await;
            let mut others = Vec::new();
            for hangup in [&never, &late] {
                let request = get("/").extension(hangup.clone());
                others.push(send(&app, request, "").client().await);
            }
            for number in 1..=10 {
                stream.events([number], false).await;
                assert_eq!(first_client.text().await, number.to_string());
            }
            // All that they have not read is kept.
            assert!(!is_asked(&never).await);
            stream.events([11], false).await;
            assert_eq!(first_client.text().await, "11");
            // One of them reads before the second look.
            let mut late_client = others.pop().unwrap();
            let told = late_client.text().await;
            let disconnects = policy == SlowClient::Disconnect;
            assert_eq!(told == "(end)", disconnects, "{policy:?}");
            assert_eq!(is_asked(&never).await, disconnects, "{policy:?}");
            assert!(!is_asked(&first).await && !is_asked(&late).await);
            drop(others);
            let slow = counted(&snapshotter);
            let slow: Vec<_> = slow
                .iter()
                .filter(|(name, _)| name.starts_with("sse_slow_clients_total"))
                .map(|(_, value)| *value)
                .collect();
            // Who was told, and who had to be let go.
            assert_eq!(slow, [if disconnects { 2.0 } else { 1.0 }], "{policy:?}");
        });
    }
}
