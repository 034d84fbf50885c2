//! Slow clients, services that panic, and what can be seen from outside.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Key, RelayLayer, SlowClient};

use crate::client::{app, get, numbers, send};
use crate::upstream::upstream;

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_dealt_with_and_the_others_do_not_wait() {
    for (policy, expected) in [
        (SlowClient::Disconnect, vec!["(end)".to_owned()]),
        (
            SlowClient::Skip,
            [vec!["stream-gap:490".to_owned()], numbers(491..=501)].concat(),
        ),
        (
            SlowClient::Latest,
            vec!["stream-gap:500".to_owned(), "501".to_owned()],
        ),
    ] {
        let (fake, mut calls) = upstream();
        let layer = RelayLayer::shared_in(Key::default(), MemoryHistory::new().with_events(10))
            .with_slow_client(policy);
        let app = app(&layer, &fake);
        let waiting = send(&app, get("/"), "");
        let stream = calls.recv().await.unwrap().open();
        let mut slow = waiting.client().await;
        let mut others = Vec::new();
        for _ in 0..20 {
            others.push(send(&app, get("/"), "").client().await);
        }
        let start = Instant::now();
        for number in 1..=500 {
            stream.events([number], false).await;
            for other in &mut others {
                assert_eq!(other.text().await, number.to_string());
            }
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(layer.relays()[0].events, 10);
        assert_eq!(layer.history().evictions().events, 490);
        let mut seen = Vec::new();
        // The gap is told first, so what comes now is behind it.
        seen.push(slow.text().await);
        stream.events([501], false).await;
        while seen.len() < expected.len() {
            seen.push(slow.text().await);
        }
        assert_eq!(seen, expected, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_event_can_have_another_name_or_none() {
    for (name, expected) in [(Some("lost"), vec!["lost:null", "1"]), (None, vec!["1"])] {
        let (fake, mut calls) = upstream();
        let layer = RelayLayer::shared(Key::default()).with_gap_event(name);
        let app = app(&layer, &fake);
        let waiting = send(&app, get("/"), "");
        let stream = calls.recv().await.unwrap().open();
        let _first = waiting.client().await;
        let id = "ts00000000000000-1";
        let mut client = send(&app, get("/").header("last-event-id", id), "")
            .client()
            .await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        if name.is_some() {
            assert_eq!(client.text().await, expected[0]);
        } else {
            assert!(client.is_silent().await);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(client.is_silent().await);
        }
        stream.events([1], false).await;
        assert_eq!(client.text().await, *expected.last().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_leaves_nobody_waiting() {
    let layer = RelayLayer::shared(Key::default());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        count.fetch_add(1, Ordering::Relaxed);
        let panics = true;
        async move {
            if panics {
                panic!("on purpose");
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let request = get("/").body(Full::default()).unwrap();
    let answer = layer.layer(service).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "it is not asked again");
    assert!(layer.relays().is_empty());
    assert_eq!(layer.history().logs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_relay_can_be_seen_without_its_secrets() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default());
    let app = app(&layer, &fake);
    let request = get("/notices?token=hunter2")
        .header("authorization", "Bearer hunter2")
        .header("cookie", "session=hunter2");
    let waiting = send(&app, request, "");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.events([1], false).await;
    assert_eq!(client.text().await, "1");
    let [relay] = &layer.relays()[..] else {
        panic!("there is one");
    };
    assert!(relay.key.contains("GET /notices "), "{}", relay.key);
    assert!(!format!("{relay:?} {layer:?}").contains("hunter2"));
    assert_eq!((relay.clients, relay.events), (1, 1));
    let last_id = relay.last_id.as_ref().unwrap();
    assert_eq!(last_id.as_bytes(), client.last_id.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn there_are_not_more_relays_than_allowed() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default()).with_max_relays(3);
    let app = app(&layer, &fake);
    let mut waiting = Vec::new();
    for number in 0..6 {
        let request = get(&format!("/{number}"));
        waiting.push(send(&app, request, ""));
        calls.recv().await.unwrap().open();
    }
    for waiting in waiting {
        assert_eq!(waiting.answer().await.status(), StatusCode::OK);
    }
    assert!(layer.relays().len() <= 3);
}

#[cfg(feature = "metrics")]
#[test]
fn replays_and_slow_clients_are_counted() {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let snapshot = || {
        let mut all: Vec<String> = Vec::new();
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let labels: Vec<_> = key.key().labels().map(|label| label.value()).collect();
            let value = match value {
                DebugValue::Counter(value) => value as f64,
                DebugValue::Gauge(value) => value.0,
                DebugValue::Histogram(_) => continue,
            };
            if value != 0.0 {
                all.push(format!("{}{labels:?} {value}", key.key().name()));
            }
        }
        all.sort();
        all
    };
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let (fake, mut calls) = upstream();
            let layer = RelayLayer::shared_in(Key::default(), MemoryHistory::new().with_events(5))
                .with_metrics("/r");
            let app = app(&layer, &fake);
            let waiting = send(&app, get("/"), "");
            let stream = calls.recv().await.unwrap().open();
            let mut client = waiting.client().await;
            stream.events(1..=3, false).await;
            assert_eq!(client.texts(3).await, numbers(1..=3));
            let back = || get("/").header("last-event-id", client.last_id.replace("-3", "-1"));
            let mut hit = send(&app, back(), "").client().await;
            assert_eq!(hit.texts(2).await, numbers(2..=3));
            let unknown = get("/").header("last-event-id", "ts00000000000000-1");
            let unknown = send(&app, unknown, "").client().await;
            stream.events(4..=8, false).await;
            assert_eq!(hit.texts(5).await, numbers(4..=8));
            let mut gap = send(&app, back(), "").client().await;
            assert_eq!(gap.text().await, "stream-gap:2");
            for number in 9..=18 {
                stream.events([number], false).await;
                assert_eq!(hit.text().await, number.to_string());
            }
            // It has not read for ten events.
            assert_eq!(gap.text().await, "(end)");
            let bytes = layer.history().bytes();
            assert_eq!(
                snapshot(),
                [
                    &format!(r#"sse_history_bytes["/r"] {bytes}"#),
                    r#"sse_history_events["/r"] 5"#,
                    r#"sse_history_evictions_total["/r", "events"] 13"#,
                    r#"sse_relay_clients["/r"] 3"#,
                    r#"sse_relays_active["/r"] 1"#,
                    r#"sse_replayed_events_total["/r"] 2"#,
                    r#"sse_replays_total["/r", "gap"] 1"#,
                    r#"sse_replays_total["/r", "hit"] 1"#,
                    r#"sse_replays_total["/r", "unknown"] 1"#,
                    r#"sse_slow_clients_total["/r", "disconnect"] 1"#,
                    r#"sse_upstream_connected["/r"] 1"#,
                ]
            );
            drop((client, hit, unknown, gap));
            stream.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut left = snapshot();
            left.retain(|line| !line.contains("_total"));
            // A snapshot begins anew with each, so this is what all of it went down by.
            assert_eq!(
                left,
                [
                    &format!(r#"sse_history_bytes["/r"] -{bytes}"#),
                    r#"sse_history_events["/r"] -5"#,
                    r#"sse_relay_clients["/r"] -3"#,
                    r#"sse_relays_active["/r"] -1"#,
                    r#"sse_upstream_connected["/r"] -1"#,
                ]
            );
        });
    });
}

#[tokio::test(start_paused = true)]
async fn an_upstream_restarts_five_times_under_five_hundred_clients() {
    for ids in [true, false] {
        let (fake, mut calls) = upstream();
        let layer = RelayLayer::shared(Key::default());
        let app = app(&layer, &fake);
        let waiting: Vec<_> = (0..500).map(|_| send(&app, get("/"), "")).collect();
        let mut stream = calls.recv().await.unwrap().open();
        let mut clients = Vec::new();
        for waiting in waiting {
            clients.push(waiting.client().await);
        }
        let mut expected = Vec::new();
        for restart in 0..=5_u64 {
            let numbers = (restart * 10 + 1)..=(restart * 10 + 10);
            stream.events(numbers.clone(), ids).await;
            expected.extend(numbers.map(|number| number.to_string()));
            if restart == 5 {
                break;
            }
            stream.fail().await;
            // It is down at first.
            drop(calls.recv().await.unwrap().answer(502, &[]));
            let call = calls.recv().await.unwrap();
            assert!(calls.try_recv().is_err(), "one connection at a time");
            if ids {
                let last = (restart * 10 + 10).to_string();
                assert_eq!(call.last_event_id(), Some(&last[..]));
            } else {
                expected.push("stream-gap:null".into());
            }
            stream = call.open();
        }
        for client in &mut clients {
            assert_eq!(client.texts(expected.len()).await, expected);
        }
        assert_eq!(layer.relays()[0].clients, 500, "none was closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_full_relays_stay_within_the_budget_and_give_all_back() {
    const BUDGET: usize = 4 * 1024 * 1024;
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_budget(BUDGET);
    let layer = RelayLayer::shared_in(Key::default(), history.clone());
    let app = app(&layer, &fake);
    let mut open = Vec::new();
    for number in 0..1000 {
        let waiting = send(&app, get(&format!("/{number}")), "");
        let stream = calls.recv().await.unwrap().open();
        open.push((stream, waiting.client().await));
    }
    let event = format!("data: {}\n\n", "x".repeat(1000));
    for _ in 0..10 {
        for (stream, client) in &mut open {
            stream.send(event.clone()).await;
            assert!(client.next().await.is_some());
            assert!(history.bytes() <= BUDGET);
        }
    }
    let evicted = history.evictions();
    assert!(evicted.budget > 5_000, "{evicted:?}");
    drop(open);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(layer.relays().is_empty());
    assert_eq!((history.bytes(), history.logs()), (0, 0));
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(tasks, 0);
}
