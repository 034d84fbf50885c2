//! Many clients of one stream, whose events come so fast that they are written to all of them in one go.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::{admin, admin_until, sum_of};
use crate::client::{Client, Event, get};
use crate::gateway::{Gateway, PATIENCE};
use crate::upstream::numbers;
use crate::wire::{Wire, WireUpstream};

const CLIENTS: usize = 60;
/// From one event to the next. Much less than a half of a second, beyond which each client is given its events by itself.
const PACE: Duration = Duration::from_millis(5);

/// Opens so many streams, which share the one that the upstream is asked for.
async fn open(count: usize, flags: &[&str]) -> (Gateway, Vec<Client>, Wire) {
    let upstream = WireUpstream::bind().await;
    let flags = [&["--share", "on", "--threads", "2"], flags].concat();
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let first = Client::send(&gateway, &get(&[])).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.open_stream().await;
    let mut clients = vec![Client::opened(first).await];
    while clients.len() < count {
        clients.push(Client::open(&gateway, &get(&[])).await);
    }
    (gateway, clients, server)
}

async fn send(server: &mut Wire, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        server.numbers([number]).await;
        tokio::time::sleep(PACE).await;
    }
}

async fn read_all(clients: Vec<Client>, count: usize) -> Vec<(Client, Vec<Event>)> {
    let mut reading = JoinSet::new();
    for mut client in clients {
        reading.spawn(async move {
            let events = client.take(count).await;
            (client, events)
        });
    }
    reading.join_all().await
}

