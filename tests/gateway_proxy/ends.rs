//! A stream that broke never looks finished, and one whose client comes back is not broken.

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::gateway::Gateway;
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

#[tokio::test]
async fn over_http2_it_is_reset() {
    for method in ["GET", "POST"] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::with(&upstream.url, &["--idle-timeout", "300ms"], &[]);
        let stream = TcpStream::connect(gateway.address).await.expect("connects");
        let io = TokioIo::new(stream);
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .expect("shakes hands");
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri("http://h/")
            .body(Empty::<&[u8]>::new())
            .expect("a request");
        let asked = tokio::spawn(send.send_request(request));
        let mut server = upstream.accept().await;
        server.head().await;
        server
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n")
            .await;
        let mut body = asked.await.expect("asked").expect("a response").into_body();
        let mut got = Vec::new();
        let error = loop {
            match body.frame().await {
                Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().expect("data")),
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        let got = String::from_utf8(got).expect("UTF-8");
        assert!(
            got.ends_with(": closing: idle\n") || got.contains(": closing: idle\nretry: "),
            "{got:?}"
        );
        assert_eq!(error.is_some(), method == "POST", "{method}: {error:?}");
    }
}
