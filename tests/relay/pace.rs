//! The upstream is read no further ahead than the history holds of what the fastest client has yet to read.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{CleanEnd, Hangup, Key, OnFull, OnLeave, RelayLayer, SlowClient};
use tower_sse::wire::Event;

use crate::client::{Client, app, get, numbers, send};
use crate::random::Random;
use crate::upstream::{Stream, upstream};

/// Long enough for all that needs no clock.
const MOMENT: Duration = Duration::from_millis(50);

fn resumable(events: usize) -> RelayLayer {
    RelayLayer::resumable_in(MemoryHistory::new().with_events(events))
}

fn shared(events: usize) -> RelayLayer {
    RelayLayer::shared_in(Key::default(), MemoryHistory::new().with_events(events))
}

/// These events in one piece.
async fn burst(stream: &Stream, events: std::ops::RangeInclusive<u64>) {
    let all: String = events.map(|n| format!("data: {n}\n\n")).collect();
    stream.send(all).await;
}

/// Reads to the end.
async fn read_all(client: &mut Client) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(chunk) = client.chunk().await {
        all.extend(texts(client, chunk));
    }
    all
}

/// Reads to the end, resting at times, though never for long.
async fn read_all_resting(client: &mut Client, random: &mut Random) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(chunk) = client.chunk().await {
        all.extend(texts(client, chunk));
        if random.below(20) == 0 {
            sleep(Duration::from_millis(random.below(14_000))).await;
        }
    }
    all
}

fn texts(client: &mut Client, chunk: Bytes) -> Vec<String> {
    let events = client.dispatched(chunk);
    let text = |event: &Event| String::from_utf8(event.data().unwrap().to_vec()).unwrap();
    events.iter().map(text).collect()
}

