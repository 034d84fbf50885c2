//! How many event streams there may be.

use std::time::Duration;

use tokio::time::timeout;

use crate::gateway::Gateway;
use crate::support::admin::metric;
use crate::wire::{Wire, WireUpstream, field};

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
const EVENT_SOURCE: &str = "GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
const ANYTHING: &str = "POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";

async fn open(
    upstream: &WireUpstream,
    gateway: &Gateway,
    request: &str,
    head: &str,
) -> (Wire, Wire) {
    let (mut client, mut server) = upstream.asked(gateway.address, request).await;
    server.send(head).await;
    client.until("data: 1\n\n").await;
    (client, server)
}

/// What somebody gets whose request the upstream does not see.
async fn refused(upstream: &WireUpstream, gateway: &Gateway, request: &str) -> String {
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(request.replacen("\r\n", "\r\nConnection: close\r\n", 1))
        .await;
    let got = client.rest().await;
    let asked = timeout(Duration::from_millis(100), upstream.accept()).await;
    assert!(asked.is_err(), "the upstream is not asked");
    got
}

#[tokio::test]
async fn who_opens_more_connections_than_it_may_has_them_closed() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--max-connection-rate-per-client", "2/h"];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let mut first = open(&upstream, &gateway, EVENT_SOURCE, STREAM).await;
    let second = open(&upstream, &gateway, ANYTHING, STREAM).await;
    for _ in 0..2 {
        let mut client = Wire::connect(gateway.address).await;
        client.send_if_open(EVENT_SOURCE).await;
        assert_eq!(client.rest().await, "");
    }
    let refused = metric(&gateway, "sse_streams_refused_total{limit=\"connections\"}").await;
    assert_eq!(refused, 2);
    // What is open stays.
    first.1.send("data: 2\n\n").await;
    first.0.until("data: 2\n\n").await;
    drop(second);
}

#[tokio::test]
async fn an_event_source_above_the_limit_is_left_to_come_again() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--max-streams", "2"]);
    let first = open(&upstream, &gateway, EVENT_SOURCE, STREAM).await;
    let second = open(&upstream, &gateway, EVENT_SOURCE, STREAM).await;
    assert_eq!(refused(&upstream, &gateway, EVENT_SOURCE).await, "");
    assert_eq!(
        metric(&gateway, "sse_streams_refused_total{limit=\"all\"}").await,
        1
    );

    // A page is no stream, and neither waits nor counts.
    let (mut client, mut server) = upstream
        .asked(gateway.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    server
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\npage")
        .await;
    client.until("page").await;

    // Of who takes anything the answer shows what it is.
    let (mut client, mut server) = upstream.asked(gateway.address, ANYTHING).await;
    server.send(STREAM).await;
    let got = client.head().await;
    assert!(got.starts_with("HTTP/1.1 503 "), "{got}");
    assert_eq!(field(&got, "retry-after"), ["5"]);
    assert_eq!(server.rest().await, "{}", "the upstream's stream ends");

    drop(first);
    drop(second);
    let began = std::time::Instant::now();
    loop {
        let mut client = Wire::connect(gateway.address).await;
        client.send(EVENT_SOURCE).await;
        if let Ok(mut server) = timeout(Duration::from_millis(200), upstream.accept()).await {
            server.head().await;
            server.send(STREAM).await;
            client.until("data: 1\n\n").await;
            break;
        }
        assert!(
            began.elapsed() < crate::gateway::PATIENCE,
            "there is room again"
        );
    }
}

#[tokio::test]
async fn who_asks_for_answers_is_told_when_to_come_again() {
    let upstream = WireUpstream::bind().await;
    for (flag, status) in [
        ("--max-streams", "HTTP/1.1 503 "),
        ("--max-streams-per-route", "HTTP/1.1 503 "),
        ("--max-streams-per-client", "HTTP/1.1 429 "),
    ] {
        let gateway = Gateway::with(&upstream.url, &[flag, "1", "--no-answer", "answer"], &[]);
        let _first = open(&upstream, &gateway, ANYTHING, STREAM).await;
        let got = refused(&upstream, &gateway, EVENT_SOURCE).await;
        assert!(got.starts_with(status), "{flag}: {got}");
        assert_eq!(field(&got, "retry-after"), ["5"]);
    }
}

#[tokio::test]
async fn clients_of_a_shared_stream_and_encoded_streams_count() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(
        &upstream.url,
        &[
            "--max-streams",
            "2",
            "--share",
            "on",
            "--no-answer",
            "answer",
        ],
        &[],
    );
    let first = open(&upstream, &gateway, EVENT_SOURCE, STREAM).await;
    let mut second = Wire::connect(gateway.address).await;
    second.send(EVENT_SOURCE).await;
    second.head().await;
    let got = refused(&upstream, &gateway, EVENT_SOURCE).await;
    assert!(got.starts_with("HTTP/1.1 503 "), "{got}");
    // It would ask the upstream again for the one that is left.
    drop(gateway);
    drop((first, second));

    let gateway = Gateway::with(
        &upstream.url,
        &["--max-streams", "1", "--no-answer", "answer"],
        &[],
    );
    let encoded = STREAM.replace("\r\n\r\n", "\r\nContent-Encoding: x-none\r\n\r\n");
    let _encoded = open(&upstream, &gateway, EVENT_SOURCE, &encoded).await;
    let got = refused(&upstream, &gateway, EVENT_SOURCE).await;
    assert!(got.starts_with("HTTP/1.1 503 "), "{got}");
}

#[tokio::test]
async fn who_asks_too_often_is_told_so_and_an_event_source_is_left_to_come_again() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--max-rate-per-client", "3/h"];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let page = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for _ in 0..2 {
        let (mut client, mut server) = upstream.asked(gateway.address, page).await;
        server
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\npage")
            .await;
        client.until("page").await;
    }
    let _stream = open(&upstream, &gateway, EVENT_SOURCE, STREAM).await;
    assert_eq!(refused(&upstream, &gateway, EVENT_SOURCE).await, "");
    let got = refused(&upstream, &gateway, page).await;
    assert!(got.starts_with("HTTP/1.1 429 "), "{got}");
    assert_eq!(field(&got, "retry-after"), ["5"]);
    assert!(got.contains("You ask more often than you may."), "{got}");
    let refusals = "sse_streams_refused_total{limit=\"rate\"}";
    assert_eq!(metric(&gateway, refusals).await, 2);
}
