//! When descriptors run out, clients wait, the admin listener answers, and the log stays short.

use std::time::Instant;

use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};

use crate::gateway::{Gateway, PATIENCE, refusal};
use crate::http2;
use crate::support::admin::{admin_answers, metric, until_paused};
use crate::upstream::{self, Body};
use crate::wire::Wire;

/// A stream that does not end.
async fn endless(_: Request<Incoming>) -> Response<Body> {
    let frames = futures_util::stream::pending();
    Response::new(BodyExt::boxed(StreamBody::new(frames)))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

async fn crowd(gateway: &Gateway, number: usize) -> Vec<Wire> {
    let mut clients = Vec::new();
    for _ in 0..number {
        let mut client = Wire::connect(gateway.address).await;
        client.send(GET).await;
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn more_clients_than_descriptors_wait_and_are_served_when_others_leave() {
    let url = upstream::http1(endless).await;
    let gateway = Gateway::with_admin_and_ulimit(&url, "-n 64", &[]);
    let began = Instant::now();
    let mut clients = crowd(&gateway, 200).await;
    until_paused(&gateway).await;
    for _ in 0..30 {
        admin_answers(&gateway).await;
    }
    // Who was let in has a stream.
    for client in &mut clients[..8] {
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    let last = clients.split_off(195);
    drop(clients);
    for mut client in last {
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    admin_answers(&gateway).await;
    let log = gateway.log();
    let warnings = log.matches("WARN").count() + log.matches("ERROR").count();
    assert!(warnings <= 1 + began.elapsed().as_secs() as usize, "{log}");
    assert!(log.contains("no descriptors for more connections"), "{log}");
}

#[tokio::test]
async fn who_asks_nothing_gives_way_to_who_comes() {
    let url = upstream::http1(endless).await;
    let gateway = Gateway::with_admin_and_ulimit(&url, "-n 64", &[]);
    let mut served = crowd(&gateway, 4).await;
    for client in &mut served {
        client.head().await;
    }
    let mut silent = Vec::new();
    for beginning in ["", "GET / HTT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
        .iter()
        .cycle()
        .take(30)
    {
        let mut client = Wire::connect(gateway.address).await;
        client.send(beginning).await;
        silent.push(client);
    }
    until_paused(&gateway).await;
    let began = Instant::now();
    for mut client in crowd(&gateway, 3).await {
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    // Else they would have to wait for the end of the time that a head has.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    // The oldest are closed.
    for client in &mut silent[..3] {
        client.rest().await;
    }
    // Who has asked something keeps its connection.
    for client in &mut served {
        let moment = std::time::Duration::from_millis(50);
        let ended = tokio::time::timeout(moment, client.read_some()).await;
        assert!(ended.is_err());
    }
}

#[tokio::test]
async fn streams_of_http_2_leave_the_admin_listener_its_descriptors() {
    let gateway = Gateway::with_admin_and_ulimit(&upstream::http1(endless).await, "-n 64", &[]);
    let client = http2::connect(gateway.address).await;
    let responses = join_all((0..200).map(|_| {
        let mut client = client.clone();
        async move {
            let request = Request::get("http://h/").body(Empty::<bytes::Bytes>::new());
            client.send_request(request.expect("a request")).await
        }
    }));
    let responses = tokio::time::timeout(PATIENCE, responses).await;
    let responses = responses.expect("in time").into_iter();
    let responses: Vec<_> = responses
        .map(|response| response.expect("a response"))
        .collect();
    let with = |status: StatusCode| {
        let found = responses
            .iter()
            .filter(|response| response.status() == status);
        found.count()
    };
    let (served, failed) = (with(StatusCode::OK), with(StatusCode::BAD_GATEWAY));
    assert!(
        served >= 8 && served + failed == 200,
        "{served} and {failed}"
    );
    admin_answers(&gateway).await;
    let log = gateway.log();
    assert!(log.contains("no descriptor is left"), "{log}");
    assert!(log.matches("WARN").count() < 10, "{log}");

    drop((responses, client));
    let mut later = Wire::connect(gateway.address).await;
    later.send(GET).await;
    let head = later.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one() {
    let url = upstream::http1(endless).await;
    let gateway = Gateway::with_admin_and_ulimit(&url, "-Sn 64 && ulimit -Hn 512", &[]);
    gateway.log_with("open files limit=512 before=64");
    for mut client in crowd(&gateway, 150).await {
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    assert_eq!(metric(&gateway, "sse_accept_pauses_total").await, 0);
}

#[test]
fn a_limit_that_is_no_use_is_told_at_the_start() {
    let told = refusal("127.0.0.1:0", "ulimit -n 20 && exec", "http://127.0.0.1:1");
    assert!(
        told.ends_with(
            "sse-gateway: open files: the limit of 20 is too low; raise it, with ulimit -n 1024 or LimitNOFILE=1024 in \
             a unit of systemd\n"
        ),
        "{told}"
    );
}
