//! Streams that are open before there is an answer from upstream.

use crate::gateway::Gateway;
use crate::wire::{Wire, WireUpstream, field};

const GET: &str = "GET /s?x=1 HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
const ROUTES: [&[&str]; 3] = [&[], &["--share", "on"], &["--resume", "on"]];

struct Scene {
    upstream: WireUpstream,
    gateway: Gateway,
}

impl Scene {
    async fn with(flags: &[&str]) -> Self {
        let upstream = WireUpstream::bind().await;
        let given = ["--heartbeat", "100ms", "--on-leave", "cancel"];
        let gateway = Gateway::with(&upstream.url, &[&given, flags].concat(), &[]);
        Scene { upstream, gateway }
    }

    async fn ask(&self) -> Wire {
        let mut client = Wire::connect(self.gateway.address).await;
        client.send(GET).await;
        client
    }

    /// The upstream's side of the next request.
    async fn asked(&self) -> (String, Wire) {
        let mut server = self.upstream.accept().await;
        (server.head().await, server)
    }
}

async fn is_open(client: &mut Wire) {
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(field(&head, "content-type"), ["text/event-stream"]);
    client.until("retry: ").await;
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_waited_for_with_heartbeats() {
    for route in ROUTES {
        let scene = Scene::with(&[&["--no-answer", "hold"], route].concat()).await;
        let mut client = scene.ask().await;
        let (_, server) = scene.asked().await;
        drop(server);
        is_open(&mut client).await;
        client.until("\n:\n").await;
        let (_, server) = scene.asked().await;
        drop(server);
        client.until("\n:\n").await;
        let (_, mut server) = scene.asked().await;
        server.send(STREAM).await;
        client.until("data: 1\n\n").await;
    }
}

#[tokio::test]
async fn the_request_is_made_again_as_it_was() {
    for route in [ROUTES[0], ROUTES[2]] {
        let scene = Scene::with(&[&["--no-answer", "hold"], route].concat()).await;
        let mut client = Wire::connect(scene.gateway.address).await;
        let id = "Accept: text/event-stream\r\nLast-Event-ID: 41\r\n";
        client
            .send(GET.replacen("Accept: text/event-stream\r\n", id, 1))
            .await;
        let (first, _) = scene.asked().await;
        assert_eq!(field(&first, "last-event-id"), ["41"]);
        assert_eq!(scene.asked().await.0, first, "{route:?}");
    }
}

#[tokio::test]
async fn what_is_no_stream_ends_it_cleanly_and_is_the_answer_to_the_next_request() {
    for route in ROUTES {
        let scene = Scene::with(&[&["--no-answer", "hold"], route].concat()).await;
        for _ in 0..2 {
            let mut client = scene.ask().await;
            let (_, server) = scene.asked().await;
            drop(server);
            is_open(&mut client).await;
            let answer = "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\ngone";
            let (_, mut server) = scene.asked().await;
            server.send(answer).await;
            client.until("\r\n0\r\n\r\n").await;
            drop(server);
            let mut client = scene.ask().await;
            let (_, mut server) = scene.asked().await;
            server.send(answer).await;
            drop(server);
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 404 "), "{route:?} {head}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_late_is_waited_for_behind_an_open_stream() {
    for route in ROUTES {
        for flags in [["--open-after", "200ms"], ["--hold", "on"]] {
            let scene = Scene::with(&[&flags, route].concat()).await;
            let mut client = scene.ask().await;
            let (_, mut server) = scene.asked().await;
            is_open(&mut client).await;
            client.until("\n:\n").await;
            server.send(STREAM).await;
            client.until("data: 1\n\n").await;
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_open_stays_so_when_the_upstream_fails() {
    for flags in [["--open-after", "200ms"], ["--hold", "on"]] {
        let scene = Scene::with(&flags).await;
        let mut client = scene.ask().await;
        let (_, server) = scene.asked().await;
        is_open(&mut client).await;
        drop(server);
        let (_, mut server) = scene.asked().await;
        server.send(STREAM).await;
        client.until("data: 1\n\n").await;
    }
}

#[tokio::test]
async fn an_answer_in_time_passes_as_it_is() {
    let scene = Scene::with(&["--open-after", "60s", "--no-answer", "hold"]).await;
    for status in ["404 Not Found", "503 Later"] {
        let mut client = scene.ask().await;
        let (_, mut server) = scene.asked().await;
        let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\nsaid so");
        server.send(answer).await;
        drop(server);
        let head = client.head().await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head}"
        );
        client.until("said so").await;
    }
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_given_up_by_a_clean_end() {
    for route in ROUTES {
        let flags = ["--no-answer", "hold", "--give-up", "500ms"];
        let scene = Scene::with(&[&flags, route].concat()).await;
        let mut client = scene.ask().await;
        let fails = async {
            loop {
                drop(scene.asked().await);
            }
        };
        tokio::select! {
            () = fails => {}
            _ = client.until("\r\n0\r\n\r\n") => {}
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_what_it_waits_for() {
    let scene = Scene::with(&["--no-answer", "hold", "--hold", "on"]).await;
    let mut client = scene.ask().await;
    let (_, mut server) = scene.asked().await;
    is_open(&mut client).await;
    drop(client);
    assert_eq!(server.rest().await, "");
}

#[tokio::test]
async fn other_requests_are_not_held() {
    let scene = Scene::with(&["--no-answer", "hold", "--hold", "on"]).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut client = Wire::connect(scene.gateway.address).await;
        client.send(request).await;
        drop(scene.asked().await);
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
}
