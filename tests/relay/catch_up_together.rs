//! Many clients whose places the relay does not have are brought there by few upstream requests.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Key, RelayLayer};
use tower_sse::wire::{Epoch, SequentialId};

use crate::client::{App, Client, app, get, numbers, send};
use crate::upstream::{Call, Stream, upstream};

/// A relay that began behind what clients have missed.
struct Scene {
    app: App,
    calls: mpsc::Receiver<Call>,
    shared: Stream,
    first: Client,
}

impl Scene {
    async fn open() -> Self {
        Self::with(&RelayLayer::shared(Key::default())).await
    }

    async fn with(layer: &RelayLayer) -> Self {
        let (fake, mut calls) = upstream();
        let app = app(layer, &fake);
        let first = send(&app, get("/events"), "");
        let shared = calls.recv().await.unwrap().open();
        let first = first.client().await;
        Scene {
            app,
            calls,
            shared,
            first,
        }
    }

    async fn back(&self, id: &str) -> Client {
        let request = get("/events").header("last-event-id", id);
        send(&self.app, request, "").client().await
    }

    /// The next request, which is made for who came with this id of the upstream.
    async fn asked(&mut self, id: &str) -> Call {
        let call = self.calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some(id));
        call
    }

    /// The relay is given these.
    async fn live(&mut self, range: RangeInclusive<u64>) {
        self.shared.events(range.clone(), true).await;
        let count = range.clone().count();
        assert_eq!(self.first.texts(count).await, numbers(range));
    }

    fn is_asked_no_more(&mut self) {
        assert!(self.calls.try_recv().is_err(), "it is asked once more");
    }
}

/// Events of which a group keeps ten.
async fn large(stream: &Stream, numbers: RangeInclusive<u64>) {
    let filler = "x".repeat(100_000);
    for number in numbers {
        stream
            .try_send(format!("id: {number}\ndata: {number}\ndata: {filler}\n\n"))
            .await;
    }
}

/// The numbers of so many events.
async fn read(client: &mut Client, count: usize) -> Vec<String> {
    let mut read = Vec::new();
    for text in client.texts(count).await {
        read.push(text.lines().next().unwrap_or_default().to_owned());
    }
    read
}

#[tokio::test(start_paused = true)]
async fn all_who_come_with_one_id_make_one_request() {
    let mut scene = Scene::open().await;
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(scene.back("5").await);
    }
    let own = scene.asked("5").await.open();
    scene.live(16..=20).await;
    own.events(6..=20, true).await;
    for client in &mut clients {
        assert_eq!(client.texts(15).await, numbers(6..=20));
    }
    own.cancelled().await;
    scene.live(21..=22).await;
    for client in &mut clients {
        assert_eq!(client.texts(2).await, numbers(21..=22));
    }
    scene.is_asked_no_more();
}

#[tokio::test(start_paused = true)]
async fn each_place_is_asked_for_once() {
    let mut scene = Scene::open().await;
    let mut clients = Vec::new();
    for _ in 0..15 {
        for place in 1..=20 {
            clients.push((place, scene.back(&place.to_string()).await));
        }
    }
    scene.live(30..=32).await;
    let mut streams = Vec::new();
    for _ in 1..=20 {
        let call = scene.calls.recv().await.unwrap();
        let place: u64 = call.last_event_id().unwrap().parse().unwrap();
        let stream = call.open();
        stream.events(place + 1..=30, true).await;
        streams.push(stream);
    }
    for (place, client) in &mut clients {
        let expected = numbers(*place + 1..=32);
        assert_eq!(client.texts(expected.len()).await, expected);
    }
    scene.is_asked_no_more();
}

#[tokio::test(start_paused = true)]
async fn who_has_the_same_id_of_the_upstream_in_another_form_is_of_the_group() {
    let mut scene = Scene::open().await;
    let mut clients = Vec::new();
    for number in 1..=10 {
        let id = SequentialId {
            epoch: Epoch::from_bits(number),
            sequence: number,
            upstream: Some(b"5"),
        };
        let id = String::from_utf8(id.to_event_id().as_bytes().to_vec()).unwrap();
        clients.push(scene.back(&id).await);
        clients.push(scene.back("5").await);
    }
    let own = scene.asked("5").await.open();
    scene.live(8..=8).await;
    own.events(6..=8, true).await;
    for client in &mut clients {
        assert_eq!(client.texts(3).await, numbers(6..=8));
    }
    scene.is_asked_no_more();
}

