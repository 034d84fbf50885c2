//! Tokens in paths and queries: they reach the upstream, and nobody else.

use std::path::PathBuf;

use crate::gateway::Gateway;
use crate::http2;
use crate::upstream;
use crate::wire::{self, Wire, WireUpstream};

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n";
const QUERY: &str = "hush-query";
const PATH: &str = "hush-path";

/// A file with these routes, gone when the test is done.
struct Routes(PathBuf);

impl Routes {
    fn new(name: &str, text: &str) -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = directory.join(format!("gateway_proxy_{name}.toml"));
        std::fs::write(&path, text).expect("the directory for tests can be written");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Routes {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn look(gateway: &Gateway, path: &str) -> String {
    wire::get(gateway.admin.expect("an admin listener"), path).await
}

fn get(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"
    )
}

fn assert_silent(text: &str) {
    for secret in [QUERY, PATH] {
        assert!(!text.contains(secret), "{secret} in:\n{text}");
    }
}

#[tokio::test]
async fn tokens_are_neither_logged_nor_listed() {
    for level in ["info", "trace"] {
        for format in ["text", "json"] {
            for route in ["pattern = '/s/:token'", "path = '/s/:token'"] {
                tokens_stay_secret(level, format, route).await;
            }
        }
    }
}

async fn tokens_stay_secret(level: &str, format: &str, route: &str) {
    let routes = Routes::new(
        &format!("secrets_{level}_{format}"),
        &format!("[[route]]\n{route}\nmethods = ['GET']"),
    );
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_all(
        &upstream.url,
        &["--config", routes.path(), "--log-format", format],
        &[("RUST_LOG", level)],
    );
    for (method, target, shown) in [
        ("GET", format!("/s/{PATH}?token={QUERY}"), "/s/:token"),
        // Not of that route, each for a reason of its own.
        ("POST", format!("/s/{PATH}?{QUERY}"), "/s/:token"),
        ("GET", format!("//s/{PATH}?{QUERY}"), "//s/:token"),
        ("GET", format!("/s/{PATH}/?{QUERY}"), "/s/:token/"),
        ("GET", format!("/open?token={QUERY}"), "/open"),
    ] {
        let mut client = Wire::connect(gateway.address).await;
        let request = get(&target).replacen("GET", method, 1);
        client.send(request.as_str()).await;
        let mut server = upstream.accept().await;
        let head = server.head().await;
        assert!(head.starts_with(&format!("{method} {target} ")), "{head}");
        server.send(STREAM).await;
        client.until("data: a").await;
        let listed = look(&gateway, "/streams").await;
        assert!(
            listed.contains(&format!("\"path\":\"{shown}\"")),
            "{listed}"
        );
        assert_silent(&listed);
        assert_silent(&look(&gateway, "/metrics").await);
        drop(server);
        client.rest().await;

        // The same when there is no response.
        let mut client = Wire::connect(gateway.address).await;
        let request = request.replacen("text/event-stream", "text/html", 1);
        client.send(request).await;
        let mut server = upstream.accept().await;
        server.head().await;
        server.send("nonsense\r\n\r\n").await;
        let got = client.rest().await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
        assert_silent(&got);
    }
    let log = gateway.log_with("no response from the upstream");
    assert!(log.contains("/s/:token"), "{log}");
    assert_silent(&log);
}

#[tokio::test]
async fn what_is_refused_is_not_repeated() {
    let routes = Routes::new("refused", "[[route]]\npath = '/s/:token'");
    let gateway = Gateway::with_all(
        "http://127.0.0.1:1",
        &["--config", routes.path()],
        &[("RUST_LOG", "trace")],
    );
    for target in [
        format!("/s/{PATH}?{QUERY}"),
        format!("http://u:{PATH}@h/?{QUERY}"),
        format!("{PATH}?{QUERY}"),
        format!("ftp://h/{PATH}?{QUERY}"),
        format!("/s/{PATH} x?{QUERY}"),
    ] {
        let mut client = Wire::connect(gateway.address).await;
        client.send(get(&target)).await;
        let got = client.rest().await;
        assert!(!got.starts_with("HTTP/1.1 200"), "{got}");
        assert_silent(&got);
    }
    gateway.log_with("no response from the upstream");
    assert_silent(&gateway.log());
}

#[tokio::test]
async fn tokens_of_http_2_are_not_logged_at_any_level() {
    let url = upstream::h2c(100, |_| async {
        hyper::Response::new(upstream::full("ok"))
    })
    .await;
    let gateway = Gateway::with(&url, &[], &[("RUST_LOG", "trace,h2=trace,hyper=trace")]);
    let mut client = http2::connect(gateway.address).await;
    let request = hyper::Request::get(format!("http://h/{PATH}?{QUERY}"))
        .header("authorization", "Bearer hush-header")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .expect("a request");
    let response = client.send_request(request).await.expect("a response");
    assert_eq!(response.status(), 200);
    // What is malformed is told by the library, which would repeat it.
    for path in [format!("{PATH} {QUERY}"), format!("/{PATH} {QUERY}")] {
        crate::targets::http2(&gateway, &[(":path", &path)]).await;
    }
    let log = gateway.log();
    assert!(!log.contains("hush-header"), "{log}");
    assert_silent(&log);
}
