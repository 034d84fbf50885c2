//! What strangers can do to each other's streams: nothing. Who shares with whom, what reaches the upstream, and what an
//! id proves.

use std::io::Write;

use crate::admin::{admin_until, upstream_requests};
use crate::client::{Client, Event, get, post};
use crate::gateway::Gateway;
use crate::upstream::numbers;
use crate::wire::{Wire, WireUpstream, field};

const SECRET: &str = "alices-secret";

/// A client for which the upstream is asked, what it is asked, and its side.
async fn led(gateway: &Gateway, upstream: &WireUpstream, request: &str) -> (Client, String, Wire) {
    let client = Client::send(gateway, request).await;
    let mut server = upstream.accept().await;
    let head = server.head().await;
    server.open_stream().await;
    (Client::opened(client).await, head, server)
}

#[tokio::test]
async fn a_stranger_without_what_names_alice_gets_nothing_of_hers() {
    let upstream = WireUpstream::bind().await;
    // What it says of users is taken for true from it alone.
    let mut flags = vec!["--share", "on", "--trusted-proxy", "127.0.0.1"];
    // A stream that lingers would be asked for again when its upstream goes.
    flags.extend(["--on-leave", "cancel"]);
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    for name in [
        "X-Api-Key",
        "Authorization",
        "Cookie",
        "Proxy-Authorization",
        "X-Auth-Token",
        "X-Forwarded-User",
        "Mcp-Session-Id",
        "Accept-Language",
        "Origin",
        "Cf-Access-Jwt-Assertion",
        "Range",
        "X-Anything-Else",
    ] {
        let hers = format!("{name}: {SECRET}");
        let hers = get(&[&hers]).replace("/stream", &format!("/of-{name}"));
        let (mut alice, head, mut of_alice) = led(&gateway, &upstream, &hers).await;
        assert_eq!(field(&head, name), [SECRET]);
        of_alice.piece("data: for alice\n\n").await;
        assert_eq!(alice.data(1).await, ["for alice"]);

        let strangers = get(&[]).replace("/stream", &format!("/of-{name}"));
        let (mut stranger, head, mut of_stranger) = led(&gateway, &upstream, &strangers).await;
        assert!(!head.contains(SECRET), "{head}");
        of_alice.piece("data: for alice\n\n").await;
        assert_eq!(alice.data(1).await, ["for alice"]);
        of_stranger.piece("data: for anybody\n\n").await;
        assert_eq!(stranger.data(1).await, ["for anybody"], "{name}");
        // Nor does it help to come with one of her ids.
        let id = format!(
            "Last-Event-ID: {}",
            of_hers(&mut alice, &mut of_alice).await
        );
        let with_id = get(&[&id]).replace("/stream", &format!("/of-{name}"));
        let mut again = Client::open(&gateway, &with_id).await;
        of_stranger.piece("data: for anybody\n\n").await;
        let told = again.data(2).await;
        assert!(!told.contains(&"for alice".to_owned()), "{name}: {told:?}");
        // Clients go first, and are seen to: an upstream that goes before its client is asked again, here by the next name.
        drop((alice, stranger, again));
        of_alice.rest().await;
        of_stranger.rest().await;
    }
}

async fn of_hers(client: &mut Client, server: &mut Wire) -> String {
    server.piece("data: for alice\n\n").await;
    client.take(1).await.remove(0).id
}

/// What one client says that is not in the key of these tests.
const CHOSEN: [&str; 17] = [
    "X-Forwarded-Host: chosen.example",
    "X-Forwarded-Proto: chosen",
    "X-Forwarded-Prefix: /chosen",
    "X-Original-Url: /chosen",
    "X-Http-Method-Override: CHOSEN",
    "Forwarded: for=chosen",
    "User-Agent: chosen",
    "Referer: http://chosen.example/",
    "Cf-Ray: chosen",
    "X-Forwarded-For: 192.0.2.77",
    "X-Request-Id: chosen",
    "Traceparent: 00-chosen",
    "Accept-Language: chosen",
    "Accept-Charset: chosen",
    "If-None-Match: \"chosen\"",
    "Authorization: chosen",
    "Via: 1.1 chosen",
];

