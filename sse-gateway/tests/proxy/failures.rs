//! What clients, upstreams and the log see when something fails or somebody leaves.

use std::time::Duration;

use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::gateway::{Gateway, PATIENCE};
use crate::http2;
use crate::upstream;
use crate::wire::{Wire, WireUpstream, field};

const GET: &str = "GET /secret-free?token=hush HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// The gateway's answer to one GET, which is logged once, without the query.
async fn answer(gateway: &Gateway, status: &str, reason: &str) -> String {
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let got = client.rest().await;
    assert_failed(gateway, &got, status, reason);
    got
}

fn assert_failed(gateway: &Gateway, got: &str, status: &str, reason: &str) {
    assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
    assert_eq!(field(got, "cache-control"), ["no-store"]);
    assert_eq!(field(got, "content-type"), ["text/plain; charset=utf-8"]);
    assert!(!got.contains("127.0.0.1"), "{got}");
    let reason = format!("reason=\"{reason}\"");
    let log = gateway.log_with(&reason);
    assert_eq!(log.matches(&reason).count(), 1, "{log}");
    assert!(log.contains("path=\"/secret-free\""), "{log}");
    assert!(!log.contains("hush"), "{log}");
}

#[tokio::test]
async fn an_upstream_that_does_not_listen_is_502() {
    let (listener, address) = upstream::bind().await;
    drop(listener);
    for scheme in ["http", "h2c"] {
        let gateway = Gateway::start(&format!("{scheme}://{address}"));
        let got = answer(&gateway, "502", "refused").await;
        assert!(
            got.ends_with("The upstream refused the connection.\n"),
            "{got}"
        );
    }
    let gateway = Gateway::start("unix:/nowhere/at-all.sock");
    answer(&gateway, "502", "refused").await;
}

#[tokio::test]
async fn a_name_without_an_address_is_502() {
    let gateway = Gateway::with(
        "http://no-such-host.invalid",
        &["--connect-timeout", "60s"],
        &[],
    );
    let got = answer(&gateway, "502", "unresolved").await;
    assert!(got.contains("could not be resolved"), "{got}");
}

#[tokio::test]
async fn an_upstream_that_does_not_accept_is_504() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("binds");
    let listener = socket.listen(1).expect("listens");
    let address = listener.local_addr().expect("bound");
    // Nothing accepts, so that the queue is soon full and the kernel answers no more.
    let mut queue = Vec::new();
    let full = async {
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)).await
        {
            queue.push(stream.expect("connects"));
        }
    };
    tokio::time::timeout(PATIENCE, full).await.expect("full");
    for scheme in ["http", "h2c"] {
        let url = format!("{scheme}://{address}");
        let gateway = Gateway::with(&url, &["--connect-timeout", "300ms"], &[]);
        answer(&gateway, "504", "connect_timeout").await;
    }
}

#[tokio::test]
async fn an_upstream_that_hangs_up_is_502() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let mut server = upstream.accept().await;
    server.head().await;
    drop(server);
    let got = client.rest().await;
    assert_failed(&gateway, &got, "502", "reset");
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http_is_502() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.send("220 mail.example ESMTP\r\n").await;
    let got = client.rest().await;
    assert_failed(&gateway, &got, "502", "error");
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_504() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, &["--head-timeout", "300ms"], &[]);
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let mut server = upstream.accept().await;
    server.head().await;
    let got = client.rest().await;
    assert_failed(&gateway, &got, "504", "head_timeout");
    // And the upstream is not left with the request.
    assert_eq!(server.rest().await, "");
}

#[tokio::test]
async fn a_slow_upload_is_no_late_answer() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, &["--head-timeout", "2s"], &[]);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.send("x").await;
        server.until("x").await;
    }
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await;
    let got = client.until("\r\n\r\nok").await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_cancels_the_request() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let (client, mut server) = upstream
        .asked(gateway.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    drop(client);
    assert_eq!(server.rest().await, "");
    // The same after a request with a body.
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
        .await;
    let mut server = upstream.accept().await;
    server.until("body").await;
    drop(client);
    assert_eq!(server.rest().await, "");
    assert!(!gateway.log().contains("WARN"), "{}", gateway.log());
}