#[tokio::test(start_paused = true)]
async fn a_burst_arrives_whole_however_small_the_history_is() {
    for seed in 0..150 {
        let random = &mut Random::new(seed);
        let most = [10, 500, 5_000, 50_000][random.below(4) as usize];
        let events = 1 + random.below(most);
        let history = [3, 8, 100, 1_000, 100_000][random.below(5) as usize];
        let is_shared = random.below(2) == 0;
        let layer = if is_shared {
            shared(history).with_clean_end(CleanEnd::Finished)
        } else {
            resumable(history)
        };
        let (fake, mut calls) = upstream();
        let app = app(&layer, &fake);
        let request = match is_shared {
            false if random.below(2) == 0 => http::Request::post("/"),
            _ => get("/"),
        };
        let waiting = send(&app, request, "");
        let stream = calls.recv().await.unwrap().open();
        let mut client = waiting.client().await;
        burst(&stream, 1..=events).await;
        drop(stream);
        let all = match random.below(3) {
            0 => read_all(&mut client).await,
            _ => read_all_resting(&mut client, random).await,
        };
        assert!(
            all == numbers(1..=events),
            "seed {seed}: {events}, {history}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_away_and_comes_back_has_missed_nothing() {
    for seed in 0..100 {
        let random = &mut Random::new(seed);
        let events = 1 + random.below(6_000);
        let history = [3, 100, 1_000, 100_000][random.below(4) as usize];
        let (fake, mut calls) = upstream();
        let app = app(&resumable(history), &fake);
        let post = || http::Request::post("/tokens");
        let waiting = send(&app, post(), "prompt");
        let stream = calls.recv().await.unwrap().open();
        let mut client = waiting.client().await;
        burst(&stream, 1..=events).await;
        drop(stream);
        let mut all = Vec::new();
        for _ in 0..3 {
            let Some(chunk) = client.chunk().await else {
                break;
            };
            all.extend(texts(&mut client, chunk));
        }
        let id = std::mem::take(&mut client.last_id);
        drop(client);
        sleep(Duration::from_secs(random.below(9))).await;
        if all.len() < events as usize {
            let back = post().header("last-event-id", id);
            let mut client = send(&app, back, "prompt").client().await;
            all.extend(read_all_resting(&mut client, random).await);
        }
        assert!(
            all == numbers(1..=events),
            "seed {seed}: {events}, {history}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_is_held_while_its_client_is_away_and_for_no_longer_than_it_is_tried_again() {
    let (fake, mut calls) = upstream();
    let layer = resumable(10)
        .with_on_leave(OnLeave::Finish)
        .with_give_up(Duration::from_secs(100));
    let app = app(&layer, &fake);
    let waiting = send(&app, http::Request::post("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.events([1], false).await;
    assert_eq!(client.text().await, "1");
    let id = client.last_id.clone();
    drop(client);
    stream.events(2..=500, false).await;
    sleep(Duration::from_secs(99)).await;
    assert!(stream.untaken() > 0);
    assert!(layer.history().bytes() < 11 * 300);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stream.untaken(), 0);
    let back = http::Request::post("/").header("last-event-id", id);
    let mut client = send(&app, back, "").client().await;
    assert_eq!(client.text().await, "stream-gap:489");
    // From here on somebody is waited for again.
    stream.events(501..=900, false).await;
    sleep(MOMENT).await;
    assert!(stream.untaken() > 0);
    assert_eq!(client.texts(410).await, numbers(491..=900));
}

#[tokio::test(start_paused = true)]
async fn a_shared_stream_without_clients_is_not_held_unless_it_is_to_be() {
    for (on_full, is_held) in [(None, false), (Some(OnFull::Wait), true)] {
        let (fake, mut calls) = upstream();
        let mut layer = shared(10).with_on_leave(OnLeave::Finish);
        if let Some(on_full) = on_full {
            layer = layer.with_on_full(on_full);
        }
        let app = app(&layer, &fake);
        let waiting = send(&app, get("/"), "");
        let stream = calls.recv().await.unwrap().open();
        drop(waiting.client().await);
        stream.events(1..=500, false).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(stream.untaken() > 0, is_held);
    }
}

#[tokio::test(start_paused = true)]
async fn the_fastest_of_those_who_share_decides_and_others_fall_out() {
    let (fake, mut calls) = upstream();
    let layer = shared(10).with_slow_client(SlowClient::Skip);
    let app = app(&layer, &fake);
    let waiting = send(&app, get("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut fast = waiting.client().await;
    let mut slow = send(&app, get("/"), "").client().await;
    let start = Instant::now();
    burst(&stream, 1..=5_000).await;
    assert_eq!(fast.texts(5_000).await, numbers(1..=5_000));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(slow.text().await, "stream-gap:4990");
    assert_eq!(slow.texts(10).await, numbers(4_991..=5_000));
}

#[tokio::test(start_paused = true)]
async fn who_stops_reading_is_waited_for_for_a_while_and_then_the_next_decides() {
    let (fake, mut calls) = upstream();
    let layer = shared(10).with_client_stall_timeout(Duration::from_secs(20));
    let app = app(&layer, &fake);
    let waiting = send(&app, get("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut stopped = waiting.client().await;
    stream.events(1..=5, false).await;
    assert_eq!(stopped.texts(5).await, numbers(1..=5));
    stream.events(6..=100, false).await;
    sleep(Duration::from_secs(19)).await;
    assert!(stream.untaken() > 0, "it may read on");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(stream.untaken(), 0, "the stream goes on");
    // One that reads is waited for, the other is not any more.
    let mut other = send(&app, get("/"), "").client().await;
    burst(&stream, 101..=1_000).await;
    assert_eq!(other.texts(900).await, numbers(101..=1_000));
    assert_eq!(stopped.text().await, "(end)");
}

#[tokio::test(start_paused = true)]
async fn who_stops_reading_a_stream_of_its_own_is_let_go_and_finds_the_rest_when_it_comes_back() {
    let (fake, mut calls) = upstream();
    let layer = resumable(10).with_on_leave(OnLeave::Linger(Duration::from_secs(60)));
    let app = app(&layer, &fake);
    let hangup = Hangup::new();
    let mut request = http::Request::post("/");
    request.extensions_mut().unwrap().insert(hangup.clone());
    let waiting = send(&app, request, "");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.events(1..=500, false).await;
    drop(stream);
    let chunk = client.chunk().await.unwrap();
    let mut all = texts(&mut client, chunk);
    let start = Instant::now();
    hangup.asked().await;
    assert_eq!(start.elapsed().as_secs(), 30);
    let id = client.last_id.clone();
    drop(client);
    sleep(Duration::from_secs(30)).await;
    let back = http::Request::post("/").header("last-event-id", id);
    let mut client = send(&app, back, "").client().await;
    all.extend(read_all(&mut client).await);
    assert_eq!(all, numbers(1..=500));
}

#[tokio::test(start_paused = true)]
async fn who_stops_and_is_to_skip_is_told() {
    let (fake, mut calls) = upstream();
    let layer = resumable(10).with_slow_client(SlowClient::Skip);
    let app = app(&layer, &fake);
    let waiting = send(&app, http::Request::post("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.events(1..=500, false).await;
    sleep(Duration::from_secs(31)).await;
    assert_eq!(stream.untaken(), 0);
    assert_eq!(client.text().await, "stream-gap:490");
    assert_eq!(client.texts(10).await, numbers(491..=500));
}

#[tokio::test(start_paused = true)]
async fn many_who_never_read_cost_no_more_than_their_histories() {
    let (fake, mut calls) = upstream();
    let layer = resumable(100);
    let app = app(&layer, &fake);
    let mut open = Vec::new();
    for _ in 0..10 {
        let waiting = send(&app, http::Request::post("/"), "");
        let stream = calls.recv().await.unwrap().open();
        let client = waiting.client().await;
        stream.events(1..=9_000, false).await;
        open.push((stream, client));
    }
    sleep(Duration::from_secs(20)).await;
    for (stream, _) in &open {
        assert!(stream.untaken() > 8_000, "{}", stream.untaken());
    }
    assert!(layer.relays().iter().all(|relay| relay.events <= 101));
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_grows_no_older() {
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_events(100);
    let layer = RelayLayer::resumable_in(history.with_age(Duration::from_secs(5)));
    let app = app(&layer, &fake);
    let waiting = send(&app, http::Request::post("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    stream.events(1..=9_000, false).await;
    drop(stream);
    let mut all = Vec::new();
    while let Some(chunk) = client.chunk().await {
        all.extend(client.dispatched(chunk));
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(all.len(), 9_000);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_used_up_slows_down_and_loses_nothing() {
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_budget(1 << 20);
    let layer = RelayLayer::resumable_in(history.with_events(usize::MAX).with_bytes(64 << 20));
    let app = app(&layer, &fake);
    let mut open = Vec::new();
    for _ in 0..20 {
        let waiting = send(&app, http::Request::post("/"), "");
        let stream = calls.recv().await.unwrap().open();
        open.push((stream, waiting.client().await));
    }
    for (stream, _) in &open {
        burst(stream, 1..=3_000).await;
    }
    sleep(MOMENT).await;
    for (stream, mut client) in open {
        drop(stream);
        let all = read_all(&mut client).await;
        assert!(all == numbers(1..=3_000));
        assert!(layer.history().held() <= 1 << 20);
    }
    assert!(layer.history().evictions().budget > 0);
}

#[tokio::test(start_paused = true)]
async fn who_catches_up_does_not_hold_up_those_who_read() {
    let (fake, mut calls) = upstream();
    let app = app(&shared(10), &fake);
    let waiting = send(&app, get("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut reader = waiting.client().await;
    stream.events([1], true).await;
    assert_eq!(reader.text().await, "1");
    let request = get("/").header("last-event-id", "0");
    let mut late = send(&app, request, "").client().await;
    let waits = tokio::spawn(async move { late.text().await });
    let _unanswered = calls.recv().await.unwrap();
    sleep(MOMENT).await;
    stream.events(2..=2_000, true).await;
    sleep(MOMENT).await;
    assert!(stream.untaken() > 0, "who reads has yet to");
    assert_eq!(reader.texts(1_999).await, numbers(2..=2_000));
    waits.abort();
}
