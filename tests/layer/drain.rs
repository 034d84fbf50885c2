//! Drains: started, spread, seen, waited for and called off.

use std::time::Duration;

use http::Method;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower_sse::EventLayer;
use tower_sse::stage::{Drain, DrainHandle, Heartbeat};

use crate::client::{Seen, answer, read};
use crate::upstream::{Upstream, upstream};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A client that reads such a stream in a task of its own, for a thousand seconds.
async fn client(layer: &EventLayer<Drain>, method: Method, upstream: Upstream) -> JoinHandle<Seen> {
    let response = answer(layer, method, upstream.response()).await;
    tokio::spawn(read(response.into_body(), 1000))
}

const FAREWELL: &str = ": closing: drain\n";

#[tokio::test(start_paused = true)]
async fn all_streams_end_at_once_when_there_is_a_hurry() {
    for was_started in [false, true] {
        let handle = DrainHandle::new();
        let layer = EventLayer::new(Drain::on(&handle).with_window(secs(10)));
        let mut clients = Vec::new();
        for method in [Method::GET, Method::POST] {
            clients.push(client(&layer, method, upstream()).await);
        }
        if was_started {
            handle.start();
        }
        handle.hurry();
        handle.drained().await;
        clients.push(client(&layer, Method::GET, upstream()).await);
        for client in clients {
            assert_eq!(client.await.unwrap(), [(0, FAREWELL), (0, "(end)")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn idle_streams_are_spread_over_the_window() {
    let handle = DrainHandle::new();
    let layer = EventLayer::new(Drain::on(&handle).with_window(secs(10)));
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(client(&layer, Method::GET, upstream()).await);
    }
    assert_eq!(handle.open_streams(), 200);
    sleep(secs(100)).await;
    assert!(!handle.is_draining());
    assert_eq!(handle.open_streams(), 200);

    handle.start();
    handle.start();
    assert!(handle.is_draining());
    sleep(secs(5)).await;
    let half = handle.open_streams();
    assert!((50..150).contains(&half), "{half} remain in the middle");
    handle.drained().await;
    assert_eq!(handle.open_streams(), 0);

    let mut ends = Vec::new();
    for client in clients {
        let got = client.await.unwrap();
        let [(at, FAREWELL), (end, "(end)")] = got[..] else {
            panic!("{got:?}")
        };
        assert!(at == end && (100..=110).contains(&end), "{end}");
        ends.push(end - 100);
    }
    for second in 0..10 {
        assert!(ends.contains(&second), "none ended in second {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn finite_streams_may_finish_until_the_deadline() {
    let handle = DrainHandle::new();
    let drain = Drain::on(&handle)
        .with_window(secs(10))
        .with_deadline(secs(30));
    let layer = EventLayer::new(drain);
    let brief = upstream().chunk(25, "data: [DONE]\n\n").end(25);
    let long = upstream().chunk(25, "data: a\n\ndata: b").chunk(35, "\n\n");
    let brief = client(&layer, Method::POST, brief).await;
    let long = client(&layer, Method::POST, long).await;
    let endless = client(&layer, Method::GET, upstream()).await;
    handle.start();

    let got = endless.await.unwrap();
    let [(_, FAREWELL), (0..=10, "(end)")] = got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(handle.open_streams(), 2);
    assert_eq!(
        brief.await.unwrap(),
        [(25, "data: [DONE]\n\n"), (25, "(end)")]
    );
    assert_eq!(
        long.await.unwrap(),
        [(25, "data: a\n\n"), (30, FAREWELL), (30, "(end)")]
    );
    assert_eq!(handle.open_streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_window_does_not_outlast_the_deadline() {
    let handle = DrainHandle::new();
    let drain = Drain::on(&handle)
        .with_window(secs(500))
        .with_deadline(secs(3));
    let layer = EventLayer::new(drain);
    for _ in 0..20 {
        client(&layer, Method::GET, upstream()).await;
    }
    handle.start();
    let start = Instant::now();
    handle.drained().await;
    assert!(start.elapsed() <= secs(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_called_off_leaves_the_rest() {
    let handle = DrainHandle::new();
    let layer = EventLayer::new(Drain::on(&handle).with_window(secs(10)));
    for _ in 0..50 {
        client(&layer, Method::GET, upstream()).await;
    }
    handle.start();
    sleep(secs(5)).await;
    handle.cancel();
    let rest = handle.open_streams();
    assert!(rest > 0 && rest < 50);
    sleep(secs(100)).await;
    assert_eq!((handle.is_draining(), handle.open_streams()), (false, rest));

    handle.start();
    let start = Instant::now();
    handle.drained().await;
    assert!(start.elapsed() <= secs(11), "the window begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_while_a_drain_is_on_is_drained_too() {
    let handle = DrainHandle::new();
    let layer = EventLayer::new(Drain::on(&handle).with_window(secs(10)));
    handle.drained().await;
    handle.start();
    handle.drained().await;

    let early = client(&layer, Method::GET, upstream()).await;
    let got = early.await.unwrap();
    assert!(matches!(got[..], [(0..=10, FAREWELL), (0..=10, "(end)")]));

    sleep(secs(20)).await;
    let late = client(&layer, Method::GET, upstream().chunk(0, "data: a\n\n")).await;
    assert_eq!(
        late.await.unwrap(),
        [(0, "data: a\n\n"), (0, FAREWELL), (0, "(end)")]
    );
}

#[tokio::test(start_paused = true)]
async fn clients_that_leave_are_not_waited_for() {
    let handle = DrainHandle::new();
    let layer = EventLayer::new(Drain::on(&handle));
    let unread = answer(&layer, Method::GET, upstream().response()).await;
    let stalled = client(&layer, Method::GET, upstream()).await;
    tokio::task::yield_now().await;
    assert_eq!(handle.open_streams(), 2);

    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.drained().await }
    });
    timeout(secs(100), handle.drained())
        .await
        .expect_err("two are open");
    drop(unread);
    stalled.abort();
    timeout(secs(1), waiting)
        .await
        .expect("none is open")
        .unwrap();
    assert_eq!(handle.open_streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_handle_drains_several_layers_beside_other_stages() {
    let handle = DrainHandle::new();
    let heartbeat = Heartbeat::every(secs(15));
    let one = EventLayer::new((Drain::on(&handle).with_window(secs(0)), heartbeat.clone()));
    let two = EventLayer::new((heartbeat, Drain::on(&handle).with_window(secs(0))));
    let first = answer(&one, Method::GET, upstream().response()).await;
    let second = answer(&two, Method::GET, upstream().response()).await;
    let first = tokio::spawn(read(first.into_body(), 100));
    let second = tokio::spawn(read(second.into_body(), 100));
    sleep(secs(20)).await;
    handle.start();
    let expected = [(15, ":\n"), (20, FAREWELL), (20, "(end)")];
    assert_eq!(first.await.unwrap(), expected);
    assert_eq!(second.await.unwrap(), expected);
}
