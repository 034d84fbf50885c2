//! Nobody reads, blocks, poisons or empties another's stream.

use tokio::task::yield_now;

use crate::admin::{admin, admin_until, upstream_requests};
use crate::client::{Client, get, post};
use crate::gateway::Gateway;
use crate::upstream::numbers;
use crate::wire::{Wire, WireUpstream, field};

const SHARE: [&str; 4] = ["--share", "on", "--retry", "off"];

/// A request that takes anything.
fn curl(method: &str, target: &str, lines: &[&str], body: &str) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    format!(
        "{method} {target} HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: curl/8\r\n{lines}{length}\r\n{body}"
    )
}

async fn answer(server: &mut Wire, body: &str) {
    let length = body.len();
    server
        .send(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Own: 1\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
}

#[tokio::test]
async fn a_write_is_never_answered_by_anothers_answer() {
    for accept in [
        "*/*",
        "text/event-stream",
        "application/json, text/event-stream",
    ] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::with_admin(&upstream.url, &SHARE);
        let request = curl("POST", "/cart", &[], "add=1").replace("*/*", accept);
        let mut all = Vec::new();
        for number in 0..3 {
            let client = Client::send(&gateway, &request).await;
            let mut server = upstream.accept().await;
            assert!(server.head().await.starts_with("POST /cart "), "{accept}");
            all.push((number, client, server));
        }
        for (number, client, mut server) in all {
            answer(&mut server, &format!("{{\"n\":{number}}}")).await;
            let client = Client::opened(client).await;
            assert_eq!(field(&client.head, "x-own"), ["1"]);
            drop(server);
        }
        assert_eq!(upstream_requests(&gateway).await, 3);
    }
}

#[tokio::test]
async fn a_post_is_shared_by_its_body_where_the_key_says_so_and_from_the_first_event_on() {
    let upstream = WireUpstream::bind().await;
    let flags = [
        "--share",
        "on, body",
        "--retry",
        "off",
        "--head-timeout",
        "1s",
    ];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let one = Client::send(&gateway, &post(&[], "same")).await;
    let mut server = upstream.accept().await;
    server.head().await;
    assert_eq!(server.until("same").await, "same");
    let other = Client::send(&gateway, &post(&[], "same")).await;
    admin_until(&gateway, "/streams", |streams| {
        streams.contains("\"clients\":2")
    })
    .await;
    server.open_stream().await;
    server.numbers(1..=2).await;
    for client in [one, other] {
        assert_eq!(Client::opened(client).await.data(2).await, numbers(1..=2));
    }
    let _another = Client::send(&gateway, &post(&[], "else")).await;
    upstream.accept().await.head().await;

    // A body that does not come is not waited for without end.
    let head = post(&[], "").replace("Content-Length: 0", "Content-Length: 10");
    let client = Client::open(&gateway, &head).await;
    assert_eq!(client.status(), "408");
}

#[tokio::test]
async fn who_takes_anything_waits_for_nobody_and_is_passed_as_it_came() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &SHARE);
    let target = "/json?last_event_id=5&x=1";
    let request = curl("GET", target, &["X-A: 1", "Connection: close"], "");
    // The first is not answered yet when the second is.
    let slow = Client::send(&gateway, &request).await;
    let mut first = upstream.accept().await;
    for (status, body) in [("200 OK", "{\"a\":1}"), ("404 Not Found", "nothing here")] {
        let client = Client::send(&gateway, &request).await;
        let mut server = upstream.accept().await;
        let head = server.head().await;
        assert!(head.starts_with(&format!("GET {target} ")), "{head}");
        assert_eq!(field(&head, "user-agent"), ["curl/8"]);
        let length = body.len();
        server
            .send(format!("HTTP/1.1 {status}\r\nETag: \"7\"\r\nSet-Cookie: a=b\r\nContent-Length: {length}\r\n\r\n{body}"))
            .await;
        let client = Client::opened(client).await;
        assert!(status.starts_with(client.status()));
        assert_eq!(field(&client.head, "etag"), ["\"7\""]);
        assert_eq!(field(&client.head, "set-cookie"), ["a=b"]);
        assert_eq!(field(&client.head, "content-length"), [length.to_string()]);
        assert_eq!(client.rest().await, body);
    }
    first.head().await;
    answer(&mut first, "{}").await;
    assert_eq!(Client::opened(slow).await.rest().await, "{}");
    assert!(admin(&gateway, "/streams").await.contains("\"relays\":[]"));
}

