//! `--share`: one upstream request for many clients.

use tokio::net::TcpListener;

use crate::admin::{admin, admin_until, upstream_requests};
use crate::client::{Client, get};
use crate::gateway::Gateway;
use crate::upstream::numbers;
use crate::wire::{WireUpstream, field};

#[tokio::test]
async fn two_clients_share_one_upstream_request() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--share", "on", "--on-leave", "cancel"];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let one = Client::send(&gateway, &get(&[])).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.open_stream().await;
    let mut one = Client::opened(one).await;
    server.numbers([1]).await;
    assert_eq!(one.data(1).await, ["1"]);

    let mut other = Client::open(&gateway, &get(&[])).await;
    assert_eq!(field(&other.head, "content-type"), ["text/event-stream"]);
    server.numbers(2..=4).await;
    let events = one.take(3).await;
    assert_eq!(other.take(3).await, events);
    let data: Vec<_> = events.iter().map(|event| event.data.clone()).collect();
    assert_eq!(data, numbers(2..=4));
    for (number, event) in (2..).zip(&events) {
        assert!(event.id.starts_with("ts"), "{event:?}");
        assert!(event.id.ends_with(&format!("-{number}")), "{event:?}");
    }

    let streams = admin(&gateway, "/streams").await;
    let list: serde_json::Value = serde_json::from_str(&streams).expect("JSON");
    assert_eq!(list["active"], 2);
    let [relay] = &list["relays"].as_array().expect("a list")[..] else {
        panic!("not one relay: {streams}");
    };
    assert_eq!(relay["route"], "default");
    assert_eq!(relay["key"], "GET h /stream");
    assert_eq!(relay["clients"], 2);
    assert_eq!(relay["upstream"], "connected");
    assert_eq!(relay["events"], 4);
    assert_eq!(relay["last_id"], events[2].id);
    assert_eq!(upstream_requests(&gateway).await, 1);
    let metrics = admin(&gateway, "/metrics").await;
    for line in [
        "# TYPE sse_relays_active gauge",
        "# HELP sse_relay_clients Clients of relays",
        "# TYPE sse_replays_total counter",
        "sse_relays_active{route=\"default\"} 1",
        "sse_relay_clients{route=\"default\"} 2",
        "sse_upstream_connected{route=\"default\"} 1",
        "sse_history_events{route=\"default\"} 4",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }

    drop((one, other));
    assert_eq!(server.rest().await, "");
    admin_until(&gateway, "/metrics", |metrics| {
        [
            "sse_relays_active",
            "sse_relay_clients",
            "sse_upstream_connected",
            "sse_history_events",
            "sse_history_bytes",
            "sse_streams_active",
        ]
        .iter()
        .all(|name| metrics.contains(&format!("\n{name}{{route=\"default\"}} 0\n")))
    })
    .await;
    assert!(admin(&gateway, "/streams").await.contains("\"relays\":[]"));
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on"]);
    let client = Client::send(&gateway, &get(&[])).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.open_stream().await;
    let mut client = Client::opened(client).await;
    server.numbers(1..=2).await;
    let last = client.take(2).await.pop().expect("two events");
    drop(client);
    server.numbers(3..=5).await;
    let back = format!("Last-Event-ID: {}", last.id);
    let mut client = Client::open(&gateway, &get(&[&back])).await;
    assert_eq!(client.data(3).await, numbers(3..=5));
    server.numbers([6]).await;
    assert_eq!(client.data(1).await, ["6"]);
    assert_eq!(upstream_requests(&gateway).await, 1);

    // A polyfill names it in the query, which is no part of the key then.
    let query = get(&[]).replace("/stream", &format!("/stream?lastEventId={}", last.id));
    let mut polyfill = Client::open(&gateway, &query).await;
    assert_eq!(polyfill.data(4).await, numbers(3..=6));
    assert_eq!(upstream_requests(&gateway).await, 1);
}

