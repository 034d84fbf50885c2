//! A route with several upstreams: who is asked, and what becomes of requests whose upstream is away.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::{Request, StatusCode};

use crate::gateway::{Gateway, PATIENCE};
use crate::support::admin::{admin, admin_until, metric, sum_of};
use crate::upstream::{self, full};
use crate::wire::{Wire, WireUpstream, get};

const GET: &str = "GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
const POST: &str =
    "POST /p HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                       9\r\ndata: x\n\n\r\n";

async fn refusing() -> String {
    let (_, address) = upstream::bind().await;
    format!("http://{address}")
}

/// One that says its name, and what it was sent.
async fn named(name: &'static str) -> String {
    upstream::http1(move |request: Request<_>| async move {
        let body = http_body_util::BodyExt::collect(request.into_body()).await;
        let body = body.expect("a body").to_bytes();
        hyper::Response::new(full(format!("{name} {}", String::from_utf8_lossy(&body))))
    })
    .await
}

async fn posted(address: SocketAddr) -> String {
    let mut client = Wire::connect(address).await;
    client.send(POST).await;
    client.rest().await
}

fn open(url: &str) -> String {
    format!("sse_upstream_open_requests{{upstream=\"{url}\"}}")
}

fn aside(url: &str) -> String {
    format!("sse_upstream_set_aside{{upstream=\"{url}\"}}")
}

fn requests(url: &str, result: &str) -> String {
    format!("sse_upstream_requests_total{{upstream=\"{url}\",result=\"{result}\"}}")
}

