//! Bodies: streamed, expected, with trailers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Channel, StreamBody};
use hyper::body::Frame;
use hyper::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::gateway::Gateway;
use crate::http2;
use crate::upstream::{self, Body, full};
use crate::wire::{Wire, WireUpstream, field};

#[tokio::test]
async fn an_upload_of_50_megabytes_streams() {
    let (progress, mut seen) = mpsc::unbounded_channel();
    let url = upstream::http1(move |request: Request<hyper::body::Incoming>| {
        let progress = progress.clone();
        async move {
            let mut body = request.into_body();
            let (mut length, mut sum) = (0, 0_u64);
            while let Some(frame) = body.frame().await {
                let data = frame.expect("a frame").into_data().expect("data");
                length += data.len();
                sum = data.iter().fold(sum, |sum, &byte| {
                    sum.wrapping_mul(31).wrapping_add(byte.into())
                });
                let _ = progress.send(length);
            }
            Response::new(full(format!("{length} {sum}")))
        }
    })
    .await;
    let gateway = Gateway::start(&url);
    let mut client = upstream::client1(gateway.address).await;
    let (mut sender, body) = Channel::<Bytes>::new(1);
    let request = Request::post("/upload")
        .header("host", "h")
        .body(body)
        .expect("a request");
    let response = tokio::spawn(client.send_request(request));

    const CHUNK: usize = 64 * 1024;
    const CHUNKS: usize = 800;
    let (mut sum, mut received) = (0_u64, 0);
    for number in 0..CHUNKS {
        let byte = u8::try_from(number % 251).expect("a byte");
        let chunk = Bytes::from(vec![byte; CHUNK]);
        sum = chunk.iter().fold(sum, |sum, &byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        sender.send_data(chunk).await.expect("sends");
        // The upstream has all of what went before the next is sent, now and then.
        if number % 100 == 0 {
            while received < (number + 1) * CHUNK {
                received = seen.recv().await.expect("progress");
            }
        }
    }
    drop(sender);
    let response = response.await.expect("no panic").expect("a response");
    let answer = response.into_body().collect().await.expect("a body");
    let expected = format!("{} {sum}", CHUNK * CHUNKS);
    assert_eq!(answer.to_bytes(), expected);
}

#[tokio::test]
async fn a_get_with_a_chunked_body_keeps_it() {
    let url = upstream::http1(|request: Request<hyper::body::Incoming>| async {
        Response::new(full(
            request
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes(),
        ))
    })
    .await;
    let gateway = Gateway::start(&url);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
             5\r\nquery\r\n0\r\n\r\n",
        )
        .await;
    let got = client.rest().await;
    assert!(got.ends_with("\r\n\r\nquery"), "{got}");
}

#[tokio::test]
async fn the_upstream_decides_when_an_expected_body_comes() {
    // Without the upstream's 100 the body would come after a second; on a busy machine one of a few tries is faster.
    let mut fast = false;
    for _ in 0..5 {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::start(&upstream.url);
        let mut client = Wire::connect(gateway.address).await;
        let began = Instant::now();
        client
            .send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            .await;
        let mut server = upstream.accept().await;
        let head = server.head().await;
        assert_eq!(field(&head, "expect"), ["100-continue"]);
        assert_eq!(field(&head, "content-length"), ["4"]);
        server.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        fast |= began.elapsed() < Duration::from_secs(1);
        client.send("body").await;
        assert_eq!(server.until("body").await, "body");
        server
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        client.until("\r\n\r\nok").await;
        // The connection is as good as before.
        client
            .send(
                "POST /2 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
            )
            .await;
        server.until("POST /2 HTTP/1.1\r\n").await;
        if fast {
            break;
        }
    }
    assert!(fast, "the 100 of the upstream is not what opens the way");
}

