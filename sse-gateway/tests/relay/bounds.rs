//! What strangers can make the gateway hold, and take from others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::{admin, admin_until, upstream_requests};
use crate::client::{Client, get, post};
use crate::gateway::Gateway;
use crate::upstream::numbers;
use crate::wire::{Wire, WireUpstream, field};

/// An upstream that gives each request one event, and then nothing or the end. It counts those it holds open.
fn one_event(upstream: WireUpstream, ends: bool) -> Arc<AtomicUsize> {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = open.clone();
    tokio::spawn(async move {
        loop {
            let mut server = upstream.accept().await;
            let counted = counted.clone();
            tokio::spawn(async move {
                counted.fetch_add(1, Ordering::Relaxed);
                let head = server.head().await;
                let length = field(&head, "content-length");
                if let [length] = length[..] {
                    server.bytes(length.parse().expect("a number")).await;
                }
                open_once(&mut server).await;
                server.numbers([1]).await;
                if ends {
                    server.end_stream().await;
                }
                // Until the gateway has gone.
                server.rest().await;
                counted.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    open
}

/// Opens a stream on a connection that is used once.
async fn open_once(server: &mut Wire) {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";
    server
        .send(format!("{head}Connection: close\r\n\r\n"))
        .await;
}

/// A client from this address.
async fn from(address: [u8; 4], gateway: &Gateway, request: &str) -> Client {
    let socket = TcpSocket::new_v4().expect("a socket");
    let own = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), 0);
    socket.bind(own).expect("an address of this machine");
    let mut stream = socket.connect(gateway.address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    Client::opened(BufReader::new(stream)).await
}

const STRANGER: [u8; 4] = [127, 0, 0, 2];
const HONEST: [u8; 4] = [127, 0, 0, 1];

/// In KiB: what is this process's alone.
fn memory(gateway: &Gateway) -> usize {
    let path = format!("/proc/{}/smaps_rollup", gateway.id());
    let text = std::fs::read_to_string(path).expect("it runs");
    let line = text.lines().find(|line| line.starts_with("Private_Dirty:"));
    let fields: Vec<_> = line.expect("the line").split_whitespace().collect();
    fields[1].parse().expect("a number")
}

#[tokio::test]
async fn posts_whose_clients_left_hold_no_bodies() {
    const BUDGET: usize = 16 * 1024;
    /// Beside the budget: what a connection and a task take, and what the allocator keeps.
    const BESIDE: usize = 48 * 1024;
    let upstream = WireUpstream::bind().await;
    let flags = ["--resume", "on", "--history-budget", "16MiB"];
    let flags = [
        &flags[..],
        &[
            "--on-leave",
            "finish",
            "--max-idle-relays-per-client",
            "1000",
        ],
    ]
    .concat();
    let gateway = Arc::new(Gateway::with_admin(&upstream.url, &flags));
    one_event(upstream, false);
    let before = memory(&gateway);
    let body = Arc::new("x".repeat(1024 * 1024));
    for _ in 0..20 {
        let mut some = JoinSet::new();
        for _ in 0..30 {
            let (gateway, body) = (gateway.clone(), body.clone());
            some.spawn(async move {
                let mut client = Client::open(&gateway, &post(&[], &body)).await;
                assert_eq!(client.data(1).await, ["1"]);
            });
        }
        some.join_all().await;
    }
    admin_until(&gateway, "/streams", |streams| {
        streams.matches("\"clients\":0").count() == 600
    })
    .await;
    let held = memory(&gateway).saturating_sub(before);
    assert!(held <= BUDGET + BESIDE, "{held} KiB, {before} before");
}

#[tokio::test]
async fn small_posts_in_a_loop_do_not_switch_resuming_off() {
    let upstream = WireUpstream::bind().await;
    let flags = [
        "--resume",
        "on",
        "--max-relays",
        "20",
        "--on-leave",
        "finish",
    ];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    one_event(upstream, true);
    for _ in 0..200 {
        let mut client = from(STRANGER, &gateway, &post(&[], "q")).await;
        let id = client.take(1).await.remove(0).id;
        assert!(id.starts_with("tr"), "{id}");
        assert_eq!(client.next().await, None);
    }
    let mut client = from(HONEST, &gateway, &post(&[], "q")).await;
    let id = client.take(1).await.remove(0).id;
    assert!(id.starts_with("tr"), "{id}");
    let metrics = admin(&gateway, "/metrics").await;
    assert!(!metrics.contains("sse_relays_refused_total{route=\"default\",why=\"relays\"} 1"));
}

#[tokio::test]
async fn finished_ones_go_first_then_those_without_clients_and_what_passes_is_told() {
    let upstream = WireUpstream::bind().await;
    let flags = [
        "--resume",
        "on",
        "--max-relays",
        "3",
        "--on-leave",
        "finish",
    ];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let mut all = Vec::new();
    let mut servers = Vec::new();
    for number in 1..=3 {
        let client = Client::send(&gateway, &post(&[], "q")).await;
        let mut server = upstream.accept().await;
        server.until("\r\n\r\nq").await;
        open_once(&mut server).await;
        server.numbers([number]).await;
        let mut client = Client::opened(client).await;
        let id = client.take(1).await.remove(0).id;
        all.push((Some(client), format!("Last-Event-ID: {id}")));
        servers.push(server);
    }
    // The first is left alone, the second has finished.
    all[0].0 = None;
    admin_until(&gateway, "/streams", |streams| {
        streams.contains("\"clients\":0")
    })
    .await;
    servers[1].end_stream().await;
    assert_eq!(all[1].0.as_mut().expect("a client").next().await, None);
    all[1].0 = None;
    admin_until(&gateway, "/streams", |streams| {
        streams.matches("\"clients\":0").count() == 2 && streams.contains("\"upstream\":\"ended\"")
    })
    .await;

    let opened = async |number: u32| {
        let client = Client::send(&gateway, &post(&[], "q")).await;
        let mut server = upstream.accept().await;
        server.until("\r\n\r\nq").await;
        open_once(&mut server).await;
        server.numbers([number]).await;
        let mut client = Client::opened(client).await;
        let event = client.take(1).await.remove(0);
        (client, server, event.id)
    };
    let four = opened(4).await;
    servers[0].numbers([11]).await;
    let back = post(&[&all[0].1], "q");
    let mut first = Client::open(&gateway, &back).await;
    assert_eq!(
        first.data(1).await,
        ["11"],
        "the one that had finished went"
    );
    drop(first);
    admin_until(&gateway, "/streams", |streams| {
        streams.contains("\"clients\":0")
    })
    .await;
    let five = opened(5).await;
    assert!(five.2.starts_with("tr"));
    assert_eq!(servers[0].rest().await, "", "then the one without a client");

    // All have clients: those that come pass by, are counted, and it is said once.
    for number in 6..=8 {
        let (client, server, id) = opened(number).await;
        assert!(!id.starts_with("tr"), "{id} is not one to come back with");
        drop((client, server));
    }
    let counted = "sse_relays_refused_total{route=\"default\",why=\"relays\"} 3";
    admin_until(&gateway, "/metrics", |metrics| metrics.contains(counted)).await;
    let said = "no room for more relays";
    assert_eq!(gateway.log_with(said).matches(said).count(), 1);
    drop((four, five));
}

#[tokio::test]
async fn a_client_that_leaves_before_it_was_given_an_id_leaves_nothing() {
    for flags in [&["--resume", "on"][..], &["--resume", "on", "--hold", "on"]] {
        let upstream = WireUpstream::bind().await;
        let gateway = Gateway::with_admin(&upstream.url, flags);
        for head_comes in [true, false] {
            if !head_comes && flags.len() == 2 {
                // Nobody has a stream before the head.
                let client = Client::send(&gateway, &get(&[])).await;
                let mut server = upstream.accept().await;
                server.head().await;
                drop(client);
                assert_eq!(server.rest().await, "");
                continue;
            }
            let client = Client::send(&gateway, &get(&[])).await;
            let mut server = upstream.accept().await;
            server.head().await;
            if head_comes {
                open_once(&mut server).await;
            }
            let client = Client::opened(client).await;
            drop(client);
            let gone = timeout(Duration::from_secs(5), server.rest()).await;
            assert_eq!(gone.expect("it does not linger"), "");
        }
        admin_until(&gateway, "/streams", |streams| {
            streams.contains("\"relays\":[]")
        })
        .await;
    }
}

#[tokio::test]
async fn one_client_that_opens_and_leaves_holds_few_upstream_connections() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--resume", "on", "--max-idle-relays-per-client", "5"];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let open = one_event(upstream, false);
    for _ in 0..60 {
        let mut client = Client::open(&gateway, &get(&[])).await;
        assert_eq!(client.data(1).await, ["1"]);
    }
    admin_until(&gateway, "/streams", |streams| {
        streams.matches("\"clients\":0").count() == 5 && !streams.contains("\"clients\":1")
    })
    .await;
    admin_until(&gateway, "/streams", |_| open.load(Ordering::Relaxed) <= 5).await;
}

#[tokio::test]
async fn one_address_does_not_push_out_what_is_kept_for_another() {
    for flags in [
        ["--max-relays", "10", "--max-idle-relays", "100"],
        ["--max-relays", "100", "--max-idle-relays", "10"],
    ] {
        let upstream = WireUpstream::bind().await;
        let flags = [&["--resume", "on", "--on-leave", "finish"][..], &flags].concat();
        let gateway = Gateway::with_admin(&upstream.url, &flags);
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        tokio::spawn(async move {
            loop {
                let mut server = upstream.accept().await;
                let number = count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    server.until("\r\n\r\nq").await;
                    open_once(&mut server).await;
                    server.numbers(1..=2).await;
                    // The strangers' do not end.
                    if number == 0 {
                        server.end_stream().await;
                    }
                    server.rest().await;
                });
            }
        });
        let mut client = from(HONEST, &gateway, &post(&[], "q")).await;
        let id = client.take(2).await.remove(0).id;
        assert_eq!(client.next().await, None);
        drop(client);
        for _ in 0..40 {
            let mut client = from(STRANGER, &gateway, &post(&[], "q")).await;
            assert_eq!(client.data(2).await, numbers(1..=2));
        }
        // Nor by streams that he keeps open.
        let mut kept = Vec::new();
        for _ in 0..12 {
            let mut client = from(STRANGER, &gateway, &post(&[], "q")).await;
            assert_eq!(client.data(2).await, numbers(1..=2));
            kept.push(client);
        }
        let back = format!("Last-Event-ID: {id}");
        let mut back = from(HONEST, &gateway, &post(&[&back], "q")).await;
        assert_eq!(back.data(1).await, ["2"], "{flags:?}");
        assert_eq!(back.next().await, None);
        let asked = upstream_requests(&gateway).await;
        assert_eq!(asked, requests.load(Ordering::Relaxed) as u64);
    }
}