#[tokio::test(start_paused = true)]
async fn one_who_does_not_read_holds_nobody_up_and_is_given_all_later() {
    for has_read in [0, 3] {
        let mut scene = Scene::open().await;
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(scene.back("5").await);
        }
        let mut stalled = clients.pop().expect("ten");
        let own = scene.asked("5").await.open();
        large(&own, 6..=45).await;
        assert_eq!(read(&mut stalled, has_read).await.len(), has_read);
        for _ in 0..40 {
            for client in &mut clients {
                client.text().await;
            }
        }
        large(&scene.shared, 45..=46).await;
        assert_eq!(read(&mut scene.first, 2).await, numbers(45..=46));
        for client in &mut clients {
            assert_eq!(read(client, 1).await, numbers(46..=46));
        }
        scene.is_asked_no_more();

        let had = 5 + has_read as u64;
        let waiting = tokio::spawn(async move {
            let read = read(&mut stalled, 41 - has_read).await;
            (stalled, read)
        });
        let own = scene.asked(&had.to_string()).await.open();
        large(&own, had + 1..=45).await;
        let (mut stalled, given) = waiting.await.unwrap();
        assert_eq!(given, numbers(had + 1..=46));
        own.cancelled().await;
        large(&scene.shared, 47..=47).await;
        assert_eq!(read(&mut stalled, 1).await, ["47"]);
        scene.is_asked_no_more();
    }
}