#[tokio::test]
async fn an_answer_without_100_spares_the_upload() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig")
        .await;
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 413 "), "{got}");
    assert!(got.ends_with("\r\n\r\nbig"), "{got}");
    // The body is owed on this connection, so it cannot be used again.
    assert_eq!(server.rest().await, "");
}

#[tokio::test]
async fn an_upstream_that_ignores_the_expectation_has_the_body_after_a_second() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    let began = Instant::now();
    client
        .send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(began.elapsed() >= Duration::from_secs(1));
    client.send("body").await;
    server.until("body").await;
}

#[tokio::test]
async fn trailers_pass_both_ways_over_http_1() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n",
        )
        .await;
    let mut server = upstream.accept().await;
    let head = server.head().await;
    assert_eq!(field(&head, "te"), ["trailers"]);
    assert_eq!(field(&head, "connection"), ["te"]);
    assert_eq!(field(&head, "trailer"), ["x-sum"]);
    server.until("0\r\nx-sum: 7\r\n\r\n").await;
    server
        .send(
            "HTTP/1.1 200 OK\r\nTrailer: x-end\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\ncd\r\n0\r\nx-end: yes\r\n\r\n",
        )
        .await;
    let head = client.head().await;
    assert_eq!(field(&head, "trailer"), ["x-end"]);
    client.until("2\r\ncd\r\n0\r\nx-end: yes\r\n\r\n").await;
}

#[tokio::test]
async fn trailers_pass_both_ways_over_http_2() {
    let handler = |request: Request<hyper::body::Incoming>| async {
        let mut sum = HeaderMap::new();
        let collected = request.into_body().collect().await.expect("a body");
        let trailers = collected.trailers().expect("trailers");
        sum.insert("x-end", trailers["x-sum"].clone());
        Response::new(with_trailers(collected.to_bytes(), sum))
    };
    let gateway = Gateway::start(&upstream::h2c(100, handler).await);
    let mut client = http2::connect(gateway.address).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    let request = Request::post("http://h/")
        .header("te", "trailers")
        .body(with_trailers(Bytes::from("ab"), trailers))
        .expect("a request");
    let response = client.send_request(request).await.expect("a response");
    let collected = response.into_body().collect().await.expect("a body");
    assert_eq!(collected.trailers().expect("trailers")["x-end"], "7");
    assert_eq!(collected.to_bytes(), "ab");
}

fn with_trailers(data: Bytes, trailers: HeaderMap) -> Body {
    let frames = [Frame::data(data), Frame::trailers(trailers)].map(Ok);
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_ends_the_stream() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, &["--heartbeat", "off"], &[]);
    for body in [
        "Content-Length: 100\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut client = Wire::connect(gateway.address).await;
        client
            .send(format!("POST /s HTTP/1.1\r\nHost: h\r\n{body}"))
            .await;
        let mut server = upstream.accept().await;
        server.head().await;
        server
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            .await;
        client.until("data: 1\n\n").await;
        drop(client);
        let ended = tokio::time::timeout(Duration::from_secs(30), server.rest()).await;
        assert!(ended.is_ok(), "{body:?}");
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_reaches_the_client() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    for _ in 0..50 {
        let stream = TcpStream::connect(gateway.address).await.expect("connects");
        let (mut reads, mut writes) = stream.into_split();
        let uploading = tokio::spawn(async move {
            let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n";
            let _ = writes.write_all(head.as_bytes()).await;
            let _ = writes.write_all(&vec![b'x'; 8_000_000]).await;
            writes
        });
        let mut server = upstream.accept().await;
        server.head().await;
        let answer = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig";
        server.send(answer).await;
        // With much of the upload unread, which resets the connection.
        drop(server);
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n\r\nbig") {
            let read = reads.read_buf(&mut got).await;
            let text = String::from_utf8_lossy(&got);
            assert!(matches!(read, Ok(1..)), "{read:?} after {text:?}");
        }
        assert!(got.starts_with(b"HTTP/1.1 413 "));
        uploading.abort();
    }
}