#[tokio::test]
async fn who_takes_anything_joins_a_stream_that_is_open_and_can_be_joined() {
    for first_is_named in [true, false] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::with_admin(&upstream.url, &SHARE);
        let named = get(&[]);
        let any = curl("GET", "/stream", &[], "");
        let [first, second] = match first_is_named {
            true => [&named, &any],
            false => [&any, &named],
        };
        let one = Client::send(&gateway, first).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.open_stream().await;
        let mut one = Client::opened(one).await;
        let mut other = Client::open(&gateway, second).await;
        server.numbers(1..=2).await;
        assert_eq!(one.data(2).await, numbers(1..=2));
        assert_eq!(other.data(2).await, numbers(1..=2));
        assert_eq!(upstream_requests(&gateway).await, 1);
    }
}

#[tokio::test]
async fn a_refusal_belongs_to_who_asked() {
    for share in ["on", "host,path,header:origin"] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::with_admin(&upstream.url, &["--share", share, "--retry", "off"]);
        let bad = Client::send(&gateway, &get(&["Origin: https://evil"])).await;
        let mut refused = upstream.accept().await;
        refused.head().await;
        let good = Client::send(&gateway, &get(&["Origin: https://good"])).await;
        let mut server = upstream.accept().await;
        server.head().await;
        refused
            .send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .await;
        let bad = Client::opened(bad).await;
        assert_eq!(bad.status(), "403");
        server.open_stream().await;
        server.numbers([1]).await;
        assert_eq!(Client::opened(good).await.data(1).await, ["1"], "{share}");
    }
}

#[tokio::test]
async fn who_waited_asks_for_itself_when_the_leader_leaves_or_its_answer_is_its_own() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &SHARE);
    let leader = Client::send(&gateway, &get(&[])).await;
    let mut server = upstream.accept().await;
    server.head().await;
    let waiting = Client::send(&gateway, &get(&[])).await;
    admin_until(&gateway, "/streams", |streams| {
        streams.contains("\"clients\":2")
    })
    .await;
    server
        .send("HTTP/1.1 403 Forbidden\r\nSet-Cookie: mine=1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        .await;
    let leader = Client::opened(leader).await;
    assert_eq!(
        (leader.status(), &*field(&leader.head, "set-cookie")),
        ("403", &["mine=1"][..])
    );
    let mut server = upstream.accept().await;
    server.head().await;
    server.open_stream().await;
    server.numbers([1]).await;
    let mut waiting = Client::opened(waiting).await;
    assert_eq!(waiting.data(1).await, ["1"]);
    let mut third = Client::open(&gateway, &get(&[])).await;
    server.numbers([2]).await;
    assert_eq!(third.data(1).await, ["2"]);
    assert_eq!(upstream_requests(&gateway).await, 2);
}

#[tokio::test]
async fn vary_gives_each_its_own_and_private_is_not_shared() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--share", "host,path", "--retry", "off"];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let mut open = Vec::new();
    for (place, origin) in ["https://a", "https://b"].into_iter().enumerate() {
        let client = Client::send(&gateway, &get(&[&format!("Origin: {origin}")])).await;
        // It is not sent before the upstream has said that it counts.
        for sent in [None, Some(origin)].into_iter().skip(place) {
            let mut server = upstream.accept().await;
            let head = server.head().await;
            assert_eq!(field(&head, "origin"), sent.as_slice(), "{head}");
            let allowed = sent.map_or(String::new(), |origin| {
                format!("Access-Control-Allow-Origin: {origin}\r\n")
            });
            server
                .send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nVary: Origin\r\n{allowed}Transfer-Encoding: chunked\r\n\r\n"))
                .await;
            server.piece(&format!("data: {sent:?}\n\n")).await;
            open.push(server);
        }
        let mut client = Client::opened(client).await;
        assert_eq!(field(&client.head, "access-control-allow-origin"), [origin]);
        assert_eq!(client.data(1).await, [format!("Some({origin:?})")]);
        let again = Client::open(&gateway, &get(&[&format!("Origin: {origin}")])).await;
        assert_eq!(field(&again.head, "access-control-allow-origin"), [origin]);
    }

    for (share_private, requests) in [("off", 2), ("on", 1)] {
        let upstream = WireUpstream::bind().await;
        let flags = [&SHARE[..], &["--share-private", share_private]].concat();
        let gateway = Gateway::with_admin(&upstream.url, &flags);
        let mut open = Vec::new();
        for number in 0..2 {
            let client = Client::send(&gateway, &get(&[])).await;
            if share_private == "off" || number == 0 {
                let mut server = upstream.accept().await;
                server.head().await;
                server
                    .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: private\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await;
                server.numbers([1]).await;
                open.push(server);
            }
            Client::opened(client).await;
        }
        assert_eq!(
            upstream_requests(&gateway).await,
            requests,
            "{share_private}"
        );
    }
}