#[tokio::test]
async fn streams_go_to_the_one_with_the_fewest() {
    let (a, b) = (WireUpstream::bind().await, WireUpstream::bind().await);
    let gateway = Gateway::with_admin(&format!("{},{}", a.url, b.url), &[]);
    let mut clients = Vec::new();
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let mut client = Wire::connect(gateway.address).await;
        client.send(GET).await;
        tokio::select! {
            server = a.accept() => of_a.push(server),
            server = b.accept() => of_b.push(server),
        }
        clients.push(client);
    }
    assert_eq!((of_a.len(), of_b.len()), (3, 3));
    for server in of_a.iter_mut().chain(&mut of_b) {
        server.head().await;
        server.send(STREAM).await;
    }
    for client in &mut clients {
        client.until("data: x").await;
    }
    assert_eq!(metric(&gateway, &open(&a.url)).await, 3);
    assert_eq!(metric(&gateway, &requests(&a.url, "ok")).await, 3);
    for url in [&a.url, &b.url] {
        let opened = format!("path=\"/s\" upstream=\"{url}\"");
        let began = Instant::now();
        while gateway.log().matches(&opened).count() < 3 {
            assert!(began.elapsed() < PATIENCE, "{}", gateway.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    // All of one end: the next go there.
    of_a.clear();
    admin_until(&gateway, "/metrics", |metrics| {
        sum_of(metrics, "sse_upstream_open_requests") == 3
    })
    .await;
    for _ in 0..3 {
        let mut client = Wire::connect(gateway.address).await;
        client.send(GET).await;
        of_a.push(a.accept().await);
        clients.push(client);
    }
}

#[tokio::test]
async fn one_that_is_not_there_is_left_alone_and_the_next_is_asked_for_the_same_request() {
    for lean in ["on", "off"] {
        let (away, there) = (refusing().await, named("there").await);
        for order in [[&away, &there], [&there, &away]] {
            let [first, second] = order;
            let gateway = Gateway::with_all(
                &format!("{first},{second}"),
                &[],
                &[("SSE_GATEWAY_LEAN", lean)],
            );
            for _ in 0..4 {
                assert!(get(gateway.address, "/").await.ends_with("\r\n\r\nthere "));
                assert!(
                    posted(gateway.address)
                        .await
                        .ends_with("\r\n\r\nthere body")
                );
            }
            assert_eq!(metric(&gateway, &requests(&there, "ok")).await, 8);
            let asked = metric(&gateway, &requests(&away, "failed")).await;
            assert!((1..8).contains(&asked), "{asked}");
            assert_eq!(metric(&gateway, &aside(&away)).await, 1);
            assert_eq!(metric(&gateway, &open(&away)).await, 0);
            gateway.log_with("the upstream is left alone for a while");
            gateway.log_with(&format!("upstream=\"{away}\""));
        }
    }
}

#[tokio::test]
async fn one_that_closes_connections_is_left_alone_and_only_what_is_safe_is_asked_again() {
    let closing = WireUpstream::bind().await;
    let closing_url = closing.url.clone();
    tokio::spawn(async move {
        loop {
            // Behind the head, so that it is known to have been sent.
            closing.accept().await.head().await;
        }
    });
    let there = named("there").await;
    let gateway = Gateway::with_admin(&format!("{closing_url},{there}"), &[]);
    assert!(get(gateway.address, "/").await.ends_with("there "));
    assert!(get(gateway.address, "/").await.ends_with("there "));
    assert_eq!(metric(&gateway, &requests(&closing_url, "failed")).await, 1);
    let gateway = Gateway::with_admin(&format!("{closing_url},{there}"), &[]);
    let answers = [posted(gateway.address).await, posted(gateway.address).await];
    let failed = answers
        .iter()
        .filter(|one| one.starts_with("HTTP/1.1 502 "));
    assert_eq!(failed.count(), 1, "{answers:?}");
    assert!(posted(gateway.address).await.ends_with("there body"));
}

#[tokio::test]
async fn when_all_are_away_the_answer_is_as_with_one() {
    let (a, b) = (refusing().await, refusing().await);
    let gateway = Gateway::with_admin(&format!("{a},{b}"), &["--ready-upstream", "on"]);
    for _ in 0..2 {
        let answer = get(gateway.address, "/").await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        let mut client = Wire::connect(gateway.address).await;
        client.send(GET).await;
        assert_eq!(client.rest().await, "", "it is to come again");
    }
    for url in [&a, &b] {
        assert_eq!(metric(&gateway, &requests(url, "failed")).await, 4);
    }
    let not_ready = admin(&gateway, "/readyz").await;
    assert!(
        not_ready.contains(&a) && not_ready.contains(&b),
        "{not_ready}"
    );
}

#[tokio::test]
async fn one_that_is_there_is_enough_to_be_ready() {
    let (away, there) = (refusing().await, named("there").await);
    let gateway = Gateway::with_admin(&format!("{away},{there}"), &["--ready-upstream", "on"]);
    let answer = get(gateway.admin.expect("an admin listener"), "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_status_that_counts_as_none_has_the_next_stream_go_to_another() {
    let busy = upstream::http1(|_| async {
        let mut response = hyper::Response::new(full(""));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    })
    .await;
    let there = named("there").await;
    let flags = ["--retry-statuses", "503"];
    let gateway = Gateway::with_admin(&format!("{busy},{there}"), &flags);
    let mut answers = Vec::new();
    for _ in 0..4 {
        let mut client = Wire::connect(gateway.address).await;
        client
            .send(GET.replace("Host", "Connection: close\r\nHost"))
            .await;
        answers.push(client.rest().await);
    }
    let unanswered = answers.iter().filter(|answer| answer.is_empty());
    assert_eq!(unanswered.count(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_lost_shared_stream_is_asked_for_at_another() {
    let (a, b) = (WireUpstream::bind().await, WireUpstream::bind().await);
    let gateway = Gateway::with_admin(&format!("{},{}", a.url, b.url), &["--share", "on"]);
    let mut client = Wire::connect(gateway.address).await;
    client.send(GET).await;
    let (mut server, lost, other) = tokio::select! {
        server = a.accept() => (server, a, b),
        server = b.accept() => (server, b, a),
    };
    server.head().await;
    server.send(CHUNKED).await;
    client.until("data: x").await;
    drop((lost, server));
    let mut server = other.accept().await;
    server.head().await;
    server.send(CHUNKED.replace("data: x", "data: y")).await;
    client.until("data: y").await;
}

#[tokio::test]
async fn requests_over_http2_go_to_the_next_too() {
    let away = refusing().await.replace("http://", "h2c://");
    let there = upstream::h2c(10, |request: Request<_>| async move {
        let host = request.uri().authority().map(ToString::to_string);
        hyper::Response::new(full(host.unwrap_or_default()))
    })
    .await;
    let gateway = Gateway::with_admin(&format!("{away},{there}"), &[]);
    for _ in 0..3 {
        let answer = get(gateway.address, "/").await;
        assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
    }
    assert_eq!(metric(&gateway, &requests(&there, "ok")).await, 3);
    assert_eq!(metric(&gateway, &requests(&away, "failed")).await, 1);
}
