//! What a request says of the way it came, and who is believed.

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::gateway::Gateway;
use crate::wire::{Wire, WireUpstream, field};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

/// What the upstream gets of a GET with these lines.
async fn sent(flags: &[&str], lines: &[&str]) -> String {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, flags, &[]);
    let mut client = Wire::connect(gateway.address).await;
    client.send(get(lines)).await;
    let mut server = upstream.accept().await;
    let sent = server.head().await;
    server.send(OK).await;
    let got = client.rest().await;
    assert!(got.ends_with("ok"), "{got}");
    sent
}

fn get(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{lines}\r\n")
}

/// Every way to say where one comes from, and one that many servers read the same.
const CLAIMS: [&str; 20] = [
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-For: 7.7.7.7, 10.0.0.1",
    "X_Forwarded_For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded_Host: evil.example",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Prefix: /evil",
    "X-Forwarded-Server: evil",
    "X-Forwarded-User: admin",
    "X-Real-IP: 6.6.6.6",
    "X-Client-IP: 6.6.6.6",
    "True-Client-IP: 6.6.6.6",
    "CF-Connecting-IP: 6.6.6.6",
    "X-Cluster-Client-IP: 6.6.6.6",
    "X-Original-URL: /admin",
    "X-Original-Host: evil.example",
    "X-Rewrite-URL: /admin",
    "X-Host: evil.example",
    "Forwarded: for=6.6.6.6;host=evil.example;proto=https",
];

