//! `--resume`: a stream that goes on while its client is away.

use crate::admin::{admin_until, upstream_requests};
use crate::client::{Client, get, post};
use crate::gateway::Gateway;
use crate::upstream::numbers;
use crate::wire::{WireUpstream, field};

#[tokio::test]
async fn a_token_stream_is_resumed_and_never_asked_for_twice() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--resume", "on", "--retry", "off"]);
    let question = "{\"prompt\":\"why\"}";
    let mine = "Authorization: mine";
    let client = Client::send(&gateway, &post(&[mine], question)).await;
    let mut server = upstream.accept().await;
    assert!(server.head().await.starts_with("POST /stream "));
    assert_eq!(server.until(question).await, question);
    server.open_stream().await;
    let mut client = Client::opened(client).await;
    server.numbers(1..=100).await;
    let last = client.take(100).await.pop().expect("events");
    drop(client);
    admin_until(&gateway, "/streams", |streams| {
        streams.contains("\"clients\":0")
    })
    .await;
    server.numbers(101..=200).await;

    let back = format!("Last-Event-ID: {}", last.id);
    let mut client = Client::open(&gateway, &post(&[mine, &back], question)).await;
    server.numbers(201..=300).await;
    server.end_stream().await;
    let events = client.take(200).await;
    let data: Vec<_> = events.iter().map(|event| event.data.clone()).collect();
    assert_eq!(data, numbers(101..=300));
    assert_eq!(client.next().await, None);

    // Somebody else with the id gets nothing of it, and the upstream is not asked for them either.
    let other = ["Authorization: other", &back];
    let other = Client::open(&gateway, &post(&other, question)).await;
    assert!(other.broken().await.contains("\n: closing: gap\n"));

    // All of it was received.
    let last = format!("Last-Event-ID: {}", events[199].id);
    let done = Client::open(&gateway, &post(&[mine, &last], question)).await;
    assert_eq!(done.status(), "204");
    assert_eq!(upstream_requests(&gateway).await, 1);
}

#[tokio::test]
async fn each_client_has_its_own() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--resume", "on"]);
    let mut all = Vec::new();
    for number in 1..=2 {
        let client = Client::send(&gateway, &get(&[])).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.open_stream().await;
        server.numbers([number]).await;
        all.push((number, Client::opened(client).await, server));
    }
    for (number, client, _) in &mut all {
        assert_eq!(client.data(1).await, numbers([*number]));
    }
}

#[tokio::test]
async fn a_silent_upstream_is_asked_again_and_the_client_stays() {
    for sharing in ["--share", "--resume"] {
        let upstream = WireUpstream::bind().await;
        let flags = [sharing, "on", "--idle-timeout", "300ms"];
        let gateway = Gateway::with_admin(&upstream.url, &flags);
        let client = Client::send(&gateway, &get(&[])).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.open_stream().await;
        server.piece("retry: 1\nid: 1\ndata: 1\n\n").await;
        let mut client = Client::opened(client).await;
        assert_eq!(client.data(1).await, ["1"]);
        assert_eq!(server.rest().await, "");
        let mut server = upstream.accept().await;
        assert_eq!(field(&server.head().await, "last-event-id"), ["1"]);
        server.open_stream().await;
        server.numbers_with_ids([2]).await;
        assert_eq!(client.data(1).await, ["2"], "{sharing}");
    }
}
