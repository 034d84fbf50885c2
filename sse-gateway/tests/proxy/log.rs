//! The log: it stops nothing, and strangers do not fill it.

use std::time::Instant;

use http_body_util::{BodyExt, Empty};
use hyper::Request;

use crate::gateway::{Gateway, PATIENCE};
use crate::http2;
use crate::support::admin::metric;
use crate::upstream;
use crate::wire::{Wire, WireUpstream, get};

async fn lines_dropped(gateway: &Gateway) -> u64 {
    metric(gateway, "sse_log_lines_dropped_total").await
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_neither_requests_nor_the_end() {
    let url = upstream::http1(|_| async {
        let mut response = hyper::Response::new(upstream::full("data: ok\n\n"));
        let event_stream = hyper::header::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert("content-type", event_stream);
        response
    })
    .await;
    let mut gateway = Gateway::with_admin_in(&url, &[("RUST_LOG", "trace")]);
    assert_eq!(lines_dropped(&gateway).await, 0);
    gateway.stop_reading();
    let mut requests = 0;
    while lines_dropped(&gateway).await == 0 {
        assert!(requests < 20_000, "the log is never full");
        // A line for each end of a stream.
        let mut client = http2::connect(gateway.address).await;
        for _ in 0..50 {
            requests += 1;
            let request = Request::get("http://h/")
                .body(Empty::<bytes::Bytes>::new())
                .expect("a request");
            let response = tokio::time::timeout(PATIENCE, client.send_request(request));
            let response = response.await.expect("in time").expect("a response");
            let body = response.into_body().collect().await.expect("a body");
            assert!(body.to_bytes().ends_with(b"data: ok\n\n"));
        }
    }
    let health = get(gateway.admin.expect("an admin listener"), "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    gateway.terminate();
    assert!(gateway.exit().success());
}

#[tokio::test]
async fn the_last_lines_are_written_before_the_end() {
    let upstream = WireUpstream::bind().await;
    let mut gateway = Gateway::start(&upstream.url);
    gateway.terminate();
    assert!(gateway.exit().success());
    gateway.log_with("drained, bye");
}

/// As many lines as there were seconds, and the first, and one for the rounding.
fn assert_few(log: &str, text: &str, began: Instant) {
    let lines = log.matches(text).count();
    let most = began.elapsed().as_secs() as usize + 2;
    assert!(lines <= most, "{lines} lines, not {most}:\n{log}");
}

#[tokio::test]
async fn an_upstream_that_is_away_is_told_once_and_then_now_and_then() {
    let (listener, address) = upstream::bind().await;
    drop(listener);
    let gateway = Gateway::start(&format!("http://{address}"));
    let began = Instant::now();
    while !gateway.log().contains(" suppressed=") {
        for _ in 0..20 {
            let got = get(gateway.address, "/").await;
            assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
        }
        assert!(began.elapsed() < PATIENCE, "{}", gateway.log());
    }
    assert_few(&gateway.log(), "no response from the upstream", began);
}

#[tokio::test]
async fn an_upstream_that_fails_in_the_middle_is_told_now_and_then() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let began = Instant::now();
    while !gateway.log().contains(" suppressed=") {
        let (mut client, mut server) = upstream
            .asked(gateway.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        server
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
            .await;
        client.until("ab").await;
        drop(server);
        client.rest().await;
        assert!(began.elapsed() < PATIENCE, "{}", gateway.log());
    }
    assert_few(&gateway.log(), "failed in the middle", began);
}

#[tokio::test]
async fn streams_that_come_encoded_are_told_once_a_route() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    for _ in 0..2 {
        let mut client = Wire::connect(gateway.address).await;
        client
            .send("GET / HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nConnection: close\r\n\r\n")
            .await;
        let mut server = upstream.accept().await;
        server.head().await;
        server
            .send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip, br\r\n\
                 Connection: close\r\nContent-Length: 2\r\n\r\nab",
            )
            .await;
        client.rest().await;
    }
    let told = "event streams pass untouched";
    gateway.log_with(told);
    let log = gateway.log();
    assert_eq!(log.matches(told).count(), 1, "{log}");
    assert!(
        log.contains("route=\"default\" coding=\"gzip, br\""),
        "{log}"
    );
}

#[tokio::test]
async fn times_are_numbers_in_json_and_the_first_line_says_what_starts() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--log-format", "json", "--history-events", "5"];
    let mut gateway = Gateway::with(&upstream.url, &flags, &[]);
    let (mut client, mut server) = upstream
        .asked(gateway.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: a\n\n")
        .await;
    client.until("data: a").await;
    drop(server);
    gateway.log_with("stream closed");
    gateway.terminate();
    assert!(gateway.exit().success());
    gateway.log_with("drained, bye");
    let log = gateway.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let line = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("{message}: {log}"))
    };
    assert!(line("stream closed")["duration"].is_u64());
    assert_eq!(line("draining")["window"], 10_000);
    let start = line("sse-gateway starts");
    assert_eq!(start["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(start["upstream"], upstream.url);
    let settings = start["settings"].as_str().expect("a text");
    assert!(
        settings.contains("history_events 5, log_format json"),
        "{settings}"
    );
    let warned = |line: &serde_json::Value| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN" && message.starts_with("--history-events has no effect")
    };
    assert!(lines.iter().any(warned), "{log}");
}