#[tokio::test(start_paused = true)]
async fn who_falls_behind_where_there_are_no_ids_is_told() {
    let mut scene = Scene::open().await;
    let mut fast = scene.back("5").await;
    let mut stalled = scene.back("5").await;
    let own = scene.asked("5").await.open();
    let filler = "x".repeat(100_000);
    for number in 6..=40 {
        let id = if number == 6 { "id: 6\n" } else { "" };
        own.send(format!("{id}data: {number}\ndata: {filler}\n\n"))
            .await;
    }
    assert_eq!(read(&mut stalled, 3).await, numbers(6..=8));
    assert_eq!(read(&mut fast, 35).await, numbers(6..=40));
    scene.live(50..=50).await;
    assert_eq!(stalled.texts(2).await, ["stream-gap:null", "50"]);
    scene.is_asked_no_more();
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_read_as_fast_as_the_fastest_reads() {
    let mut scene = Scene::open().await;
    let mut fast = scene.back("5").await;
    let _slow = scene.back("5").await;
    let own = scene.asked("5").await.open();
    own.events(6..=105, true).await;
    sleep(Duration::from_secs(1)).await;
    // One is given, and one is in hand.
    assert_eq!(own.untaken(), 98);
    assert_eq!(fast.texts(10).await, numbers(6..=15));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(own.untaken(), 88);
}

#[tokio::test(start_paused = true)]
async fn a_group_goes_on_while_it_has_a_member() {
    let mut scene = Scene::open().await;
    let mut first = scene.back("5").await;
    let mut second = scene.back("5").await;
    let mut third = scene.back("5").await;
    let own = scene.asked("5").await.open();
    own.events(6..=9, true).await;
    // Who was furthest ahead leaves, while another waits.
    assert_eq!(first.texts(4).await, numbers(6..=9));
    let waiting = tokio::spawn(async move {
        let read = second.texts(6).await;
        (second, read)
    });
    sleep(Duration::from_secs(1)).await;
    drop(first);
    own.events(10..=11, true).await;
    let (second, read) = waiting.await.unwrap();
    assert_eq!(read, numbers(6..=11));
    drop(second);
    own.events([12], true).await;
    assert_eq!(third.texts(7).await, numbers(6..=12));
    assert!(!own.is_cancelled());
    drop(third);
    own.cancelled().await;

    // Who comes then is asked for anew.
    let late = scene.back("5").await;
    let mut call = scene.asked("5").await;
    drop(late);
    call.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_shares_what_is_whole() {
    for is_whole in [true, false] {
        let mut scene = Scene::open().await;
        let mut first = scene.back("5").await;
        let own = scene.asked("5").await.open();
        let last = if is_whole { 10 } else { 30 };
        large(&own, 6..=last).await;
        let count = usize::try_from(last - 5).unwrap();
        assert_eq!(read(&mut first, count).await, numbers(6..=last));
        let mut late = scene.back("5").await;
        if is_whole {
            assert_eq!(read(&mut late, count).await, numbers(6..=last));
            scene.is_asked_no_more();
            continue;
        }
        let other = scene.asked("5").await.open();
        large(&other, 6..=8).await;
        assert_eq!(read(&mut late, 3).await, numbers(6..=8));
        large(&own, 31..=31).await;
        assert_eq!(read(&mut first, 1).await, ["31"]);
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_a_little_later_is_given_what_met_the_relay() {
    let mut scene = Scene::open().await;
    let mut first = scene.back("5").await;
    let own = scene.asked("5").await.open();
    scene.live(8..=9).await;
    own.events(6..=8, true).await;
    assert_eq!(first.texts(4).await, numbers(6..=9));
    own.cancelled().await;
    drop(first);
    scene.live(10..=10).await;
    sleep(Duration::from_secs(9)).await;
    let mut late = scene.back("5").await;
    assert_eq!(late.texts(5).await, numbers(6..=10));
    scene.is_asked_no_more();
    sleep(Duration::from_secs(2)).await;
    let _later = scene.back("5").await;
    scene.asked("5").await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_too_late_to_where_the_relay_was_met_is_caught_up_from_there() {
    let history = MemoryHistory::new().with_events(3);
    let layer = RelayLayer::shared_in(Key::default(), history);
    let mut scene = Scene::with(&layer).await;
    let mut fast = scene.back("5").await;
    let mut slow = scene.back("5").await;
    let own = scene.asked("5").await.open();
    scene.live(8..=8).await;
    own.events(6..=8, true).await;
    assert_eq!(fast.texts(3).await, numbers(6..=8));
    for number in 9..=20 {
        scene.live(number..=number).await;
        assert_eq!(fast.text().await, number.to_string());
    }
    let waiting = tokio::spawn(async move { slow.texts(15).await });
    let other = scene.asked("8").await.open();
    other.events(9..=18, true).await;
    assert_eq!(waiting.await.unwrap(), numbers(6..=20));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_one_clients_own_is_given_to_one() {
    for field in [("cache-control", "private"), ("vary", "x-real-ip")] {
        let mut scene = Scene::open().await;
        let mut clients = [scene.back("5").await, scene.back("5").await];
        let own = scene.asked("5").await.open_with(&[field]);
        own.events(6..=7, true).await;
        assert_eq!(clients[0].texts(2).await, numbers(6..=7));
        let [_first, mut second] = clients;
        let waiting = tokio::spawn(async move { second.texts(2).await });
        let other = scene.asked("5").await.open_with(&[field]);
        other.events(6..=7, true).await;
        assert_eq!(waiting.await.unwrap(), numbers(6..=7));
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_has_one_turn_and_each_of_its_clients_waits_for_one_no_shorter() {
    let mut scene = Scene::open().await;
    let mut clients = Vec::new();
    let mut asked = Vec::new();
    for number in 0..64 {
        clients.push(scene.back(&format!("of-{number}")).await);
        asked.push(scene.calls.recv().await.unwrap());
    }
    let mut first = scene.back("5").await;
    sleep(Duration::from_secs(9)).await;
    let mut late = scene.back("5").await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(first.text().await, "stream-gap:null");
    let waiting = tokio::spawn(async move { late.texts(1).await });
    let call = timeout(Duration::from_secs(5), scene.calls.recv()).await;
    assert!(call.is_err(), "nobody has left yet");
    drop(asked.pop().expect("64").answer(204, &[]));
    let own = scene.asked("5").await.open();
    own.events([6], true).await;
    assert_eq!(waiting.await.unwrap(), ["6"]);
}
