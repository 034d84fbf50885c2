//! Which requests are one to the upstream, and which are not however alike they look.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::admin::{admin_until, upstream_requests};
use crate::client::{Client, get, post};
use crate::gateway::{Gateway, PATIENCE};
use crate::http2;
use crate::wire::{WireUpstream, field};

/// The response to a request by HTTP/2.
async fn by_http2(gateway: &Gateway, fields: &[(&str, &str)]) -> Response<Incoming> {
    let mut sender = http2::connect(gateway.address).await;
    let mut request = Request::get("http://h/stream").header("accept", "text/event-stream");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let response = timeout(PATIENCE, sender.send_request(request)).await;
    response.expect("an answer in time").expect("an answer")
}

#[tokio::test]
async fn the_same_request_shares_however_it_is_written() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on", "--retry", "off"]);
    let plain = get(&["Cookie: a=1; b=2", "X-List: 1, 2"]);
    let one = Client::send(&gateway, &plain).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.open_stream().await;
    let mut all = vec![Client::opened(one).await];
    for request in [
        get(&["COOKIE: a=1; b=2", "x-LIST: 1, 2"]).replace("Host: h", "hOST: H"),
        get(&["X-List: 1", "Cookie: a=1; b=2", "X-List: 2"]),
        get(&[
            "X-List:   1, 2  ",
            "Cookie: a=1; b=2",
            "Connection: X-Hop",
            "X-Hop: 7",
        ]),
        get(&["Cookie: a=1; b=2", "X-List: 1, 2", "TE: trailers"]),
    ] {
        all.push(Client::open(&gateway, &request).await);
    }
    let crumbs = [
        ("cookie", "a=1"),
        ("x-list", "1"),
        ("cookie", "b=2"),
        ("x-list", "2"),
    ];
    let mut by_http2 = by_http2(&gateway, &crumbs).await.into_body();
    server.numbers([1]).await;
    for client in &mut all {
        assert_eq!(client.data(1).await, ["1"]);
    }
    let mut text = String::new();
    while !text.contains("data: 1\n\n") {
        let frame = timeout(PATIENCE, by_http2.frame()).await;
        let frame = frame.expect("a frame in time").expect("no end");
        let data = frame.expect("a frame").into_data().expect("data");
        text.push_str(std::str::from_utf8(&data).expect("UTF-8"));
    }
    assert_eq!(upstream_requests(&gateway).await, 1);
}

#[tokio::test]
async fn what_takes_no_event_stream_is_not_shared() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on, body", "--retry", "off"]);
    let json = get(&[]).replace("text/event-stream", "application/json");
    let with_body = get(&["Content-Length: 1"]) + "x";
    let put = post(&[], "x").replace("POST", "PUT");
    for request in [json, with_body, put] {
        let mut open = Vec::new();
        for number in 0..2 {
            let client = Client::send(&gateway, &request).await;
            let mut server = upstream.accept().await;
            server.head().await;
            open.push((number, client, server));
        }
        for (number, client, mut server) in open {
            server.open_stream().await;
            server.numbers([number]).await;
            let mut client = Client::opened(client).await;
            assert_eq!(client.data(1).await, [number.to_string()], "{request}");
        }
    }
}

#[tokio::test]
async fn posts_that_mean_something_else_are_not_merged_though_bodies_are_in_the_key() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on, body", "--retry", "off"]);
    for name in ["Idempotency-Key", "Mcp-Session-Id"] {
        let mut open = Vec::new();
        for number in ["1", "2", "3"] {
            let line = format!("{name}: {number}");
            let client = Client::send(&gateway, &post(&[&line], "pay=1")).await;
            let mut server = upstream.accept().await;
            let head = server.until("pay=1").await;
            assert_eq!(field(&head, name), [number], "{head}");
            open.push((client, server));
        }
    }
}

#[tokio::test]
async fn sessions_that_are_opened_alike_are_not_merged() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on", "--retry", "off"]);
    let initialize = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}";
    let request = post(&[], initialize).replace(
        "Accept: text/event-stream",
        "Accept: application/json, text/event-stream",
    );
    let mut open = Vec::new();
    for _ in 0..3 {
        let client = Client::send(&gateway, &request).await;
        let mut server = upstream.accept().await;
        server.until(initialize).await;
        open.push((client, server));
    }
    for (number, (client, mut server)) in open.into_iter().enumerate() {
        server
            .send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nMcp-Session-Id: {number}\r\nTransfer-Encoding: chunked\r\n\r\n"))
            .await;
        let client = Client::opened(client).await;
        assert_eq!(
            field(&client.head, "mcp-session-id"),
            [number.to_string()],
            "each has its own"
        );
    }
}

#[tokio::test]
async fn an_attacker_who_is_refused_in_a_loop_fails_alone() {
    // With the second key the upstream has to say that it looks at `Origin`.
    for share in ["on", "host,path"] {
        let upstream = WireUpstream::bind().await;
        let flags = ["--share", share, "--retry", "off", "--on-leave", "cancel"];
        let gateway = Gateway::with_admin(&upstream.url, &flags);
        let answering = tokio::spawn(async move {
            loop {
                let mut server = upstream.accept().await;
                tokio::spawn(async move {
                    let head = server.head().await;
                    if field(&head, "origin") == ["https://good"] {
                        server
                            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nVary: Origin\r\nTransfer-Encoding: chunked\r\n\r\n")
                            .await;
                        server.rest().await;
                    } else {
                        server
                            .send("HTTP/1.1 403 Forbidden\r\nVary: Origin\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
                            .await;
                    }
                });
            }
        });
        for _ in 0..20 {
            let evil = get(&["Origin: https://evil", "Connection: close"]);
            let evil = [(); 3].map(|()| Client::send(&gateway, &evil));
            let mut attackers = Vec::new();
            for one in evil {
                attackers.push(one.await);
            }
            let honest = Client::open(&gateway, &get(&["Origin: https://good"])).await;
            assert_eq!(honest.status(), "200", "{share}");
            for one in attackers {
                let attacker = Client::opened(one).await;
                assert_eq!(attacker.status(), "403", "{share}");
                assert_eq!(attacker.rest().await, "no");
            }
        }
        answering.abort();
    }
}

#[tokio::test]
async fn what_comes_late_and_is_private_goes_to_nobody_who_shares() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--share", "on", "--open-after", "20ms", "--retry", "off"];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let one = Client::send(&gateway, &get(&[])).await;
    let mut server = upstream.accept().await;
    server.head().await;
    let mut clients = [
        Client::opened(one).await,
        Client::open(&gateway, &get(&[])).await,
    ];
    let private = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: private\r\nTransfer-Encoding: chunked\r\n\r\n";
    server
        .send(format!("{private}e\r\ndata: secret\n\n\r\n"))
        .await;
    for client in &mut clients {
        assert_eq!(client.next().await, None);
    }
    admin_until(&gateway, "/streams", |streams| {
        streams.contains("\"relays\":[]")
    })
    .await;
    // They come back.
    let mut open = Vec::new();
    for number in 1..=2 {
        let client = Client::send(&gateway, &get(&[])).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.send(private).await;
        server.numbers([number]).await;
        let mut client = Client::opened(client).await;
        assert_eq!(client.data(1).await, [number.to_string()]);
        open.push((client, server));
    }
}