#[tokio::test]
async fn a_client_that_leaves_a_response_cancels_it() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let (mut client, mut server) = upstream
        .asked(gateway.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        .await;
    client.until("ab").await;
    drop(client);
    assert_eq!(server.rest().await, "");
}

#[tokio::test]
async fn a_client_of_http_2_that_resets_a_stream_cancels_it_alone() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = http2::connect(gateway.address).await;
    let request = |path: &str| {
        Request::get(format!("http://h{path}"))
            .body(Empty::<bytes::Bytes>::new())
            .expect("a request")
    };
    // Before the head, and after it.
    let waiting = tokio::spawn(client.send_request(request("/1")));
    let mut first = upstream.accept().await;
    first.head().await;
    waiting.abort();
    assert_eq!(first.rest().await, "");

    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n";
    let waiting = tokio::spawn(client.send_request(request("/2")));
    let mut second = upstream.accept().await;
    second.head().await;
    second.send(head).await;
    let response = waiting.await.expect("no panic").expect("a response");
    let waiting = tokio::spawn(client.send_request(request("/3")));
    let mut third = upstream.accept().await;
    third.head().await;
    third.send(head).await;
    let other = waiting.await.expect("no panic").expect("a response");
    drop(response);
    assert_eq!(second.rest().await, "");
    third.send("0\r\n\r\n").await;
    let body = other.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes(), "ab");
}

#[tokio::test]
async fn a_client_that_leaves_resets_the_stream_of_an_http_2_upstream() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let url = upstream::h2c(100, move |request: Request<Incoming>| {
        let arrived = arrived.clone();
        async move {
            // Closed when the request is dropped.
            let (guard, dropped) = oneshot::channel::<()>();
            let _ = arrived.send(dropped);
            if request.uri().path() == "/head" {
                let frames = futures_util::stream::pending().map(move |frame| {
                    let _ = &guard;
                    frame
                });
                return Response::new(BodyExt::boxed(StreamBody::new(frames)));
            }
            std::future::pending::<()>().await;
            drop(guard);
            Response::new(upstream::full(""))
        }
    })
    .await;
    let gateway = Gateway::start(&url);
    for (path, with_head) in [("/", false), ("/head", true)] {
        let mut client = Wire::connect(gateway.address).await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .await;
        let dropped = arrivals.recv().await.expect("a request");
        if with_head {
            client.head().await;
        }
        drop(client);
        let cancelled = tokio::time::timeout(PATIENCE, dropped).await;
        assert!(cancelled.expect("in time").is_err(), "{path}");
    }
}

#[tokio::test]
async fn an_upstream_of_http_2_that_hangs_up_is_502() {
    let (listener, address) = upstream::bind().await;
    let gateway = Gateway::start(&format!("h2c://{address}"));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accepts");
        let gone = service_fn(|_: Request<Incoming>| async {
            Err::<Response<upstream::Body>, _>(std::io::Error::other("gone"))
        });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), gone)
            .await;
    });
    answer(&gateway, "502", "reset").await;
}

#[tokio::test]
async fn a_response_that_breaks_off_breaks_off_for_the_client() {
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab",
    ] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::start(&upstream.url);
        let (mut client, mut server) = upstream
            .asked(gateway.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .await;
        server.send(head).await;
        client.until("ab").await;
        drop(server);
        let rest = client.rest().await;
        assert!(!rest.contains("0\r\n"), "a clean end: {rest:?}");

        let mut client = http2::connect(gateway.address).await;
        let request = Request::get("http://h/")
            .body(Empty::<bytes::Bytes>::new())
            .expect("a request");
        let waiting = tokio::spawn(client.send_request(request));
        let mut server = upstream.accept().await;
        server.head().await;
        server.send(head).await;
        let response = waiting.await.expect("no panic").expect("a response");
        drop(server);
        assert!(response.into_body().collect().await.is_err());
        gateway.log_with("in the middle of a response");
    }
}
