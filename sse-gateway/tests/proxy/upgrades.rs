//! Upgrades: the handshake passes, then bytes both ways.

use crate::gateway::Gateway;
use crate::wire::{Wire, WireUpstream, field};

const WISH: &str = "GET /socket HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Key: k\r\n\r\n";
const YES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Accept: a\r\n\r\n";

async fn upgraded(upstream: &WireUpstream, gateway: &Gateway) -> (Wire, Wire) {
    let mut client = Wire::connect(gateway.address).await;
    client.send(WISH).await;
    let mut server = upstream.accept().await;
    let sent = server.head().await;
    assert_eq!(field(&sent, "connection"), ["upgrade"]);
    assert_eq!(field(&sent, "upgrade"), ["websocket"]);
    assert_eq!(field(&sent, "sec-websocket-key"), ["k"]);
    // The first bytes may come along with the head.
    server.send(format!("{YES}hello")).await;
    let got = client.head().await;
    assert!(
        got.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{got}"
    );
    assert_eq!(field(&got, "connection"), ["upgrade"]);
    assert_eq!(field(&got, "upgrade"), ["websocket"]);
    assert_eq!(field(&got, "sec-websocket-accept"), ["a"]);
    client.until("hello").await;
    (client, server)
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways_until_the_client_leaves() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let (mut client, mut server) = upgraded(&upstream, &gateway).await;
    for round in 0..3 {
        client.send(format!("ping {round};")).await;
        assert_eq!(server.until(";").await, format!("ping {round};"));
        server.send(format!("pong {round};")).await;
        assert_eq!(client.until(";").await, format!("pong {round};"));
    }
    drop(client);
    assert_eq!(server.rest().await, "");
}

#[tokio::test]
async fn an_upgraded_connection_ends_with_the_upstream() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let (mut client, mut server) = upgraded(&upstream, &gateway).await;
    server.send("bye").await;
    drop(server);
    assert_eq!(client.rest().await, "bye");
}

#[tokio::test]
async fn an_upstream_may_decline_an_upgrade() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client.send(WISH).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        .await;
    let got = client.until("\r\n\r\nno").await;
    assert!(got.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{got}");
}

#[tokio::test]
async fn http_2_is_not_smuggled_through_an_upgrade() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        )
        .await;
    let sent = upstream.accept().await.head().await;
    for name in ["connection", "upgrade", "http2-settings"] {
        assert!(field(&sent, name).is_empty(), "{name} in {sent}");
    }
}

#[tokio::test]
async fn an_upgrade_nobody_asked_for_is_an_error() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.send(YES).await;
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
}