fn data(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.data.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_is_given_all_and_all_is_counted() {
    let flags = ["--heartbeat", "300ms", "--heartbeat-frame", "event:beat"];
    let (gateway, clients, mut server) = open(CLIENTS, &flags).await;
    let sent = 400;
    let reading = tokio::spawn(read_all(clients, sent));
    let mut number = 0;
    for _ in 0..4 {
        send(&mut server, number + 1..=number + 100).await;
        number += 100;
        // What is counted is what was sent, at any time.
        let metrics = admin_until(&gateway, "/metrics", |metrics| {
            sum_of(metrics, "sse_events_total") == u64::from(number) * CLIENTS as u64
        })
        .await;
        assert_eq!(sum_of(&metrics, "sse_streams_active"), CLIENTS as u64);
        let streams = admin(&gateway, "/streams").await;
        let list: serde_json::Value = serde_json::from_str(&streams).expect("JSON");
        for stream in list["streams"].as_array().expect("a list") {
            assert_eq!(stream["events"], number, "{streams}");
        }
    }
    let mut clients = Vec::new();
    for (client, events) in reading.await.expect("all read") {
        assert_eq!(data(&events), numbers(1..=number));
        clients.push(client);
    }
    // Nobody is given events, and so each is given heartbeats.
    for client in &mut clients {
        client.until_text("event: beat\n").await;
    }
    server.end_stream().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_leave_and_come_back_miss_nothing() {
    let (gateway, clients, mut server) = open(CLIENTS, &[]).await;
    let sent: u32 = 600;
    let mut reading = JoinSet::new();
    for (index, mut client) in clients.into_iter().enumerate() {
        let address = gateway.address;
        reading.spawn(async move {
            let mut events = Vec::new();
            // Some leave once and again, others stay.
            let leaves_behind = [40, 77, usize::MAX][index % 3];
            while events.len() < sent as usize {
                let left = sent as usize - events.len();
                events.append(&mut client.take(left.min(leaves_behind)).await);
                if left > leaves_behind {
                    drop(client);
                    let id = &events.last().expect("some").id;
                    let back = get(&[&format!("Last-Event-ID: {id}")]);
                    client = Client::open_at(address, &back).await;
                }
            }
            events
        });
    }
    send(&mut server, 1..=sent).await;
    for events in reading.join_all().await {
        assert_eq!(data(&events), numbers(1..=sent));
    }
    admin_until(&gateway, "/metrics", |metrics| {
        sum_of(metrics, "sse_streams_active") == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_do_not_read_for_a_while_miss_nothing_and_hold_up_nobody() {
    let flags = ["--history-bytes", "64MiB", "--history-events", "100000"];
    let (_gateway, clients, mut server) = open(20, &flags).await;
    let (slow, quick): (Vec<_>, Vec<_>) =
        (0..).zip(clients).partition(|(index, _)| index % 10 == 0);
    let [slow, quick] =
        [slow, quick].map(|some| some.into_iter().map(|(_, client)| client).collect());
    let filler = "x".repeat(20_000);
    let sent: u32 = 700;
    let reading = tokio::spawn(read_all(quick, sent as usize));
    for number in 1..=sent {
        server
            .piece(&format!("id: {number}\ndata: {number} {filler}\n\n"))
            .await;
        if number % 8 == 0 {
            tokio::time::sleep(PACE).await;
        }
    }
    let whole = |events: Vec<Event>| {
        let numbers: Vec<_> = (1..=sent)
            .map(|number| format!("{number} {filler}"))
            .collect();
        assert!(data(&events) == numbers);
    };
    for (_, events) in reading.await.expect("all read") {
        whole(events);
    }
    // All of it is there for them.
    for (_, events) in read_all(slow, sent as usize).await {
        whole(events);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_between_events_are_seen_and_others_are_not() {
    let (gateway, clients, mut server) = open(CLIENTS, &[]).await;
    let reading = tokio::spawn(read_all(clients, 200));
    send(&mut server, 1..=50).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    send(&mut server, 51..=200).await;
    reading.await.expect("all read");
    let metrics = admin(&gateway, "/metrics").await;
    let gaps = sum_of(&metrics, "sse_event_gap_seconds_count");
    assert!(
        gaps >= CLIENTS as u64 && gaps % CLIENTS as u64 == 0,
        "{gaps} pauses"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_each_of_many_behind_a_whole_event() {
    let (mut gateway, clients, mut server) = open(
        CLIENTS,
        &["--drain-window", "500ms", "--drain-deadline", "5s"],
    )
    .await;
    let mut reading = JoinSet::new();
    for mut client in clients {
        reading.spawn(async move {
            let mut events = Vec::new();
            while let Some(event) = client.next().await {
                events.push(event);
            }
            events
        });
    }
    send(&mut server, 1..=100).await;
    gateway.terminate();
    let mut number = 100;
    while gateway.is_running() {
        number += 1;
        server
            .send_if_open(format!(
                "{:x}\r\ndata: {number}\n\n\r\n",
                8 + number.to_string().len()
            ))
            .await;
        tokio::time::sleep(PACE).await;
    }
    for events in reading.join_all().await {
        assert!(events.len() >= 100, "{}", events.len());
        assert_eq!(data(&events), numbers(1..=events.len() as u32));
    }
    assert!(gateway.exit().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_who_never_reads_is_let_go() {
    let (gateway, mut clients, mut server) = open(20, &["--slow-client", "disconnect"]).await;
    let silent = clients.pop().expect("some");
    let mut reading = JoinSet::new();
    let (read, reads) = watch::channel(0);
    let others = clients.len();
    for mut client in clients {
        let read = read.clone();
        reading.spawn(async move {
            while client.next().await.is_some() {
                read.send_modify(|read| *read += 1);
            }
        });
    }
    let filler = "x".repeat(20_000);
    let mut sent = 0;
    let mut slow = 0;
    while slow == 0 {
        assert!(sent < 20_000, "it is still there");
        // More than a socket takes, before anybody asks how much was sent.
        for _ in 0..500 {
            server.piece(&format!("data: {filler}\n\n")).await;
            sent += 1;
            tokio::time::sleep(PACE).await;
            // Those who read keep up, on however busy a machine.
            let mut reads = reads.clone();
            let read = reads.wait_for(|read| read + 10 * others >= sent * others);
            let read = timeout(PATIENCE, read).await.expect("they read");
            drop(read.expect("they are there"));
        }
        let metrics = admin(&gateway, "/metrics").await;
        slow = sum_of(&metrics, "sse_slow_clients_total");
    }
    let metrics = admin_until(&gateway, "/metrics", |metrics| {
        sum_of(metrics, "sse_streams_active") == 19
    })
    .await;
    assert_eq!(sum_of(&metrics, "sse_slow_clients_total"), 1);
    drop(silent);
    reading.abort_all();
}
