//! New settings while streams are open.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;

use crate::gateway::Gateway;
use crate::support::admin::{admin, metric};
use crate::wire::{Wire, WireUpstream};

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const GET: &str = "GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";

/// The file of a gateway, gone when the test is done.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("gateway-reload-{name}-{}.toml", std::process::id()));
        let file = Self(path);
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).expect("written");
    }

    fn gateway(&self, upstream: &str) -> Gateway {
        let path = self.0.display().to_string();
        Gateway::with_admin(upstream, &["--config", &path])
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The status and the body of the answer to `POST /reload`.
async fn reload(gateway: &Gateway) -> (String, String) {
    let mut client = Wire::connect(gateway.admin.expect("an admin listener")).await;
    let request = "POST /reload HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    client.send(request).await;
    let got = client.rest().await;
    let (head, body) = got.split_once("\r\n\r\n").expect("a head");
    let status = head.lines().next().unwrap_or_default();
    (status.to_owned(), body.to_owned())
}

async fn open(upstream: &WireUpstream, gateway: &Gateway) -> (Wire, Wire) {
    let (mut client, mut server) = upstream.asked(gateway.address, GET).await;
    server.send(STREAM).await;
    client.head().await;
    (client, server)
}

async fn goes_on(stream: &mut (Wire, Wire), number: usize) {
    let event = format!("data: {number}\n\n");
    stream.1.send(&event).await;
    stream.0.until(&event).await;
}

#[tokio::test]
async fn streams_stay_and_new_requests_go_by_the_new_settings() {
    let (old, new) = (WireUpstream::bind().await, WireUpstream::bind().await);
    let file = File::new("upstream", "heartbeat = '20s'");
    let gateway = file.gateway(&old.url);
    let mut stream = open(&old, &gateway).await;
    file.write(&format!(
        "[[route]]\npath = '/s'\nupstream = '{}'\n",
        new.url
    ));
    assert_eq!(
        reload(&gateway).await,
        (
            "HTTP/1.1 200 OK".to_owned(),
            "settings were read again; 1 routes\n".to_owned()
        )
    );
    goes_on(&mut stream, 1).await;
    let mut other = open(&new, &gateway).await;
    goes_on(&mut other, 2).await;
    file.write(&format!(
        "[[route]]\npath = '/t'\npreset = 'mcp'\nupstream = '{}'\n",
        new.url
    ));
    assert_eq!(
        reload(&gateway).await.1,
        "settings were read again; 1 routes; presets: /t mcp\n"
    );
    file.write("");
    gateway.signal("-HUP");
    gateway.log_with("settings were read again; 0 routes");
    let mut third = open(&old, &gateway).await;
    for stream in [&mut stream, &mut other, &mut third] {
        goes_on(stream, 3).await;
    }
    assert_eq!(
        metric(&gateway, "sse_reloads_total{result=\"ok\"}").await,
        3
    );
}

#[tokio::test]
async fn fifty_reloads_under_load_end_no_stream() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("fifty", "");
    let gateway = file.gateway(&upstream.url);
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(open(&upstream, &gateway).await);
    }
    for number in 0..50 {
        file.write(&format!(
            "share = {}\nheartbeat = '{}s'\n[[route]]\npath = '/r{number}'\n",
            number % 2 == 0,
            number + 20
        ));
        assert_eq!(reload(&gateway).await.0, "HTTP/1.1 200 OK");
        for stream in &mut streams {
            goes_on(stream, number).await;
        }
    }
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_why() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("bad", "");
    let gateway = file.gateway(&upstream.url);
    let path = file.0.display().to_string();
    for (text, line, why) in [
        (
            "\nheartbeat = 'often'",
            2,
            "heartbeat: \"often\" is not a time",
        ),
        ("x = ", 1, "not TOML"),
        ("[[route]]\npath = 'x'", 2, "does not begin with a slash"),
    ] {
        file.write(text);
        let (status, told) = reload(&gateway).await;
        assert_eq!(status, "HTTP/1.1 409 Conflict");
        assert!(
            told.starts_with(&format!("{path}:{line}: ")) && told.contains(why),
            "{told}"
        );
        let index = admin(&gateway, "/").await;
        assert!(index.contains(&told), "{index}");
    }
    let mut stream = open(&upstream, &gateway).await;
    goes_on(&mut stream, 1).await;
    file.write("heartbeat = '30s'");
    assert_eq!(reload(&gateway).await.0, "HTTP/1.1 200 OK");
    let index = admin(&gateway, "/").await;
    assert!(!index.contains("failed"), "{index}");
    assert_eq!(
        metric(&gateway, "sse_reloads_total{result=\"failed\"}").await,
        3
    );
}

#[tokio::test]
async fn what_holds_from_a_restart_on_is_named() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("stay", "history_budget = '64MiB'\nconnect_timeout = '2s'");
    let gateway = file.gateway(&upstream.url);
    file.write(
        "history_budget = '32MiB'\nmax_streams = 1\ntls.client_ca = 'off'\nlog_format = 'json'\n",
    );
    let (_, told) = reload(&gateway).await;
    assert_eq!(
        told,
        "settings were read again; 0 routes; what has changed in history_budget, connect_timeout, log_format \
         holds from a restart on\n"
    );
    // A flag is stronger than the file, then as before.
    file.write("listen = '127.0.0.1:1'");
    let (_, told) = reload(&gateway).await;
    assert!(!told.contains("listen"), "{told}");
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_read() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &[]);
    let (status, told) = reload(&gateway).await;
    assert_eq!(status, "HTTP/1.1 409 Conflict");
    assert!(told.contains("start with --config FILE"), "{told}");
    let got = admin(&gateway, "/reload").await;
    assert_eq!(got, "/reload takes POST.\n");
}

#[tokio::test]
async fn a_shared_stream_and_its_history_live_on() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("shared", "share = true\nstart = 'all'\n");
    let gateway = file.gateway(&upstream.url);
    let mut stream = open(&upstream, &gateway).await;
    goes_on(&mut stream, 1).await;
    file.write(
        "share = true\nstart = 'all'\nheartbeat = '20s'\nlifetime = '1h'\nmax_streams = 2\n",
    );
    assert_eq!(reload(&gateway).await.0, "HTTP/1.1 200 OK");
    let mut second = Wire::connect(gateway.address).await;
    second.send(GET).await;
    second.until("data: 1\n\n").await;
    goes_on(&mut stream, 2).await;
    second.until("data: 2\n\n").await;
    // With another key there is another relay; the old one goes on for those who have it.
    file.write("share = 'path'\n");
    assert_eq!(reload(&gateway).await.0, "HTTP/1.1 200 OK");
    let mut third = open(&upstream, &gateway).await;
    goes_on(&mut third, 3).await;
    goes_on(&mut stream, 4).await;
    second.until("data: 4\n\n").await;
    let listed = admin(&gateway, "/streams").await;
    assert_eq!(
        listed.matches("\"upstream\":\"connected\"").count(),
        2,
        "{listed}"
    );
}

#[tokio::test]
async fn streams_that_are_open_count_for_a_new_limit() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("limit", "max_streams_per_route = 5");
    let gateway = file.gateway(&upstream.url);
    let _stream = open(&upstream, &gateway).await;
    file.write("max_streams_per_route = 1\nno_answer = 'answer'\n");
    assert_eq!(reload(&gateway).await.0, "HTTP/1.1 200 OK");
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 503 "));
    let asked = timeout(Duration::from_millis(100), upstream.accept()).await;
    assert!(asked.is_err());
}
