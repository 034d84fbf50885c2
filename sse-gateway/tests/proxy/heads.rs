//! Requests for event streams, however they come: plain ones are read without hyper, all others by it, and nobody sees which.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};

use crate::gateway::Gateway;
use crate::upstream::{self, Body};
use crate::wire::{Wire, WireUpstream};

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
const EVENT: &str = "9\r\ndata: 1\n\n\r\n";
const END: &str = "0\r\n\r\n";
/// What leaves a stream as it came from the upstream.
const PLAIN: [&str; 6] = ["--heartbeat", "off", "--retry", "off", "--ids", "off"];

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
}

fn plain(upstream: &WireUpstream) -> Gateway {
    Gateway::with(&upstream.url, &PLAIN, &[])
}

async fn read_stream(client: &mut Wire) {
    let head = client.head().await;
    assert!(
        head.contains("\r\ntransfer-encoding: chunked\r\n"),
        "{head}"
    );
    assert_eq!(client.until(END).await, format!("{EVENT}{END}"));
}

async fn read_page(client: &mut Wire) {
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-length: 4\r\n"), "{head}");
    assert_eq!(client.bytes(4).await, b"page");
}

#[tokio::test]
async fn streams_and_pages_that_are_asked_for_at_once_come_in_turn_and_once() {
    for all in ["sps", "pps", "spp", "psp", "ssp"] {
        let upstream = WireUpstream::bind().await;
        let gateway = plain(&upstream);
        let mut client = Wire::connect(gateway.address).await;
        let paths = all.char_indices().map(|(n, kind)| format!("/{n}{kind}"));
        let asked: String = paths.clone().map(|path| get(&path)).collect();
        client.send(asked).await;
        let mut server = upstream.accept().await;
        for path in paths {
            let head = server.head().await;
            let first = format!("GET {path} HTTP/1.1\r\n");
            assert!(head.starts_with(&first), "{all}: {head}");
            if path.ends_with('s') {
                server.send(format!("{STREAM}{EVENT}{END}")).await;
                read_stream(&mut client).await;
            } else {
                server.send(PAGE).await;
                read_page(&mut client).await;
            }
        }
        drop(client);
        drop(gateway);
        assert_eq!(server.rest().await, "", "{all}");
    }
}

#[tokio::test]
async fn a_head_in_pieces_of_one_byte_is_answered() {
    let upstream = WireUpstream::bind().await;
    let gateway = plain(&upstream);
    let mut client = Wire::connect(gateway.address).await;
    for _ in 0..2 {
        for byte in get("/").as_bytes() {
            client.send([*byte]).await;
            tokio::task::yield_now().await;
        }
    }
    let mut server = upstream.accept().await;
    for _ in 0..2 {
        server.head().await;
        server.send(format!("{STREAM}{EVENT}{END}")).await;
        read_stream(&mut client).await;
    }
}

#[tokio::test]
async fn the_upstream_learns_of_who_leaves_before_the_answer() {
    for half in [true, false] {
        let upstream = WireUpstream::bind().await;
        let gateway = plain(&upstream);
        let (mut client, mut server) = upstream.asked(gateway.address, &get("/")).await;
        if half {
            client.end().await;
        } else {
            client.reset();
        }
        assert_eq!(server.rest().await, "");
    }
}

#[tokio::test]
async fn an_answer_that_is_awaited_when_the_drain_begins_is_given_whole() {
    for (answer, expected) in [
        (format!("{STREAM}{EVENT}{END}"), format!("{EVENT}{END}")),
        (PAGE.to_owned(), "page".to_owned()),
    ] {
        let upstream = WireUpstream::bind().await;
        let mut gateway = plain(&upstream);
        let mut client = Wire::connect(gateway.address).await;
        let mut idle = Wire::connect(gateway.address).await;
        client.send(get("/")).await;
        let mut server = upstream.accept().await;
        server.head().await;
        gateway.terminate();
        assert_eq!(idle.rest().await, "");
        server.send(answer).await;
        client.head().await;
        assert_eq!(client.rest().await, expected);
        assert!(gateway.exit().success());
    }
}

#[tokio::test]
async fn a_connection_on_which_another_head_is_awaited_ends_with_the_drain() {
    let upstream = WireUpstream::bind().await;
    let mut gateway = plain(&upstream);
    let (mut client, mut server) = upstream.asked(gateway.address, &get("/")).await;
    server.send(format!("{STREAM}{EVENT}{END}")).await;
    read_stream(&mut client).await;
    gateway.terminate();
    assert_eq!(client.rest().await, "");
    assert!(gateway.exit().success());
}

