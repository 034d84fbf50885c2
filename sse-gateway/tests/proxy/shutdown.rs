//! SIGTERM: what is idle goes, what runs finishes.

use tokio::net::TcpStream;

use crate::gateway::{Gateway, PATIENCE};
use crate::wire::{Wire, WireUpstream};

async fn refuses(gateway: &Gateway) {
    let refused = async {
        while TcpStream::connect(gateway.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("the listener closes");
}

#[tokio::test]
async fn a_running_response_finishes_and_idle_connections_close_without_an_answer() {
    let upstream = WireUpstream::bind().await;
    let mut gateway = Gateway::start(&upstream.url);
    let mut silent = Wire::connect(gateway.address).await;
    let (mut idle, mut server) = upstream
        .asked(gateway.address, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await;
    idle.until("\r\n\r\nok").await;

    let mut busy = Wire::connect(gateway.address).await;
    busy.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    server.head().await;
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        .await;
    busy.until("ab").await;

    gateway.terminate();
    assert_eq!(idle.rest().await, "");
    assert_eq!(silent.rest().await, "");
    refuses(&gateway).await;
    assert!(gateway.is_running());
    server.send("2\r\ncd\r\n0\r\n\r\n").await;
    assert_eq!(busy.rest().await, "\r\n2\r\ncd\r\n0\r\n\r\n");
    assert!(gateway.exit().success());
}

#[tokio::test]
async fn a_second_signal_ends_what_runs() {
    let upstream = WireUpstream::bind().await;
    let mut gateway = Gateway::start(&upstream.url);
    let (mut busy, mut server) = upstream
        .asked(gateway.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        .await;
    busy.until("ab").await;
    gateway.terminate();
    refuses(&gateway).await;
    gateway.terminate();
    assert_eq!(busy.rest().await, "\r\n");
    assert_eq!(server.rest().await, "");
    gateway.exit();
}

#[tokio::test]
async fn an_upgraded_connection_lives_until_the_second_signal() {
    let upstream = WireUpstream::bind().await;
    let mut gateway = Gateway::start(&upstream.url);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    client.head().await;
    gateway.terminate();
    refuses(&gateway).await;
    client.send("still there;").await;
    server.until("still there;").await;
    assert!(gateway.is_running());
    gateway.terminate();
    assert_eq!(client.rest().await, "");
    gateway.exit();
}

#[tokio::test]
async fn a_second_signal_ends_event_streams_by_their_last_words() {
    for method in ["GET", "POST"] {
        let upstream = WireUpstream::bind().await;
        let mut gateway = Gateway::with(&upstream.url, &["--drain-window", "30s"], &[]);
        let mut client = Wire::connect(gateway.address).await;
        client
            .send(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"))
            .await;
        let mut server = upstream.accept().await;
        server.head().await;
        server
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            .await;
        client.until("data: 1").await;
        gateway.terminate();
        refuses(&gateway).await;
        gateway.terminate();
        let rest = client.rest().await;
        assert!(rest.contains(": closing: drain\n"), "{rest}");
        assert_eq!(gateway.exit().code(), Some(143));
        let log = gateway.log_with("stream closed");
        assert!(log.contains("reason=\"drain\""), "{log}");
    }
}

#[tokio::test]
async fn a_hangup_ends_nothing() {
    let upstream = WireUpstream::bind().await;
    let mut gateway = Gateway::start(&upstream.url);
    let (mut client, mut server) = upstream
        .asked(gateway.address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    gateway.signal("-HUP");
    gateway.log_with("there is no file to read again");
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await;
    client.until("\r\n\r\nok").await;
    assert!(gateway.is_running());
}
