//! Requests of all kinds: counted, timed, and written into the log where that is wanted.

use crate::gateway::Gateway;
use crate::support::admin::{admin, admin_until};
use crate::wire::{Wire, WireUpstream, field};

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

async fn asked(upstream: &WireUpstream, gateway: &Gateway, request: &str, answer: &str) -> Wire {
    let (client, mut server) = upstream.asked(gateway.address, request).await;
    server.send(answer).await;
    server.end().await;
    client
}

#[tokio::test]
async fn requests_are_counted_by_status_and_timed_unless_they_are_streams() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &["--head-timeout", "30s"]);
    let metrics = admin(&gateway, "/metrics").await;
    assert!(
        metrics.contains("sse_requests_total{route=\"default\",status=\"200\"} 0"),
        "{metrics}"
    );
    let get = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let stream =
        "GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n";
    // Who leaves before the answer.
    let (client, server) = upstream.asked(gateway.address, get).await;
    drop(client);
    admin_until(&gateway, "/metrics", |metrics| {
        metrics.contains("status=\"left\"} 1\n")
    })
    .await;
    drop(server);
    for (request, answer) in [
        (get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (get, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        (get, "HTTP/1.1 799 Odd\r\nContent-Length: 0\r\n\r\n"),
        (stream, STREAM),
        // None: it is asked again.
        (stream, ""),
    ] {
        asked(&upstream, &gateway, request, answer)
            .await
            .rest()
            .await;
    }
    // A target that no upstream is asked for.
    let mut odd = Wire::connect(gateway.address).await;
    odd.send("GET http:// HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    odd.rest().await;
    admin_until(&gateway, "/metrics", |metrics| {
        [
            ("default\",status=\"200", 2),
            ("default\",status=\"404", 1),
            ("default\",status=\"799", 1),
            ("default\",status=\"none", 1),
            ("default\",status=\"left", 1),
        ]
        .iter()
        .all(|(labels, count)| {
            metrics.contains(&format!(
                "sse_requests_total{{route=\"{labels}\"}} {count}\n"
            ))
        }) && metrics.contains("sse_request_seconds_count{route=\"default\"} 3\n")
            && metrics.contains("sse_connections 0\n")
            && metrics.contains("sse_build_info{version=\"")
    })
    .await;
}

#[tokio::test]
async fn each_request_is_a_line_where_that_is_wanted() {
    for (format, expected) in [
        (
            "text",
            vec![
                " INFO request route=\"default\" client=127.0.0.1:",
                "method=POST path=\"/x\" status=\"201\" bytes=3 duration=",
                "trace=\"4bf92f3577b34da6a3ce929d0e0e4736\"",
            ],
        ),
        (
            "json",
            vec![
                "\"message\":\"request\"",
                "\"route\":\"default\"",
                "\"method\":\"POST\"",
                "\"path\":\"/x\"",
                "\"status\":\"201\"",
                "\"bytes\":3",
                "\"duration\":",
                "\"trace\":\"4bf92f3577b34da6a3ce929d0e0e4736\"",
            ],
        ),
    ] {
        let upstream = WireUpstream::bind().await;
        let flags = ["--access-log", "on", "--log-format", format];
        let gateway = Gateway::with_admin(&upstream.url, &flags);
        let trace = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
        let request = format!(
            "POST /x?secret=1 HTTP/1.1\r\nHost: h\r\n{trace}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        let mut client = Wire::connect(gateway.address).await;
        client.send(&request).await;
        let mut server = upstream.accept().await;
        let head = server.head().await;
        assert_eq!(
            field(&head, "traceparent"),
            [format!("00-{TRACE}-00f067aa0ba902b7-01")]
        );
        server
            .send("HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: 3\r\n\r\nyes")
            .await;
        client.rest().await;
        gateway.log_with(expected[0]);
        let log = gateway.log();
        let line = log
            .lines()
            .find(|line| line.contains(expected[0]))
            .expect("a line");
        for part in &expected {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!log.contains("secret=1"), "{log}");
        let stream = format!(
            "GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n{trace}Connection: close\r\n\r\n"
        );
        let (mut client, mut server) = upstream.asked(gateway.address, &stream).await;
        server.send(STREAM).await;
        client.until("data: 1").await;
        drop((client, server));
        for text in ["stream opened", "stream closed"] {
            let log = gateway.log_with(text);
            let line = log
                .lines()
                .find(|line| line.contains(text))
                .expect("a line");
            assert!(line.contains(TRACE), "{line}");
        }
        // It has lines of its own.
        assert_eq!(gateway.log().matches(expected[0]).count(), 1);
    }
}

#[tokio::test]
async fn nothing_is_logged_of_requests_unless_it_is_wanted() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &[]);
    let get = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    asked(&upstream, &gateway, get, answer).await.rest().await;
    admin_until(&gateway, "/metrics", |metrics| {
        metrics.contains("sse_request_seconds_count{route=\"default\"} 1\n")
    })
    .await;
    assert!(!gateway.log().contains(" request "), "{}", gateway.log());
}