#[tokio::test]
async fn a_second_signal_ends_who_waits_for_an_answer() {
    let upstream = WireUpstream::bind().await;
    let mut gateway = plain(&upstream);
    let (mut client, mut server) = upstream.asked(gateway.address, &get("/")).await;
    gateway.terminate();
    gateway.log_with("drain");
    gateway.terminate();
    assert_eq!(client.rest().await, "");
    assert_eq!(server.rest().await, "");
    gateway.exit();
}

/// Tells in a stream, or in a page, what it was asked.
async fn told(request: Request<Incoming>) -> Response<Body> {
    let (mut head, body) = request.into_parts();
    // It names the gateway.
    head.headers.remove("via");
    let body = body.collect().await.map(|body| body.to_bytes());
    let asked = format!(
        "data: {} {:?} {:?} {:?} {body:?}\n\n",
        head.method, head.uri, head.version, head.headers,
    );
    if head.uri.path().contains("page") {
        return Response::new(upstream::full(asked));
    }
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from(asked)))];
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(body.boxed())
        .expect("a response")
}

/// Whatever is answered to this and a second request, without what differs by the clock and the port.
async fn answers(gateway: &Gateway, sent: &[u8]) -> String {
    let mut client = Wire::connect(gateway.address).await;
    client.send(sent).await;
    // With bytes behind its body it would be no plain one.
    let first = match sent.starts_with(b"POST") {
        true => client.until("\r\n\r\n").await,
        false => String::new(),
    };
    // What nobody reads any more would have the kernel drop what is left of a long answer.
    if !first.contains("connection: close\r\n") {
        client
            .send_if_open("GET /page HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n")
            .await;
    }
    undated(&(first + &client.rest().await))
}