#[tokio::test]
async fn what_is_of_one_clients_response_goes_to_nobody_else() {
    // With a key of one's own the request is nobody's: the cookie would take the place of the client's own.
    for (share, is_given) in [("on", true), ("path", false)] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::with_admin(&upstream.url, &["--share", share, "--retry", "off"]);
        let request = get(&["Cookie: s=old"]);
        let one = Client::send(&gateway, &request).await;
        let mut server = upstream.accept().await;
        server.head().await;
        let own = [
            "set-cookie: s=1",
            "date: Sun, 06 Nov 1994 08:49:37 GMT",
            "server-timing: db;dur=5",
            "x-request-id: 7",
            "x-amzn-requestid: 7",
            "cf-ray: 7",
            "content-security-policy: script-src 'nonce-abc'",
            "x-csrf-token: 7",
            "mcp-session-id: 7",
        ];
        server
            .send(format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-For-All: 1\r\n{}\r\nTransfer-Encoding: chunked\r\n\r\n", own.join("\r\n")))
            .await;
        let one = Client::opened(one).await;
        let other = Client::open(&gateway, &request).await;
        for line in own {
            let (name, value) = line.split_once(": ").unwrap();
            let given = field(&one.head, name).contains(&value);
            assert_eq!(given, is_given, "{share} {}", one.head);
            assert!(!field(&other.head, name).contains(&value), "{}", other.head);
        }
        assert_eq!(field(&other.head, "x-for-all"), ["1"]);
    }
}

#[tokio::test]
async fn a_token_stream_is_resumed_though_its_client_names_json_alone() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--resume", "on", "--retry", "off"]);
    let request =
        |lines: &[&str]| post(lines, "ask").replace("text/event-stream", "application/json");
    let client = Client::send(&gateway, &request(&[])).await;
    let mut server = upstream.accept().await;
    let head = server.head().await;
    assert_eq!(field(&head, "accept"), ["application/json"]);
    server.open_stream().await;
    server.numbers(1..=2).await;
    let mut client = Client::opened(client).await;
    let id = client.take(1).await.remove(0).id;
    drop(client);
    let back = request(&[&format!("Last-Event-ID: {id}")]);
    let mut client = Client::open(&gateway, &back).await;
    assert_eq!(client.data(1).await, ["2"]);
    assert_eq!(upstream_requests(&gateway).await, 1);
}

#[tokio::test]
async fn a_late_answer_that_is_json_is_one_event() {
    for (status, is_broken) in [("200 OK", false), ("429 Too Many Requests", true)] {
        let upstream = WireUpstream::bind().await;
        let flags = ["--resume", "on", "--open-after", "50ms", "--retry", "off"];
        let gateway = Gateway::with_admin(&upstream.url, &flags);
        let client = Client::send(&gateway, &post(&[], "ask")).await;
        let mut server = upstream.accept().await;
        server.head().await;
        let mut client = Client::opened(client).await;
        assert_eq!(client.status(), "200");
        let body = "{\"a\": 1}\n";
        let length = body.len();
        server
            .send(format!("HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}"))
            .await;
        assert_eq!(client.data(1).await, [body.trim_end()]);
        if is_broken {
            client.broken().await;
        } else {
            assert_eq!(client.next().await, None);
        }
    }
}

#[tokio::test]
async fn large_uploads_to_resumable_routes_are_not_held() {
    let upstream = WireUpstream::bind().await;
    let flags = [
        "--resume",
        "on",
        "--history-budget",
        "1MiB",
        "--retry",
        "off",
    ];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let body = "x".repeat(1024 * 1024);
    let mut open = Vec::new();
    for _ in 0..20 {
        let client = Client::send(&gateway, &post(&[], &body)).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.bytes(body.len()).await;
        server.open_stream().await;
        server.numbers([1]).await;
        let mut client = Client::opened(client).await;
        assert_eq!(client.data(1).await, ["1"]);
        open.push((client, server));
    }
    let metrics = admin(&gateway, "/metrics").await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("sse_history_reserved_bytes "));
    let reserved: f64 = line
        .and_then(|line| line.split(' ').nth(1))
        .unwrap()
        .parse()
        .unwrap();
    assert!(reserved < 20.0 * 8192.0, "{reserved}");
    drop(open);
    yield_now().await;
}

#[tokio::test]
async fn a_neutral_field_counts_where_the_key_names_it() {
    let upstream = WireUpstream::bind().await;
    let share = "host,path,header:user-agent";
    let gateway = Gateway::with_admin(&upstream.url, &["--share", share, "--retry", "off"]);
    let mut open = Vec::new();
    for agent in ["one", "other"] {
        let line = format!("User-Agent: {agent}");
        let client = Client::send(&gateway, &get(&[&line])).await;
        let mut server = upstream.accept().await;
        assert_eq!(field(&server.head().await, "user-agent"), [agent]);
        server.open_stream().await;
        server.piece(&format!("data: {agent}\n\n")).await;
        assert_eq!(Client::opened(client).await.data(1).await, [agent]);
        open.push(server);
    }
}
