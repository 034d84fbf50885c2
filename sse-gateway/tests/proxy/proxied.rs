//! Balancers that say who their clients are, in a header of the PROXY protocol.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};

use crate::gateway::Gateway;
use crate::listeners::{Folder, opened};
use crate::tls::Authority;
use crate::wire::{Wire, WireUpstream, field};

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.1 4242 443\r\n";
/// The same, with an extension behind it.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11\xcb\0\x71\x07\x0a\0\0\x01\x10\x92\x01\xbb\x04\0\x02ab";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const GET: &str = "GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";

fn start(upstream: &WireUpstream, protocol: &str, more: &[&str]) -> Gateway {
    let flags = ["--proxy-protocol", protocol, "--trusted-proxy", "127.0.0.1"];
    Gateway::with(&upstream.url, &[&flags, more].concat(), &[])
}

async fn through(gateway: &Gateway, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).await.expect("connects");
    stream.write_all(header).await.expect("writes");
    stream
}

#[tokio::test]
async fn the_client_is_the_one_in_the_header() {
    let upstream = WireUpstream::bind().await;
    let gateway = start(&upstream, "on", &[]);
    for header in [V1, V2] {
        let client = through(&gateway, header).await;
        let head = opened(client, &upstream).await;
        assert_eq!(
            field(&head, "x-forwarded-for"),
            ["203.0.113.7"],
            "not what it says itself"
        );
    }
    gateway.log_with("client=203.0.113.7:4242");
    // The balancer speaks for itself, and is believed.
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let client = through(&gateway, header).await;
        let head = opened(client, &upstream).await;
        assert_eq!(field(&head, "x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
    }
    // Byte by byte.
    let mut client = TcpStream::connect(gateway.address).await.expect("connects");
    client.set_nodelay(true).expect("an option");
    for byte in V2 {
        client.write_all(&[*byte]).await.expect("writes");
        tokio::task::yield_now().await;
    }
    let head = opened(client, &upstream).await;
    assert_eq!(field(&head, "x-forwarded-for"), ["203.0.113.7"]);
}

#[tokio::test]
async fn a_header_is_in_front_of_tls_and_on_a_unix_socket_too() {
    let upstream = WireUpstream::bind().await;
    let authority = Authority::new("proxied");
    let flags = authority.issue("a", "a.example");
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let gateway = start(&upstream, "v2", &flags);
    let client = through(&gateway, V2).await;
    let client = authority.client().over(client, "a.example").await;
    let head = opened(client.expect("shakes hands"), &upstream).await;
    assert_eq!(field(&head, "x-forwarded-for"), ["203.0.113.7"]);
    assert_eq!(field(&head, "x-forwarded-proto"), ["https"]);

    let folder = Folder::new("proxied");
    let path = folder.path("gateway.sock");
    let listen = format!("unix:{}", path.display());
    let flags = [
        "--listen",
        &listen,
        "--proxy-protocol",
        "v1",
        "--trusted-proxy",
        "unix",
    ];
    let _gateway = Gateway::with(&upstream.url, &flags, &[]);
    let mut client = UnixStream::connect(&path).await.expect("connects");
    client.write_all(V1).await.expect("writes");
    let head = opened(client, &upstream).await;
    assert_eq!(field(&head, "x-forwarded-for"), ["203.0.113.7"]);
}

#[tokio::test]
async fn what_has_no_header_is_closed_with_a_warning() {
    let upstream = WireUpstream::bind().await;
    for (protocol, begins) in [
        ("on", GET.as_bytes()),
        ("on", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
        ("v1", V2),
        ("v2", V1),
    ] {
        let gateway = start(&upstream, protocol, &[]);
        let mut client = Wire::connect(gateway.address).await;
        client.send_if_open(begins).await;
        assert_eq!(client.rest().await, "");
        let log = gateway.log_with("a connection was closed");
        assert!(log.contains("does not begin with a PROXY header"), "{log}");
        assert!(
            log.contains("peer=\"127.0.0.1\"") || log.contains("peer=127.0.0.1"),
            "{log}"
        );
    }
    let flags = ["--proxy-protocol", "on", "--trusted-proxy", "10.0.0.0/8"];
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    let mut client = Wire::connect(gateway.address).await;
    client.send_if_open([V1, GET.as_bytes()].concat()).await;
    assert_eq!(client.rest().await, "");
    gateway.log_with("PROXY headers are taken from those in trusted_proxy alone");
}

#[tokio::test]
async fn limits_count_the_clients_in_headers() {
    let upstream = WireUpstream::bind().await;
    let gateway = start(
        &upstream,
        "on",
        &["--max-streams-per-client", "1", "--no-answer", "answer"],
    );
    let get = |header: &[u8]| [header, GET.as_bytes()].concat();
    let mut first = Wire::connect(gateway.address).await;
    first.send(get(V1)).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        .await;
    first.head().await;
    let mut same = Wire::connect(gateway.address).await;
    same.send(get(V2)).await;
    let got = same.head().await;
    assert!(got.starts_with("HTTP/1.1 429 "), "{got}");
    let mut other = Wire::connect(gateway.address).await;
    other
        .send(get(b"PROXY TCP4 203.0.113.8 10.0.0.1 4242 443\r\n"))
        .await;
    let accepted = tokio::time::timeout(Duration::from_secs(30), upstream.accept()).await;
    accepted.expect("it is let through").head().await;
}