fn undated(answer: &str) -> String {
    let lines = answer.lines().filter(|line| !line.starts_with("date: "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn all_heads_are_answered_as_they_are_by_hyper() {
    let upstream = upstream::http1(told).await;
    let lean = Gateway::with(&upstream, &PLAIN, &[]);
    let hyper = Gateway::with(&upstream, &PLAIN, &[("SSE_GATEWAY_LEAN", "off")]);
    for path in ["/s", "/page"] {
        let plain = get(path);
        for (from, to) in [
            ("GET", "GET"),
            ("GET", "HEAD"),
            ("GET", "get"),
            ("GET", "OPTIONS"),
            ("GET", "\r\nGET"),
            ("GET", " GET"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("HTTP/1.1", "HTTP/1.2"),
            ("HTTP/1.1", "http/1.1"),
            ("Host: h\r\n", ""),
            ("Host: h\r\n", "Host: h\r\nHost: h\r\n"),
            ("Host: h\r\n", "Host: h\r\nHost: other\r\n"),
            ("Host: h", "Host: a b"),
            ("Host: h", "Host:"),
            ("Host: h", "Host : h"),
            ("Host: h\r\n", "Host: h\n"),
            ("\r\n\r\n", "\n\n"),
            ("\r\nAccept", "\r\n Accept"),
            ("\r\nAccept", "\r\nX: a\r\n\tb\r\nAccept"),
            ("\r\nAccept", "\r\nX: \0\r\nAccept"),
            ("\r\nAccept", "\r\nX\u{e4}: 1\r\nAccept"),
            (
                "\r\nAccept",
                "\r\nX: \u{e4}\r\nX-Real-IP: 192.0.2.1\r\nX: 2\r\nAccept",
            ),
            (
                "\r\nAccept",
                "\r\nConnection: close, X-A\r\nX-A: 1\r\nAccept",
            ),
            (
                "\r\nAccept",
                "\r\nConnection: upgrade\r\nUpgrade: h2c\r\nAccept",
            ),
            ("\r\nAccept", "\r\nUpgrade: h2c\r\nAccept"),
            ("\r\nAccept", "\r\nTE: trailers\r\nConnection: te\r\nAccept"),
            ("\r\nAccept", "\r\nContent-Length: 0\r\nAccept"),
            ("\r\nAccept", "\r\nContent-Length: x\r\nAccept"),
            ("\r\nAccept", "\r\nTransfer-Encoding: gzip\r\nAccept"),
            ("\r\nAccept", "\r\nExpect: 100-continue\r\nAccept"),
            ("GET /", "GET http://other/"),
            ("GET /", "GET https://user@other:8/"),
            ("GET /", "GET //"),
            ("GET /", "GET /../"),
            ("GET /", "GET /%C3%A4\u{e4}|"),
            ("GET /", "GET /?q=%22{}\"&"),
            ("GET /", "GET  /"),
            ("GET /", "GET x"),
            ("GET /", "GET *"),
            (" HTTP", "?a#b HTTP"),
        ] {
            let sent = plain.replacen(from, to, 1);
            assert_same_answers(&lean, &hyper, sent.as_bytes()).await;
        }
        let many = format!("\r\nAccept{}", ": x\r\nAccept".repeat(400));
        let large = format!("\r\nX: {}\r\nAccept", "x".repeat(9000));
        for more in [many, large] {
            let sent = plain.replacen("\r\nAccept", &more, 1);
            assert_same_answers(&lean, &hyper, sent.as_bytes()).await;
        }
    }
}

fn post(path: &str, lines: &str, body: &str) -> String {
    let head = "Host: h\r\nAccept: text/event-stream\r\nX-A: b\r\n";
    format!("POST {path} HTTP/1.1\r\n{head}{lines}\r\n{body}")
}

#[tokio::test]
async fn all_posts_are_answered_as_they_are_by_hyper() {
    let upstream = upstream::http1(told).await;
    let lean = Gateway::with(&upstream, &PLAIN, &[]);
    let hyper = Gateway::with(&upstream, &PLAIN, &[("SSE_GATEWAY_LEAN", "off")]);
    let long = "x".repeat(64 * 1024);
    for path in ["/s", "/page"] {
        for (lines, body) in [
            ("Content-Length: 4\r\n", "body"),
            ("Content-Length: 0004\r\n", "body"),
            ("Content-Length: 0\r\n", ""),
            ("", ""),
            ("Content-Length: +4\r\n", "body"),
            ("Content-Length: 4x\r\n", "body"),
            ("Content-Length: 4, 4\r\n", "body"),
            ("Content-Length: 4\r\nContent-Length: 4\r\n", "body"),
            ("Content-Length: 4\r\nContent-Length: 5\r\n", "body"),
            ("Content-Length: 65536\r\n", &long),
            ("Content-Length: 65537\r\n", &format!("{long}x")),
            ("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n"),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                "4\r\nbody\r\n0\r\n\r\n",
            ),
            ("Transfer-Encoding: gzip\r\nContent-Length: 4\r\n", "body"),
            ("Content-Length: 4\r\nExpect: 100-continue\r\n", "body"),
            ("Content-Length: 4\r\nUpgrade: h2c\r\n", "body"),
            (
                "Content-Length: 4\r\nConnection: Content-Length\r\n",
                "body",
            ),
            ("Content-Length: 23\r\n", "GET / HTTP/1.1\r\nA: b\r\n\r\n"),
        ] {
            let sent = post(path, &format!("{lines}Connection: close\r\n"), body);
            assert_same_answers(&lean, &hyper, sent.as_bytes()).await;
            for at in [sent.len() - body.len(), sent.len() - body.len() / 2] {
                let (first, rest) = sent.split_at(at);
                let [ours, hypers] = [
                    answers_to_two(&lean, first, rest).await,
                    answers_to_two(&hyper, first, rest).await,
                ];
                assert_eq!(ours, hypers, "{lines}");
            }
        }
    }
}

async fn answers_to_two(gateway: &Gateway, first: &str, rest: &str) -> String {
    let mut client = Wire::connect(gateway.address).await;
    client.send(first).await;
    tokio::task::yield_now().await;
    client.send_if_open(rest).await;
    // Whether it is said depends on what has come of the body by then, and both are right (RFC 9110, section 10.1.1).
    undated(&client.rest().await).replace("HTTP/1.1 100 Continue\n\n", "")
}

#[tokio::test]
async fn plain_posts_on_one_connection_are_answered_in_turn() {
    let upstream = WireUpstream::bind().await;
    let gateway = plain(&upstream);
    let mut client = Wire::connect(gateway.address).await;
    let mut server = None;
    for body in ["a", "", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\r\n", "0"] {
        let server = ask(&mut client, &upstream, &mut server, body).await;
        server.send(format!("{STREAM}{EVENT}{END}")).await;
        read_stream(&mut client).await;
    }
    let server = ask(&mut client, &upstream, &mut server, "page").await;
    server.send(PAGE).await;
    read_page(&mut client).await;
    client.send(get("/last")).await;
    assert!(server.head().await.starts_with("GET /last HTTP/1.1\r\n"));
}

/// Posts, and reads that upstream.
async fn ask<'a>(
    client: &mut Wire,
    upstream: &WireUpstream,
    server: &'a mut Option<Wire>,
    body: &str,
) -> &'a mut Wire {
    let length = format!("Content-Length: {}\r\n", body.len());
    client.send(post("/", &length, body)).await;
    if server.is_none() {
        *server = Some(upstream.accept().await);
    }
    let server = server.as_mut().expect("it was asked");
    let head = server.head().await;
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    assert_eq!(server.bytes(body.len()).await, body.as_bytes());
    server
}

async fn assert_same_answers(lean: &Gateway, hyper: &Gateway, sent: &[u8]) {
    let [ours, hypers] = [answers(lean, sent).await, answers(hyper, sent).await];
    assert_eq!(ours, hypers, "{}", String::from_utf8_lossy(sent));
}
