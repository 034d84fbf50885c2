//! What a GET for an event stream gets when there is no answer from upstream.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};

use crate::gateway::Gateway;
use crate::http2;
use crate::support::admin::upstream_requests_with;
use crate::upstream;
use crate::wire::{Wire, WireUpstream, get};

const GET: &str = "GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";

async fn refusing() -> String {
    let (listener, address) = upstream::bind().await;
    drop(listener);
    format!("http://{address}")
}

/// What comes back on a connection of its own.
async fn got(gateway: &Gateway, request: &str) -> String {
    let mut client = Wire::connect(gateway.address).await;
    client.send(request).await;
    client.rest().await
}

#[tokio::test]
async fn its_connection_is_closed_and_the_log_and_a_metric_say_why() {
    for (upstream, reason) in [
        (refusing().await, "refused"),
        ("unix:/nowhere/at-all.sock".to_owned(), "refused"),
        ("http://no-such-host.invalid".to_owned(), "unresolved"),
    ] {
        for relayed in [&[][..], &["--share", "on"], &["--resume", "on"]] {
            let flags = [&["--connect-timeout", "60s"], relayed].concat();
            // A server of names that does not answer is not waited for as long as the test is patient.
            let names = [("RES_OPTIONS", "timeout:1 attempts:1")];
            let gateway = Gateway::with_all(&upstream, &flags, &names);
            assert_eq!(got(&gateway, GET).await, "", "{reason} {relayed:?}");
            gateway.log_with(&format!("reason=\"{reason}\""));
            assert_eq!(upstream_requests_with(&gateway, reason).await, 1);
            assert!(!gateway.log().contains("ERROR"), "{}", gateway.log());
        }
    }
}

#[tokio::test]
async fn it_is_closed_also_when_the_upstream_is_there_and_does_not_answer() {
    for relayed in [&[][..], &["--share", "on"], &["--resume", "on"]] {
        for (said, reason) in [("", "reset"), ("220 mail.example ESMTP\r\n", "error")] {
            let upstream = WireUpstream::bind().await;
            let gateway = Gateway::with(&upstream.url, relayed, &[]);
            let mut client = Wire::connect(gateway.address).await;
            client.send(GET).await;
            let mut server = upstream.accept().await;
            server.head().await;
            server.send(said).await;
            drop(server);
            assert_eq!(client.rest().await, "", "{reason} {relayed:?}");
            gateway.log_with(&format!("reason=\"{reason}\""));
        }
        let upstream = WireUpstream::bind().await;
        let flags = [&["--head-timeout", "300ms"], relayed].concat();
        let gateway = Gateway::with(&upstream.url, &flags, &[]);
        assert_eq!(got(&gateway, GET).await, "", "{relayed:?}");
        gateway.log_with("reason=\"head_timeout\"");
    }
}

#[tokio::test]
async fn who_does_not_ask_for_an_event_stream_is_answered() {
    let gateway = Gateway::start(&refusing().await);
    let close = "Host: h\r\nConnection: close";
    for request in [
        format!("GET / HTTP/1.1\r\n{close}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{close}\r\nAccept: text/html, */*\r\n\r\n"),
        format!(
            "POST / HTTP/1.1\r\n{close}\r\nAccept: text/event-stream\r\nContent-Length: 0\r\n\r\n"
        ),
    ] {
        let got = got(&gateway, &request).await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{request}{got}");
    }
}

#[tokio::test]
async fn it_is_answered_where_that_is_asked_for() {
    for relayed in [&[][..], &["--share", "on"], &["--resume", "on"]] {
        let flags = [
            &["--no-answer", "answer", "--retry-statuses", "503"],
            relayed,
        ]
        .concat();
        let gateway = Gateway::with(&refusing().await, &flags, &[]);
        let mut client = Wire::connect(gateway.address).await;
        client.send(GET).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        client.until("The upstream refused the connection.\n").await;
    }
}

#[tokio::test]
async fn what_was_answered_before_on_the_connection_is_whole() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    // Both at once, as a client may that does not wait.
    client
        .send(format!("GET / HTTP/1.1\r\nHost: h\r\n\r\n{GET}"))
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    let large = "x".repeat(300_000);
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n";
    server.send(format!("{head}{large}")).await;
    drop(server);
    let mut server = upstream.accept().await;
    server.head().await;
    drop(server);
    let got = client.rest().await;
    assert!(got.ends_with(&large), "{} bytes", got.len());
}

#[tokio::test]
async fn a_stream_of_http_2_is_reset_alone() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = http2::connect(gateway.address).await;
    let request = |accept: &str| {
        Request::get("http://h/")
            .header("accept", accept)
            .body(Empty::<Bytes>::new())
            .expect("a request")
    };
    let open = tokio::spawn(client.send_request(request("text/event-stream")));
    let mut first = upstream.accept().await;
    first.head().await;
    first
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        .await;
    let open = open.await.expect("no panic").expect("a response");

    let lost = tokio::spawn(client.send_request(request("text/event-stream")));
    let mut second = upstream.accept().await;
    second.head().await;
    drop(second);
    let error = lost.await.expect("no panic").expect_err("it is reset");
    assert!(error.to_string().contains("http2 error"), "{error}");

    let answered = tokio::spawn(client.send_request(request("*/*")));
    let mut third = upstream.accept().await;
    third.head().await;
    drop(third);
    let answered = answered.await.expect("no panic").expect("a response");
    assert_eq!(answered.status(), StatusCode::BAD_GATEWAY);

    first.send("data: 2\n\n").await;
    drop(first);
    let body = open.into_body().collect().await.expect("a body");
    assert!(String::from_utf8_lossy(&body.to_bytes()).ends_with("data: 2\n\n"));
    assert!(!gateway.log().contains("ERROR"), "{}", gateway.log());
}

#[tokio::test]
async fn an_answer_with_a_status_that_counts_as_none_is_kept_from_who_retries_alone() {
    const ANSWER: &str = "HTTP/1.1 503 Later\r\nContent-Length: 5\r\n\r\nlater";
    for relayed in [&[][..], &["--share", "on"], &["--resume", "on"]] {
        let upstream = WireUpstream::bind().await;
        let flags = [&["--retry-statuses", "502,503"], relayed].concat();
        let gateway = Gateway::with_admin(&upstream.url, &flags);
        for (accept, status) in [("text/event-stream", ""), ("text/html", "HTTP/1.1 503 ")] {
            let mut client = Wire::connect(gateway.address).await;
            let fields = format!("Host: h\r\nConnection: close\r\nAccept: {accept}");
            client
                .send(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"))
                .await;
            let mut server = upstream.accept().await;
            server.head().await;
            server.send(ANSWER).await;
            drop(server);
            let got = client.rest().await;
            assert_eq!(got.is_empty(), status.is_empty(), "{got}");
            assert!(got.starts_with(status), "{got}");
        }
        gateway.log_with("the upstream's answer counts as none status=503");
        assert_eq!(upstream_requests_with(&gateway, "status").await, 1);
    }
}

#[tokio::test]
async fn all_who_wait_for_one_answer_are_left_without() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on"]);
    let mut leads = Wire::connect(gateway.address).await;
    leads.send(GET).await;
    let mut server = upstream.accept().await;
    server.head().await;
    let mut waits = Wire::connect(gateway.address).await;
    waits.send(GET).await;
    let admin = gateway.admin.expect("an admin listener");
    while !get(admin, "/streams").await.contains("\"clients\":2") {}
    drop(server);
    assert_eq!((leads.rest().await, waits.rest().await), <_>::default());
    assert_eq!(upstream_requests_with(&gateway, "reset").await, 1);
}