#[tokio::test]
async fn nothing_outside_of_the_key_reaches_the_upstream() {
    for (key, path, host, cookie) in [
        ("path", "/stream", None, None),
        (
            "host,path,query:room,cookie:session",
            "/stream?room=7",
            Some("rooms.example"),
            Some("session=s1"),
        ),
    ] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::with_admin(&upstream.url, &["--share", key]);
        let cookies = "Cookie: theme=chosen; session=s1; _ga=chosen";
        let lines = [&CHOSEN[..], &[cookies]].concat();
        let request = get(&lines)
            .replace("/stream", "/stream?evil=chosen&room=7&x=chosen")
            .replace("Host: h", "Host: rooms.example");
        let (_one, head, mut server) = led(&gateway, &upstream, &request).await;
        assert!(
            head.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{head}"
        );
        assert!(!head.to_lowercase().contains("chosen"), "{head}");
        assert!(!head.contains("192.0.2.77"), "{head}");
        assert!(!head.contains("127.0.0.1, "), "{head}");
        assert_eq!(field(&head, "x-forwarded-for"), [""; 0], "{head}");
        let own = upstream.url.trim_start_matches("http://");
        assert_eq!(field(&head, "host"), [host.unwrap_or(own)], "{head}");
        if host.is_none() {
            assert!(!head.contains("rooms.example"), "{head}");
        }
        assert_eq!(field(&head, "cookie"), cookie.as_slice(), "{head}");
        let [agent] = field(&head, "user-agent")[..] else {
            panic!("who asks is not said: {head}");
        };
        assert!(agent.starts_with("sse-gateway/"), "{agent}");

        // Who says something else of all that shares it.
        let other = get(&[
            "User-Agent: b",
            "Cookie: session=s1; theme=b",
            "X-Api-Key: b",
        ])
        .replace("/stream", "/stream?room=7&x=b")
        .replace("Host: h", "Host: rooms.example");
        let mut other = Client::open(&gateway, &other).await;
        server.numbers([1]).await;
        assert_eq!(other.data(1).await, ["1"]);
        assert_eq!(upstream_requests(&gateway).await, 1);
        // A lost stream would be asked for again, and taken for the next one's.
        let mut servers = Vec::new();
        if host.is_some() {
            for (from, to) in [
                ("session=s1", "session=s2"),
                ("room=7", "room=8"),
                ("rooms.example", "other.example"),
            ] {
                servers.push(led(&gateway, &upstream, &request.replace(from, to)).await);
            }
        }
    }
}

#[tokio::test]
async fn what_a_hop_adds_keeps_nobody_apart_and_is_sent_for_nobody() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on"]);
    let names = [
        "User-Agent",
        "Accept-Encoding",
        "Sec-Fetch-Site",
        "Sec-CH-UA",
        "Referer",
        "Cache-Control",
        "Pragma",
        "DNT",
        "Priority",
        "Cf-Ray",
        "Cf-Connecting-Ip",
        "Cf-Ipcountry",
        "X-Amzn-Trace-Id",
        "Cloudfront-Viewer-Country",
        "X-Amz-Cf-Id",
        "Fastly-Client-Ip",
        "X-Azure-Ref",
        "X-Arr-Log-Id",
        "X-Forwarded-For",
        "Forwarded",
        "Via",
        "X-Real-Ip",
        "X-Request-Id",
        "Traceparent",
        "B3",
    ];
    let of = |who: &str| -> Vec<String> {
        let lines = names.iter().map(|name| format!("{name}: chosen-by-{who}"));
        lines.collect()
    };
    let request = |lines: Vec<String>| {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        get(&lines)
    };
    let (_one, head, mut server) = led(&gateway, &upstream, &request(of("one"))).await;
    assert!(!head.contains("chosen"), "{head}");
    let mut two = Client::open(&gateway, &request(of("two"))).await;
    let mut none = Client::open(&gateway, &get(&[])).await;
    server.numbers([1]).await;
    assert_eq!(two.data(1).await, ["1"]);
    assert_eq!(none.data(1).await, ["1"]);
    assert_eq!(upstream_requests(&gateway).await, 1);
}

#[tokio::test]
async fn it_is_said_which_field_keeps_two_apart_and_it_can_be_ignored() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on"]);
    let mut all = Vec::new();
    for number in 1..=4 {
        let noise = format!("X-Noise: {number}");
        all.push(led(&gateway, &upstream, &get(&[&noise])).await);
    }
    let said =
        "not shared with another client because of x-noise; add it to ignore if it is neutral";
    let log = gateway.log_with(said);
    assert_eq!(log.matches(said).count(), 1, "{log}");
    let list = admin_until(&gateway, "/streams", |streams| {
        streams
            .matches("\"not_shared_because_of\":\"x-noise\"")
            .count()
            == 3
    })
    .await;
    assert_eq!(
        list.matches("\"not_shared_because_of\":null").count(),
        1,
        "{list}"
    );

    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on", "--ignore", "x-noise"]);
    let (_one, head, mut server) = led(&gateway, &upstream, &get(&["X-Noise: 1"])).await;
    assert_eq!(field(&head, "x-noise"), [""; 0]);
    let mut two = Client::open(&gateway, &get(&["X-Noise: 2"])).await;
    server.numbers([1]).await;
    assert_eq!(two.data(1).await, ["1"]);
    assert_eq!(upstream_requests(&gateway).await, 1);
}