#[tokio::test]
async fn an_upstream_is_restarted_and_no_client_connection_closes() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on"]);
    let one = Client::send(&gateway, &get(&[])).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.open_stream().await;
    server.piece("retry: 10\n\n").await;
    let mut one = Client::opened(one).await;
    let mut other = Client::open(&gateway, &get(&[])).await;
    server.numbers_with_ids(1..=3).await;
    assert_eq!(one.data(3).await, numbers(1..=3));

    let address = upstream.url.trim_start_matches("http://").to_owned();
    drop((server, upstream));
    admin_until(&gateway, "/streams", |streams| {
        streams.contains("\"upstream\":\"waiting\"")
    })
    .await;
    let upstream = WireUpstream::of(TcpListener::bind(address).await.expect("binds again"));
    let mut server = upstream.accept().await;
    let head = server.head().await;
    assert_eq!(field(&head, "last-event-id"), ["3"]);
    server.open_stream().await;
    server.numbers_with_ids(4..=6).await;
    assert_eq!(one.data(3).await, numbers(4..=6));
    assert_eq!(other.data(6).await, numbers(1..=6));
    let streams = admin(&gateway, "/streams").await;
    assert!(streams.contains("\"clients\":2"), "{streams}");

    // 204 is the upstream's word that this was all.
    drop(server);
    let mut server = upstream.accept().await;
    server.head().await;
    server.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(one.next().await, None);
    assert_eq!(other.next().await, None);
    let again = Client::open(&gateway, &get(&[])).await;
    assert_eq!(again.status(), "204");
}

#[tokio::test]
async fn other_credentials_do_not_share() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on"]);
    let mut all = Vec::new();
    for name in [
        "Authorization: secret-a",
        "Authorization: secret-b",
        "Cookie: secret",
    ] {
        let client = Client::send(&gateway, &get(&[name])).await;
        let mut server = upstream.accept().await;
        assert!(
            server
                .head()
                .await
                .to_lowercase()
                .contains(&name.to_lowercase())
        );
        server.open_stream().await;
        all.push((name, Client::opened(client).await, server));
    }
    for (name, _, server) in &mut all {
        server.piece(&format!("data: of {name}\n\n")).await;
    }
    for (name, client, _) in &mut all {
        assert_eq!(client.data(1).await, [format!("of {name}")]);
    }
    let streams = admin(&gateway, "/streams").await;
    assert!(!streams.contains("secret"), "{streams}");
}

#[tokio::test]
async fn ids_of_a_trusted_upstream_stay_as_they_are() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--share", "on", "--ids", "keep", "--retry", "off"];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let client = Client::send(&gateway, &get(&[])).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.open_stream().await;
    server.numbers_with_ids(1..=3).await;
    let mut client = Client::opened(client).await;
    let ids: Vec<_> = client
        .take(3)
        .await
        .into_iter()
        .map(|event| event.id)
        .collect();
    assert_eq!(ids, numbers(1..=3));
    let mut back = Client::open(&gateway, &get(&["Last-Event-ID: 1"])).await;
    assert_eq!(back.data(2).await, numbers(2..=3));
    assert_eq!(upstream_requests(&gateway).await, 1);
}

#[tokio::test]
async fn flags_reach_the_relay() {
    let upstream = WireUpstream::bind().await;
    let mut flags = vec!["--share", "path,query:room", "--hold", "on"];
    flags.extend(["--history-events", "3", "--start", "last:2"]);
    flags.extend(["--gap-event", "missed", "--retry", "off"]);
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    // The upstream says nothing at all yet.
    let mut client = Client::open(&gateway, &get(&["Cookie: one"])).await;
    assert_eq!(client.status(), "200");
    let mut server = upstream.accept().await;
    server.head().await;
    server.open_stream().await;
    server.numbers([1]).await;
    let first = client.take(1).await.remove(0);
    // One by one: more than three at once would be too much for it.
    for number in 2..=6 {
        server.numbers([number]).await;
        assert_eq!(client.data(1).await, numbers([number]));
    }

    let mut late = Client::open(&gateway, &get(&["Cookie: other"])).await;
    assert_eq!(late.data(2).await, numbers(5..=6));
    let back = format!("Last-Event-ID: {}", first.id);
    let mut back = Client::open(&gateway, &get(&[&back])).await;
    let told = back.take(4).await;
    assert_eq!((&*told[0].kind, &*told[0].data), ("missed", "2"));
    let data: Vec<_> = told[1..].iter().map(|event| event.data.clone()).collect();
    assert_eq!(data, numbers(4..=6));
    assert_eq!(upstream_requests(&gateway).await, 1);
}
