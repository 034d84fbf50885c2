//! A stream that broke never looks finished, and one whose client comes back is not broken.

use http_body_util::{BodyExt, Empty};
use hyper::Request;

use crate::gateway::Gateway;
use crate::http2;
use crate::wire::{Wire, WireUpstream};

const LAST_CHUNK: &str = "\r\n0\r\n\r\n";

/// What a client reads of a stream with one event, and then silence.
async fn read(method: &str, flags: &[&str]) -> String {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, flags, &[]);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(format!(
            "{method} / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n")
        .await;
    client.until("data: a\n\n").await;
    if flags.contains(&"--drain-deadline") {
        gateway.terminate();
    }
    if method == "GET" {
        return client.until(LAST_CHUNK).await;
    }
    client.rest().await
}

#[tokio::test]
async fn an_answer_that_we_end_is_broken_off_behind_the_reason() {
    for (flags, reason) in [
        (&["--idle-timeout", "300ms"][..], "idle"),
        (
            &["--idle-timeout", "300ms", "--idle-counts", "events"],
            "idle",
        ),
        (&["--lifetime", "300ms"], "lifetime"),
        (
            &["--drain-window", "1ms", "--drain-deadline", "300ms"],
            "drain",
        ),
    ] {
        let got = read("POST", flags).await;
        let words = format!(": closing: {reason}\n");
        assert!(got.contains(&words), "{flags:?}: {got:?}");
        assert!(!got.ends_with(LAST_CHUNK), "{flags:?}: {got:?}");

        let got = read("GET", flags).await;
        assert!(got.contains(&words), "{flags:?}: {got:?}");
    }
}

/// What a client reads over HTTP/2, and whether its stream was reset.
async fn h2_read(gateway: &Gateway, method: &str) -> (String, bool) {
    let mut send = http2::connect(gateway.address).await;
    let request = Request::builder()
        .method(method)
        .uri("http://h/")
        .header("accept", "text/event-stream")
        .body(Empty::<&[u8]>::new())
        .expect("a request");
    let response = send.send_request(request).await.expect("a response");
    let mut body = response.into_body();
    let mut got = Vec::new();
    let is_reset = loop {
        match body.frame().await {
            Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().expect("data")),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    (String::from_utf8(got).expect("UTF-8"), is_reset)
}

#[tokio::test]
async fn over_http2_it_is_reset() {
    for method in ["GET", "POST"] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::with(&upstream.url, &["--idle-timeout", "300ms"], &[]);
        let asked = tokio::spawn(async move { h2_read(&gateway, method).await });
        let mut server = upstream.accept().await;
        server.head().await;
        server
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n")
            .await;
        let (got, is_reset) = asked.await.expect("asked");
        assert!(got.contains("data: a\n\n: closing: idle\n"), "{got:?}");
        assert_eq!(is_reset, method == "POST", "{method}");
    }
}

#[tokio::test]
async fn what_came_before_an_upstream_broke_reaches_its_client() {
    for h2 in [false, true] {
        for _ in 0..20 {
            let upstream = WireUpstream::bind().await;
            let gateway = Gateway::with(&upstream.url, &[], &[]);
            let asked = tokio::spawn(async move {
                if h2 {
                    h2_read(&gateway, "GET").await
                } else {
                    let mut client = Wire::connect(gateway.address).await;
                    client
                        .send("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
                        .await;
                    (client.rest().await, true)
                }
            });
            let mut server = upstream.accept().await;
            server.head().await;
            server
                .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n9\r\ndata: b\n\n\r\nxx")
                .await;
            drop(server);
            let (got, broken) = asked.await.expect("asked");
            assert!(got.contains("data: b\n\n") && broken, "{h2} {got:?}");
        }
    }
}