#[tokio::test]
async fn a_resumable_stream_is_found_again_whatever_became_of_the_cookies() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--resume", "cookie:session", "--on-leave", "finish"];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let mine = "Authorization: mine";
    let first = post(&[mine, "Cookie: roll=1; session=s; theme=dark"], "q");
    let (mut client, _, mut server) = led(&gateway, &upstream, &first).await;
    server.numbers(1..=3).await;
    let id = client.take(3).await.remove(0).id;
    let id = format!("Last-Event-ID: {id}");
    drop(client);
    for cookies in [
        "Cookie: roll=1; session=s; theme=dark",
        "Cookie: roll=2; session=s; theme=dark",
        "Cookie: _ga=x; roll=1; session=s; theme=dark",
        "Cookie: theme=dark; session=s; roll=1",
        "Cookie: session=s",
    ] {
        let mut back = Client::open(&gateway, &post(&[mine, cookies, &id], "q")).await;
        assert_eq!(back.data(2).await, numbers(2..=3), "{cookies}");
    }
    let yes = "Cookie: session=s";
    for (what, request) in [
        (
            "credentials",
            post(&["Authorization: other", yes, &id], "q"),
        ),
        ("no credentials", post(&[yes, &id], "q")),
        (
            "path",
            post(&[mine, yes, &id], "q").replace("/stream", "/elsewhere"),
        ),
        ("session", post(&[mine, "Cookie: session=t", &id], "q")),
        ("no session", post(&[mine, &id], "q")),
    ] {
        let other = Client::open(&gateway, &request).await;
        let rest = other.broken().await;
        assert!(rest.contains(": closing: gap\n"), "{what}: {rest:?}");
    }
    assert_eq!(upstream_requests(&gateway).await, 1);
}

#[tokio::test]
async fn a_resumable_stream_is_not_found_from_another_route() {
    let upstream = WireUpstream::bind().await;
    let file = std::env::temp_dir().join(format!("sse-trust-{}.toml", std::process::id()));
    let text = "resume = true\n\
                [[route]]\npath = \"/stream\"\nmethods = [\"POST\"]\n\
                [[route]]\npath = \"/stream\"\nmethods = [\"GET\"]\n";
    std::fs::write(&file, text).expect("is written");
    let flags = ["--config", file.to_str().expect("UTF-8")];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let (mut client, _, mut server) = led(&gateway, &upstream, &post(&[], "q")).await;
    server.numbers(1..=2).await;
    let id = format!("Last-Event-ID: {}", client.take(2).await.remove(0).id);
    let (mut other, head, mut of_other) = led(&gateway, &upstream, &get(&[&id])).await;
    assert_eq!(field(&head, "last-event-id"), [""; 0]);
    of_other.numbers([7]).await;
    let events = other.take(2).await;
    assert_eq!((&*events[0].kind, &*events[1].data), ("stream-gap", "7"));
    let _ = std::fs::remove_file(file);
}

const POISON: &str = "99999999";

/// Answers a request as an upstream that has events up to `have`: what is behind its `Last-Event-ID`, and then nothing.
async fn behind(server: &mut Wire, head: &str, have: u32) {
    server.open_stream().await;
    let from = match field(head, "last-event-id")[..] {
        [id] => id.parse::<u32>().expect("a number"),
        _ => have,
    };
    server.numbers_with_ids(from.saturating_add(1)..=have).await;
}

