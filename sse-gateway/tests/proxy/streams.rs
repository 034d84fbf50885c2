//! Event streams on connections of HTTP/1.1 that carry other requests too, and clients that do as they please meanwhile.

use std::time::Duration;

use crate::support::gateway::Gateway;
use crate::support::wire::{Wire, WireUpstream};

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
const END: &str = "0\r\n\r\n";
/// What leaves a stream as it came from the upstream.
const PLAIN: [&str; 6] = ["--heartbeat", "off", "--retry", "off", "--ids", "off"];

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
}

fn chunk(data: &str) -> String {
    format!("{:X}\r\n{data}\r\n", data.len())
}

fn plain(upstream: &WireUpstream) -> Gateway {
    Gateway::with(&upstream.url, &PLAIN, &[])
}

/// Answers the next request with a stream of one event.
async fn answer_with_event(server: &mut Wire, path: &str, event: &str) {
    server.until(&format!("GET {path} HTTP/1.1\r\n")).await;
    server.head().await;
    server.send(format!("{STREAM}{}{END}", chunk(event))).await;
}

/// Reads a stream of one event whole.
async fn read_event(client: &mut Wire, event: &str) {
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("\r\ntransfer-encoding: chunked\r\n"),
        "{head}"
    );
    let rest = format!("{}{END}", chunk(event));
    assert_eq!(client.until(END).await, rest);
}

#[tokio::test]
async fn streams_and_pages_take_turns_on_one_connection() {
    let upstream = WireUpstream::bind().await;
    let gateway = plain(&upstream);
    let mut client = Wire::connect(gateway.address).await;
    client.send(get("/1")).await;
    let mut server = upstream.accept().await;
    answer_with_event(&mut server, "/1", "data: 1\n\n").await;
    read_event(&mut client, "data: 1\n\n").await;
    for n in 2..5 {
        client.send(get(&format!("/{n}"))).await;
        server.until(&format!("GET /{n} HTTP/1.1\r\n")).await;
        server.head().await;
        server.send(PAGE).await;
        assert!(
            client
                .until("page")
                .await
                .starts_with("HTTP/1.1 200 OK\r\n")
        );
        client.send(get(&format!("/{n}s"))).await;
        answer_with_event(&mut server, &format!("/{n}s"), "data: s\n\n").await;
        read_event(&mut client, "data: s\n\n").await;
    }
}

#[tokio::test]
async fn requests_that_were_sent_ahead_are_answered_behind_the_stream() {
    let upstream = WireUpstream::bind().await;
    let gateway = plain(&upstream);
    let mut client = Wire::connect(gateway.address).await;
    // Two with the head of the stream, one while it is open, and one cut in two.
    client
        .send(format!("{}{}{}", get("/1"), get("/2"), get("/3")))
        .await;
    let mut server = upstream.accept().await;
    server.until("GET /1 HTTP/1.1\r\n").await;
    server.head().await;
    server
        .send(format!("{STREAM}{}", chunk("data: 1\n\n")))
        .await;
    client.until("data: 1\n\n\r\n").await;
    client.send(get("/4")).await;
    client.send("GET /5 HTTP/1.1\r\nHo").await;
    server.send(chunk("data: 2\n\n")).await;
    client.until("data: 2\n\n\r\n").await;
    client
        .send("st: h\r\nAccept: text/event-stream\r\n\r\n")
        .await;
    server.send(END).await;
    client.until(END).await;
    for n in 2..=5 {
        answer_with_event(&mut server, &format!("/{n}"), &format!("data: {n}0\n\n")).await;
        read_event(&mut client, &format!("data: {n}0\n\n")).await;
    }
}

#[tokio::test]
async fn what_a_client_sends_meanwhile_does_not_stop_its_stream() {
    for sent in [1, 16 * 1024, 1 << 20] {
        let upstream = WireUpstream::bind().await;
        let gateway = plain(&upstream);
        let (mut client, mut server) = upstream.asked(gateway.address, &get("/")).await;
        server.send(STREAM).await;
        client.head().await;
        let (mut reader, mut writer) = client.split();
        let noise = tokio::spawn(async move {
            // More than the gateway takes in is left with the client.
            writer.send_if_open(vec![b'x'; sent]).await;
            writer
        });
        for n in 0..100 {
            let event = format!("data: {n}\n\n");
            server.send(chunk(&event)).await;
            assert_eq!(reader.until(&chunk(&event)).await, chunk(&event));
        }
        noise.abort();
    }
}

#[tokio::test]
async fn who_asks_for_the_end_of_the_connection_gets_it_behind_the_stream() {
    let upstream = WireUpstream::bind().await;
    let gateway = plain(&upstream);
    let mut client = Wire::connect(gateway.address).await;
    let close = get("/").replace("\r\n\r\n", "\r\nConnection: x, Close\r\n\r\n");
    client.send(close).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send(format!("{STREAM}{}{END}", chunk("data: 1\n\n")))
        .await;
    let head = client.head().await;
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    assert_eq!(
        client.rest().await,
        format!("{}{END}", chunk("data: 1\n\n"))
    );
}

