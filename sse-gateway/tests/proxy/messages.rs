//! Heads: what is kept, what is taken out, what is added.

use crate::gateway::Gateway;
use crate::wire::{Wire, WireUpstream, field};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// One request through a gateway: what the upstream got, and what the client got for `response`.
async fn exchange(request: &str, response: &str) -> (String, String) {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client.send(request).await;
    let mut server = upstream.accept().await;
    let sent = server.head().await;
    server.send(response).await;
    drop(server);
    (sent, client.rest().await)
}

/// The response of the gateway itself to a request that goes nowhere.
async fn refusal(request: &str) -> String {
    let gateway = Gateway::start("http://127.0.0.1:1");
    let mut client = Wire::connect(gateway.address).await;
    client.send(request).await;
    client.rest().await
}

#[tokio::test]
async fn methods_and_targets_arrive_byte_for_byte() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    let mut server = None;
    for line in [
        "GET /",
        "GET /a%2Fb/%E4%BD%A0?q=%20+a&&b=c=d?/e;x",
        "GET //double//slash",
        "GET /a/../b/./c",
        "GET /?",
        "GET /?token=a|b",
        "OPTIONS *",
        "DELETE /thing/1",
        "PROPFIND /dav",
        "BREW /pot",
    ] {
        client
            .send(format!("{line} HTTP/1.1\r\nHost: ExAmple.org:81\r\n\r\n"))
            .await;
        let server = match &mut server {
            Some(server) => server,
            none => none.insert(upstream.accept().await),
        };
        let head = server.head().await;
        assert_eq!(head.lines().next(), Some(&*format!("{line} HTTP/1.1")));
        assert_eq!(field(&head, "host"), ["ExAmple.org:81"]);
        server.send(OK).await;
        let got = client.until("\r\n\r\nok").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    }
}

#[tokio::test]
async fn an_absolute_target_names_the_host() {
    let (sent, _) = exchange(
        "GET http://other.example:81/x?y HTTP/1.1\r\nHost: ignored\r\nConnection: close\r\n\r\n",
        OK,
    )
    .await;
    assert!(sent.starts_with("GET /x?y HTTP/1.1\r\n"), "{sent}");
    assert_eq!(field(&sent, "host"), ["other.example:81"]);
    assert_eq!(field(&sent, "x-forwarded-host"), ["other.example:81"]);
}