#[tokio::test]
async fn a_strangers_id_is_his_own_affair() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--share", "on"]);
    let poison = format!("Last-Event-ID: {POISON}");
    let stranger = Client::send(&gateway, &get(&[&poison])).await;
    let mut server = upstream.accept().await;
    let head = server.head().await;
    assert_eq!(field(&head, "last-event-id"), [""; 0], "it begins live");
    behind(&mut server, &head, 7).await;
    let mut stranger = Client::opened(stranger).await;
    // What is behind his id he asks for himself.
    let mut own = upstream.accept().await;
    let head = own.head().await;
    assert_eq!(field(&head, "last-event-id"), [POISON]);
    behind(&mut own, &head, 7).await;

    let mut honest = Client::open(&gateway, &get(&[])).await;
    server.numbers_with_ids(8..=10).await;
    let given = honest.take(3).await;
    assert_eq!(data(&given), numbers(8..=10));
    assert!(
        given.iter().all(|event| !event.id.contains(POISON)),
        "{given:?}"
    );
    drop(own);
    // The stranger is not left behind either.
    let told = stranger.take(4).await;
    assert_eq!((&*told[0].kind, &*told[0].data), ("stream-gap", "null"));
    assert_eq!(data(&told[1..]), numbers(8..=10));
    drop((stranger, server));

    // When the upstream is lost it is asked for what it gave itself.
    let mut server = upstream.accept().await;
    let head = server.head().await;
    assert_eq!(field(&head, "last-event-id"), ["10"]);
    behind(&mut server, &head, 11).await;
    assert_eq!(data(&honest.take(1).await), ["11"]);
}

fn data(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.data.clone()).collect()
}

fn secret_file(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("sse-secret-{name}-{}", std::process::id()));
    let mut file = std::fs::File::create(&path).expect("is made");
    file.write_all(&[b'x'; 64]).expect("is written");
    path
}

/// An id of the gateway that carries the upstream's 3.
async fn id_of_three(gateway: &Gateway, upstream: &WireUpstream) -> String {
    let (mut client, _, mut server) = led(gateway, upstream, &get(&[])).await;
    server.numbers_with_ids(1..=3).await;
    let id = client.take(3).await.pop().expect("events").id;
    assert!(id.ends_with(".3"), "{id}");
    id
}

#[tokio::test]
async fn an_id_of_ours_is_believed_after_a_restart_if_it_is_proven() {
    let file = secret_file("proven");
    let flags = [
        "--share",
        "on",
        "--secret-file",
        file.to_str().expect("UTF-8"),
    ];
    let upstream = WireUpstream::bind().await;
    let id = id_of_three(&Gateway::with_admin(&upstream.url, &flags), &upstream).await;

    // It is the relay's own cursor, and so one request is enough.
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let back = Client::send(&gateway, &get(&[&format!("Last-Event-ID: {id}")])).await;
    let mut server = upstream.accept().await;
    let head = server.head().await;
    assert_eq!(field(&head, "last-event-id"), ["3"]);
    behind(&mut server, &head, 6).await;
    let mut back = Client::opened(back).await;
    assert_eq!(back.data(3).await, numbers(4..=6));
    assert_eq!(upstream_requests(&gateway).await, 1);

    // Not for another key, nor when it was changed.
    let key = get(&[&format!("Last-Event-ID: {id}")]).replace("/stream", "/other");
    let changed = id.replace(".3", &format!(".{POISON}"));
    let changed = get(&[&format!("Last-Event-ID: {changed}"), "X-Of: another"]);
    for request in [key, changed] {
        let _client = Client::send(&gateway, &request).await;
        let mut server = upstream.accept().await;
        assert_eq!(field(&server.head().await, "last-event-id"), [""; 0]);
        server.open_stream().await;
        let mut own = upstream.accept().await;
        let head = own.head().await;
        assert_eq!(field(&head, "last-event-id").len(), 1);
    }
    let _ = std::fs::remove_file(file);
}

#[tokio::test]
async fn without_a_secret_that_stays_an_id_of_an_earlier_process_is_caught_up() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--share", "on"];
    let id = id_of_three(&Gateway::with_admin(&upstream.url, &flags), &upstream).await;
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let back = Client::send(&gateway, &get(&[&format!("Last-Event-ID: {id}")])).await;
    let mut server = upstream.accept().await;
    let head = server.head().await;
    assert_eq!(field(&head, "last-event-id"), [""; 0]);
    behind(&mut server, &head, 6).await;
    let mut own = upstream.accept().await;
    let head = own.head().await;
    assert_eq!(field(&head, "last-event-id"), ["3"]);
    behind(&mut own, &head, 6).await;
    let mut back = Client::opened(back).await;
    assert_eq!(back.data(3).await, numbers(4..=6));
    // There it meets the relay.
    for server in [&mut server, &mut own] {
        server.numbers_with_ids([7]).await;
    }
    assert_eq!(back.data(1).await, ["7"]);
    server.numbers_with_ids([8]).await;
    assert_eq!(back.data(1).await, ["8"]);
    assert_eq!(own.rest().await, "", "it is not read any more");
}