#[tokio::test]
async fn a_slow_client_of_large_events_misses_no_byte() {
    let upstream = WireUpstream::bind().await;
    let gateway = plain(&upstream);
    let (mut client, mut server) = upstream.asked(gateway.address, &get("/")).await;
    // Of all sizes about the bounds at which they are copied, joined and handed on.
    let sizes = [
        1,
        511,
        1024,
        16_383,
        16_384,
        16_385,
        65_535,
        65_536,
        65_537,
        1 << 20,
        3,
        1 << 20,
    ];
    let events: Vec<_> = sizes
        .iter()
        .zip('a'..)
        .map(|(size, letter)| format!("data: {}\n\n", letter.to_string().repeat(*size)))
        .collect();
    let all = events.concat();
    let sending = tokio::spawn(async move {
        server.send(STREAM).await;
        for event in &events {
            server.send(chunk(event)).await;
        }
        server.send(END).await;
        server
    });
    client.head().await;
    // All buffers between the two are full by then.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let body = client.until("\r\n0\r\n\r\n").await;
    assert!(
        without_chunks(&body) == all,
        "{} bytes of {}",
        body.len(),
        all.len()
    );
    sending.await.expect("it is sent");
}

fn without_chunks(body: &str) -> String {
    let mut rest = body;
    let mut all = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        all.push_str(&behind[..size]);
        rest = &behind[size + 2..];
        if size == 0 {
            break;
        }
    }
    assert_eq!(rest, "");
    all
}

#[tokio::test]
async fn the_upstream_learns_that_a_client_has_left() {
    for half in [true, false] {
        let upstream = WireUpstream::bind().await;
        let gateway = plain(&upstream);
        let (mut client, mut server) = upstream.asked(gateway.address, &get("/")).await;
        server
            .send(format!("{STREAM}{}", chunk("data: 1\n\n")))
            .await;
        client.until("data: 1\n\n\r\n").await;
        if half {
            client.end().await;
        } else {
            client.reset();
        }
        assert_eq!(server.rest().await, "");
    }
}

#[tokio::test]
async fn a_stream_that_the_upstream_cuts_is_cut_for_the_client() {
    for cut in 0..chunk("data: 2\n\n").len() {
        let upstream = WireUpstream::bind().await;
        let gateway = plain(&upstream);
        let (mut client, mut server) = upstream.asked(gateway.address, &get("/")).await;
        let last = chunk("data: 2\n\n");
        server
            .send(format!("{STREAM}{}{}", chunk("data: 1\n\n"), &last[..cut]))
            .await;
        client.until("data: 1\n\n").await;
        drop(server);
        assert!(!client.rest().await.contains("0\r\n\r\n"), "cut at {cut}");
    }
}

#[tokio::test]
async fn an_upgrade_can_come_behind_a_stream() {
    let upstream = WireUpstream::bind().await;
    let gateway = plain(&upstream);
    let (mut client, mut server) = upstream.asked(gateway.address, &get("/")).await;
    let close = STREAM.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    server
        .send(format!("{close}{}{END}", chunk("data: 1\n\n")))
        .await;
    read_event(&mut client, "data: 1\n\n").await;
    client
        .send("GET /up HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client.send("ping").await;
    server.until("ping").await;
    server.send("pong").await;
    client.until("pong").await;
}

#[tokio::test]
async fn an_upload_that_is_answered_early_is_never_read_as_a_request() {
    let evil = "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n";
    let upstream = WireUpstream::bind().await;
    let gateway = plain(&upstream);
    let mut client = Wire::connect(gateway.address).await;
    let head = "POST / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n";
    client
        .send(format!(
            "{head}Content-Length: {}\r\n\r\n{}",
            evil.len(),
            &evil[..5]
        ))
        .await;
    let mut server = upstream.accept().await;
    server.until(&evil[..5]).await;
    server
        .send(format!("{STREAM}{}", chunk("data: 1\n\n")))
        .await;
    client.until("data: 1\n\n").await;
    client.send(&evil[5..]).await;
    server.until(&evil[5..]).await;
    server.send(format!("{}{END}", chunk("data: 2\n\n"))).await;
    client.until(END).await;
    client.send(get("/2")).await;
    // On this connection or on another, and nothing else in front of it.
    tokio::select! {
        line = server.until("\r\n") => assert_eq!(line, "GET /2 HTTP/1.1\r\n"),
        mut server = upstream.accept() => {
            assert_eq!(server.until("\r\n").await, "GET /2 HTTP/1.1\r\n");
        }
    }
}

#[tokio::test]
async fn behind_the_stream_of_an_upload_the_connection_goes_on() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, &PLAIN, &[("SSE_GATEWAY_LEAN", "on")]);
    let mut client = Wire::connect(gateway.address).await;
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n";
    client.send(format!("{head}body{}", get("/2"))).await;
    let mut server = upstream.accept().await;
    server.until("\r\n\r\nbody").await;
    server
        .send(format!("{STREAM}{}{END}", chunk("data: 1\n\n")))
        .await;
    let answer = client.until(END).await;
    // With it `fetch` of Node takes half an answer for a whole one.
    assert!(!answer.contains("\r\nconnection:"), "{answer}");
    tokio::select! {
        line = server.until("\r\n") => assert_eq!(line, "GET /2 HTTP/1.1\r\n"),
        mut server = upstream.accept() => {
            assert_eq!(server.until("\r\n").await, "GET /2 HTTP/1.1\r\n");
        }
    }
}