#[tokio::test]
async fn fields_keep_their_order_and_duplicates() {
    let (sent, got) = exchange(
        "GET / HTTP/1.1\r\nHost: h\r\nX-B: 1\r\nX-A: \"2\"\r\nX-B: 3\r\nAccept-Encoding: gzip\r\n\
         Cookie: a=b; c=d\r\nAuthorization: Bearer t\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 299 Something Else\r\nSet-Cookie: a\r\nDate: yesterday\r\nSet-Cookie: b\r\nServer: s\r\n\
         Content-Length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(field(&sent, "x-b"), ["1", "3"]);
    assert_eq!(field(&sent, "x-a"), ["\"2\""]);
    assert_eq!(field(&sent, "accept-encoding"), ["gzip"]);
    assert_eq!(field(&sent, "cookie"), ["a=b; c=d"]);
    assert_eq!(field(&sent, "authorization"), ["Bearer t"]);
    assert!(got.starts_with("HTTP/1.1 299 Something Else\r\n"), "{got}");
    assert_eq!(field(&got, "set-cookie"), ["a", "b"]);
    assert_eq!(field(&got, "date"), ["yesterday"]);
    assert_eq!(field(&got, "server"), ["s"]);
}

#[tokio::test]
async fn fields_of_one_connection_stay_there() {
    let (sent, got) = exchange(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Connection: x\r\nTE: gzip\r\nX-End: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Upgrade: h2\r\nX-End: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "te",
    ] {
        assert!(field(&sent, name).is_empty(), "{name} in {sent}");
    }
    assert_eq!(field(&sent, "x-end"), ["1"]);
    assert_eq!(field(&got, "connection"), ["close"]);
    for name in ["x-hop", "keep-alive", "upgrade"] {
        assert!(field(&got, name).is_empty(), "{name} in {got}");
    }
    assert_eq!(field(&got, "x-end"), ["1"]);
    assert!(got.ends_with("\r\n\r\n2\r\nok\r\n0\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn the_upstream_is_told_of_the_client() {
    let (sent, _) = exchange(
        "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
        OK,
    )
    .await;
    assert_eq!(field(&sent, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(field(&sent, "x-forwarded-proto"), ["http"]);
    assert_eq!(field(&sent, "x-forwarded-host"), ["shop.example"]);
}

#[tokio::test]
async fn event_streams_are_not_asked_for_compressed() {
    let (sent, _) = exchange(
        "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip\r\n\
         Connection: close\r\n\r\n",
        OK,
    )
    .await;
    assert!(field(&sent, "accept-encoding").is_empty(), "{sent}");
}

#[tokio::test]
async fn responses_without_a_body_stay_as_they_are() {
    let request = |method| format!("{method} / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let (_, got) = exchange(
        &request("HEAD"),
        "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: \"e\"\r\n\r\n",
    )
    .await;
    assert_eq!(field(&got, "content-length"), ["1234"]);
    assert_eq!(field(&got, "etag"), ["\"e\""]);
    assert!(got.ends_with("\r\n\r\n"), "{got}");

    let (_, got) = exchange(&request("HEAD"), "HTTP/1.1 200 OK\r\nX: y\r\n\r\n").await;
    assert!(field(&got, "content-length").is_empty(), "{got}");

    let (_, got) = exchange(&request("GET"), "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.1 204 No Content\r\n"), "{got}");
    assert!(field(&got, "content-length").is_empty(), "{got}");
    assert!(field(&got, "transfer-encoding").is_empty(), "{got}");

    // hyper leaves out the length of what a 304 does not carry, as RFC 9110 section 15.4.5 recommends.
    let (_, got) = exchange(
        &request("GET"),
        "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nContent-Length: 1234\r\n\r\n",
    )
    .await;
    assert!(got.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{got}");
    assert_eq!(field(&got, "etag"), ["\"e\""]);
    assert!(got.ends_with("\r\n\r\n"), "{got}");

    let (_, got) = exchange(
        &request("POST"),
        "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/a?b\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert!(got.starts_with("HTTP/1.1 302 Found\r\n"), "{got}");
    assert_eq!(field(&got, "location"), ["http://elsewhere/a?b"]);
    assert_eq!(field(&got, "content-length"), ["0"]);
}

#[tokio::test]
async fn a_client_of_http_1_0_is_served() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /old HTTP/1.0\r\n\r\n").await;
    let mut server = upstream.accept().await;
    let sent = server.head().await;
    assert!(sent.starts_with("GET /old HTTP/1.1\r\n"), "{sent}");
    assert_eq!(
        field(&sent, "host"),
        [upstream.url.trim_start_matches("http://")]
    );
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        .await;
    let head = client.head().await;
    assert!(field(&head, "transfer-encoding").is_empty(), "{head}");
    assert_eq!(client.until("ab").await, "ab");
    server.send("2\r\ncd\r\n0\r\n\r\n").await;
    assert_eq!(client.rest().await, "cd");
}

#[tokio::test]
async fn an_upstream_of_http_1_0_is_read_to_its_end() {
    let (_, got) = exchange(
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold",
    )
    .await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    assert!(got.ends_with("3\r\nold\r\n0\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn what_cannot_be_forwarded_is_refused() {
    for (request, status) in [
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n",
            "501",
        ),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
            "400",
        ),
        (
            "GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "400",
        ),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let got = refusal(request).await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {got}"
        );
    }
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_reach_the_upstream() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nab\r\n0\r\n\r\n",
        )
        .await;
    let mut server = upstream.accept().await;
    let sent = server.head().await;
    assert!(field(&sent, "content-length").is_empty(), "{sent}");
    assert_eq!(field(&sent, "transfer-encoding"), ["chunked"]);
    server.until("2\r\nab\r\n0\r\n\r\n").await;
    server.send(OK).await;
    let got = client.rest().await;
    assert_eq!(field(&got, "connection"), ["close"]);
}

fn lines(number: usize) -> String {
    (0..number).map(|line| format!("x-{line}: y\r\n")).collect()
}

#[tokio::test]
async fn heads_of_many_lines_pass_and_a_limit_is_named() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    for (asked, answered, status) in [(240, 240, "200"), (1, 350, "502"), (350, 1, "431")] {
        let mut client = Wire::connect(gateway.address).await;
        let fields = format!("Host: h\r\nConnection: close\r\n{}", lines(asked));
        client.send(format!("GET / HTTP/1.1\r\n{fields}\r\n")).await;
        if status != "431" {
            let mut server = upstream.accept().await;
            assert_eq!(server.head().await.matches(": y\r\n").count(), asked);
            let fields = format!(
                "Content-Length: 0\r\nConnection: close\r\n{}",
                lines(answered)
            );
            server
                .send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
                .await;
        }
        let got = client.rest().await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
        let passed = if status == "200" { answered } else { 0 };
        assert_eq!(got.matches(": y\r\n").count(), passed, "{got}");
        assert_eq!(
            got.contains("more than 320 lines"),
            status == "502",
            "{got}"
        );
    }
}