#[tokio::test]
async fn a_stranger_is_not_believed() {
    for flags in [
        &[][..],
        &["--trusted-proxy", "off"],
        &["--trusted-proxy", "10.0.0.0/8,::1"],
    ] {
        let sent = sent(flags, &CLAIMS).await;
        assert_eq!(field(&sent, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(field(&sent, "x-forwarded-proto"), ["http"]);
        assert_eq!(field(&sent, "x-forwarded-host"), ["shop.example"]);
        assert!(
            !sent.contains("6.6.6.6") && !sent.contains("evil"),
            "{sent}"
        );
        assert_eq!(
            sent.trim_end().lines().count(),
            6,
            "nothing else is left: {sent}"
        );
    }
}

#[tokio::test]
async fn a_client_cannot_have_ours_taken_away() {
    let hop = "Connection: x-forwarded-for, x-forwarded-proto, x-forwarded-host, via, forwarded";
    for flags in [&[][..], &["--trusted-proxy", "127.0.0.1"]] {
        let sent = sent(flags, &[hop, "X-Forwarded-Host: h"]).await;
        assert_eq!(field(&sent, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(field(&sent, "x-forwarded-proto"), ["http"]);
        assert_eq!(field(&sent, "x-forwarded-host").len(), 1);
        assert_eq!(via(&sent), "1.1 sse-gateway-");
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_added_to() {
    for flags in [
        &["--trusted-proxy", "127.0.0.1"][..],
        &[
            "--trusted-proxy",
            "10.0.0.0/8",
            "--trusted-proxy",
            "::ffff:127.0.0.0/104",
        ],
    ] {
        let sent = sent(flags, &CLAIMS).await;
        assert_eq!(
            field(&sent, "x-forwarded-for"),
            ["6.6.6.6, 7.7.7.7, 10.0.0.1, 127.0.0.1"]
        );
        assert_eq!(field(&sent, "x-forwarded-proto"), ["https"]);
        assert_eq!(field(&sent, "x-forwarded-host"), ["evil.example"]);
        assert_eq!(
            field(&sent, "forwarded"),
            ["for=6.6.6.6;host=evil.example;proto=https, for=127.0.0.1"]
        );
        for name in ["x-real-ip", "x-forwarded-prefix", "x-original-url"] {
            assert_eq!(field(&sent, name).len(), 1, "{name} in {sent}");
        }
    }
    let sent = sent(&["--trusted-proxy", "127.0.0.0/8"], &[]).await;
    assert_eq!(field(&sent, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(field(&sent, "x-forwarded-proto"), ["http"]);
    assert!(field(&sent, "forwarded").is_empty(), "{sent}");
}

#[tokio::test]
async fn whatever_a_trusted_proxy_says_goes_through() {
    let long = format!("X-Forwarded-For: {}", "203.0.113.9, ".repeat(3_000));
    let many: Vec<String> = (0..60)
        .map(|host| format!("X-Forwarded-For: 203.0.113.{host}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for lines in [
        &["X-Forwarded-For: "][..],
        &["X-Forwarded-For: unknown, _hidden, 1.2.3.4:x"],
        &["X-Forwarded-For: [::1, ]::1["],
        &[
            "Forwarded: for=\"[2001:db8::1]:80\", for=\"\\\"",
            "Forwarded: ;;=,\"\"",
        ],
        &[&*long],
        &many,
    ] {
        let sent = sent(&["--trusted-proxy", "127.0.0.1"], lines).await;
        let all = field(&sent, "x-forwarded-for");
        assert!(all.len() == 1 && all[0].ends_with("127.0.0.1"), "{sent}");
    }
}

/// `Via` without the digits by which each process knows itself.
fn via(head: &str) -> &str {
    let all = field(head, "via");
    assert_eq!(all.len(), 1, "{head}");
    all[0].trim_end_matches(|last: char| last.is_ascii_hexdigit())
}

#[tokio::test]
async fn via_is_sent_behind_that_of_others() {
    assert_eq!(via(&sent(&[], &[]).await), "1.1 sse-gateway-");
    let sent = sent(&[], &["Via: 1.0 fred", "Via: 2.0 edge"]).await;
    assert_eq!(via(&sent), "1.0 fred, 2.0 edge, 1.1 sse-gateway-");
}

#[tokio::test]
async fn the_real_client_is_in_the_log_and_in_the_list() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--trusted-proxy", "127.0.0.1,10.0.0.0/8"];
    let gateway = Gateway::with_admin(&upstream.url, &flags);
    let admin = gateway.admin.expect("an admin listener");
    for (from, lines, expected) in [
        (
            "127.0.0.1",
            &["X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.3"][..],
            "203.0.113.9",
        ),
        (
            "127.0.0.1",
            &["Forwarded: for=\"[2001:db8::9]:80\""],
            "2001:db8::9",
        ),
        (
            "127.0.0.1",
            &["X-Forwarded-For: 6.6.6.6, unknown"],
            "127.0.0.1:",
        ),
        ("127.0.0.2", &["X-Forwarded-For: 203.0.113.9"], "127.0.0.2:"),
    ] {
        let socket = TcpSocket::new_v4().expect("a socket");
        let from = format!("{from}:0").parse().expect("an address");
        socket.bind(from).expect("an address of this machine");
        let stream = socket.connect(gateway.address).await.expect("connects");
        let mut client = Wire::from(stream);
        client.send(get(lines)).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n")
            .await;
        client.until("data: a").await;

        let mut look = Wire::connect(admin).await;
        look.send("GET /streams HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            .await;
        let listed = look.rest().await;
        let (_, json) = listed.split_once("\r\n\r\n").expect("a body");
        let listed: Value = serde_json::from_str(json).expect("JSON");
        let shown = listed["streams"][0]["client"].as_str().expect("a client");
        assert!(shown.starts_with(expected), "{shown}");
        let log = gateway.log_with(&format!("client={shown} method=GET"));
        drop(server);
        client.rest().await;
        gateway.log_with(&format!("client={shown} duration="));
        assert!(!log.contains("6.6.6.6"), "{log}");
        // The list is empty before the next.
        loop {
            let mut look = Wire::connect(admin).await;
            look.send("GET /streams HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                .await;
            if look.rest().await.contains("\"active\":0") {
                break;
            }
        }
    }
}