/// Each request by hyper and without it, as the upstream reads it.
#[tokio::test]
async fn both_ways_to_ask_send_the_same_bytes() {
    let fields = "Host: h\r\nAccept: */*\r\nX-A: 1\r\nCookie: a=b\r\nx-a: 2\r\n";
    for (line, body) in [
        ("GET /a?b=c HTTP/1.1", ""),
        ("GET / HTTP/1.0", ""),
        ("DELETE /a HTTP/1.1", ""),
        ("OPTIONS * HTTP/1.1", ""),
        ("POST / HTTP/1.1", ""),
        ("POST / HTTP/1.1", "Content-Length: 0\r\n\r\n"),
        ("POST / HTTP/1.1", "Content-Length: 4\r\n\r\nbody"),
        (
            "PUT / HTTP/1.1",
            "Content-Length: 4\r\nExpect: 100-continue\r\n\r\nbody",
        ),
        (
            "POST / HTTP/1.1",
            "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ),
    ] {
        let body = if body.is_empty() { "\r\n" } else { body };
        let mut asked = Vec::new();
        for lean in ["on", "off"] {
            let upstream = WireUpstream::bind().await;
            let gateway = Gateway::with(&upstream.url, &PLAIN, &[("SSE_GATEWAY_LEAN", lean)]);
            let mut client = Wire::connect(gateway.address).await;
            client.send(format!("{line}\r\n{fields}{body}")).await;
            let mut server = upstream.accept().await;
            let head = server.head().await;
            if body.ends_with("body") {
                server.until("body").await;
            }
            // The name in `Via` is that of the process.
            let lines = head.split("\r\n").filter(|line| !line.starts_with("via: "));
            asked.push(lines.collect::<Vec<_>>().join("\r\n"));
        }
        assert_eq!(asked[0], asked[1], "{line} {body:?}");
    }
}

/// Each answer by hyper and without it.
#[tokio::test]
async fn both_ways_to_answer_give_the_same_bytes() {
    for (request, response) in [
        (get("/"), format!("{STREAM}{}{END}", chunk("data: 1\n\n"))),
        (
            get("/"),
            format!(
                "HTTP/1.1 200 Fine\r\nX-B: 2\r\nSet-Cookie: a\r\nContent-Type: text/event-stream; charset=utf-8\r\n\
                 Set-Cookie: b\r\nX-Empty:\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n{}{}{END}",
                chunk("data: 1\n\n"),
                chunk(": x\n\ndata: 2\n\n"),
            ),
        ),
        (
            get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
            format!("{STREAM}{END}"),
        ),
        (
            get("/").replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n"),
            "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n".to_owned(),
        ),
        (
            get("/").replace("HTTP/1.1", "HTTP/1.0"),
            format!("{STREAM}{}{END}", chunk("data: 1\n\n")),
        ),
        (
            get("/").replace("GET", "HEAD"),
            STREAM.to_owned(),
        ),
        (
            get("/"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n".to_owned(),
        ),
        (
            get("/"),
            "HTTP/1.1 204 No Content\r\nContent-Type: text/event-stream\r\n\r\n".to_owned(),
        ),
        (
            get("/"),
            format!("{}{END}", STREAM.replace("200 OK", "503 Busy")),
        ),
    ] {
        let mut answers = Vec::new();
        for lean in ["on", "off"] {
            let upstream = WireUpstream::bind().await;
            let gateway = Gateway::with(&upstream.url, &PLAIN, &[("SSE_GATEWAY_LEAN", lean)]);
            let (mut client, mut server) = upstream.asked(gateway.address, &request).await;
            server.send(&response).await;
            drop(server);
            // Refused by the gateway itself, which closes the connection then.
            client.send_if_open("nonsense\r\n\r\n").await;
            let answer = client.rest().await;
            answers.push(plainly(&answer));
        }
        assert_eq!(answers[0], answers[1], "{request:?} {response:?}");
    }
}

/// Without dates, and the first body without its chunks: how events are joined is a matter of time.
fn plainly(answer: &str) -> String {
    let lines = answer.split_inclusive("\r\n");
    let undated: String = lines.filter(|line| !line.starts_with("date: ")).collect();
    let (head, body) = undated.split_once("\r\n\r\n").expect("a head");
    match body.split_once(END) {
        Some((body, rest)) if head.contains("transfer-encoding: chunked") => {
            format!(
                "{head}\r\n\r\n{}{rest}",
                without_chunks(&format!("{body}{END}"))
            )
        }
        _ => undated,
    }
}
