//! Request targets and hosts: what asks for nothing, or for two things, goes nowhere.

use crate::gateway::Gateway;
use crate::wire::{Wire, WireUpstream, field};

/// An upstream that takes whatever comes and says so.
async fn telltale() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let upstream = WireUpstream::bind().await;
    let url = upstream.url.clone();
    let (told, heads) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let mut server = upstream.accept().await;
            let head = server.head().await;
            server
                .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
            let _ = told.send(head);
        }
    });
    (url, heads)
}

#[tokio::test]
async fn a_target_that_is_no_path_is_refused() {
    let (url, mut heads) = telltale().await;
    let gateway = Gateway::start(&url);
    for (line, host) in [
        ("GET *", "h"),
        ("POST *", "h"),
        ("GET h:80", "h"),
        ("GET internal", "h"),
        ("GET ?q", "h"),
        ("GET ftp://h/", "h"),
        ("GET https:///x", "h"),
        ("GET http://u:p@h/", "h"),
        ("GET http://h:99999/", "h"),
        ("GET /", "a b"),
        ("GET /", "u@h"),
        ("GET /", "h/x"),
        ("GET /", "h:port"),
        ("GET /", "a, b"),
        ("GET /", "http://h"),
    ] {
        let mut client = Wire::connect(gateway.address).await;
        client
            .send(format!(
                "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            ))
            .await;
        let got = client.rest().await;
        assert!(got.starts_with("HTTP/1.1 400 "), "{line} {host}: {got}");
    }
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("GET http://h/ HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 400 "), "{got}");
    assert!(heads.try_recv().is_err(), "nothing of it went upstream");
}

#[tokio::test]
async fn targets_of_http_2_are_held_to_the_same() {
    let (url, mut heads) = telltale().await;
    let gateway = Gateway::start(&url);
    for (fields, expected) in [
        (&[(":path", "*")][..], Answer::Refused),
        (&[(":path", "*x")], Answer::Reset),
        (&[(":path", "x")], Answer::Reset),
        (&[(":path", "?x")], Answer::Refused),
        // A fragment is cut off, as it is in HTTP/1.1.
        (&[(":path", "/a#b")], Answer::Ok),
        (&[(":path", "")], Answer::Reset),
        (&[(":path", "http://other/")], Answer::Reset),
        (&[(":path", "/a b")], Answer::Reset),
        (&[(":path", "/a\r\nx: y")], Answer::Reset),
        (&[(":path", "/"), (":authority", "u@h")], Answer::Refused),
        (&[(":path", "/"), (":authority", "a b")], Answer::Reset),
        (&[(":path", "/"), (":authority", "h:x")], Answer::Refused),
        (
            &[(":path", "/"), (":authority", "h"), ("host", "i")],
            Answer::Refused,
        ),
        (
            &[
                (":path", "/"),
                (":authority", "h"),
                ("host", "h"),
                ("host", "h"),
            ],
            Answer::Refused,
        ),
        (&[(":path", "/"), (":scheme", "ftp")], Answer::Refused),
        (
            &[(":path", "/"), (":authority", "h"), ("host", "H:80")],
            Answer::Ok,
        ),
        (&[(":path", "*"), (":method", "OPTIONS")], Answer::Ok),
        (&[(":path", "/a?b")], Answer::Ok),
    ] {
        let got = http2(&gateway, fields).await;
        assert_eq!(got, expected, "{fields:?}");
        let head = heads.try_recv();
        assert_eq!(head.is_ok(), expected == Answer::Ok, "{fields:?}: {head:?}");
    }
}

#[tokio::test]
async fn the_host_is_the_one_of_the_target_whatever_the_protocol() {
    let (url, mut heads) = telltale().await;
    let gateway = Gateway::start(&url);
    let fields = [(":path", "/x"), (":authority", "h:81"), ("host", "H:81")];
    assert_eq!(http2(&gateway, &fields).await, Answer::Ok);
    let head = heads.recv().await.expect("a request");
    assert_eq!(field(&head, "host"), ["h:81"]);
    assert_eq!(field(&head, "x-forwarded-host"), ["h:81"]);
    assert!(field(&head, "via")[0].starts_with("2.0 sse-gateway-"));
}

// ===== HTTP/2 by hand =====

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok,
    /// Status 400.
    Refused,
    /// The stream was reset: it is malformed.
    Reset,
}

/// A GET with these fields in place of the usual ones, as no client library would send it.
pub(crate) async fn http2(gateway: &Gateway, fields: &[(&str, &str)]) -> Answer {
    let usual = [(":method", "GET"), (":scheme", "http"), (":authority", "h")];
    let given = |name| fields.iter().any(|(other, _)| *other == name);
    let usual = usual.into_iter().filter(|(name, _)| !given(*name));
    let mut all: Vec<(&str, &str)> = usual.chain(fields.iter().copied()).collect();
    all.sort_by_key(|(name, _)| !name.starts_with(':'));
    let mut block = Vec::new();
    for (name, value) in all {
        // A literal that is not indexed, without Huffman coding (RFC 7541 section 6.2.2).
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    sent.extend(frame(HEADERS, 0x5, 1, &block));
    let mut client = Wire::connect(gateway.address).await;
    client.send(sent).await;
    loop {
        let head = client.bytes(9).await;
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = client.bytes(length).await;
        match (head[3], &payload[..]) {
            (HEADERS, [0x88, ..]) => return Answer::Ok,
            (HEADERS, [0x8c, ..]) => return Answer::Refused,
            (HEADERS, other) => panic!("neither 200 nor 400: {other:x?}"),
            (RST_STREAM, _) => return Answer::Reset,
            _ => {}
        }
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test]
async fn a_last_event_id_in_the_query_reaches_the_upstream_in_its_field() {
    let (url, mut heads) = telltale().await;
    const STREAM: &str = "Accept: text/event-stream\r\n";
    const NEWER: &str = "Accept: text/event-stream\r\nLast-Event-ID: row-8\r\n";
    for flags in [
        &[][..],
        &["--ids", "off"],
        &["--share", "on"],
        &["--resume", "on"],
    ] {
        let gateway = Gateway::with(&url, flags, &[]);
        for (target, lines, sent, id) in [
            (
                "/a?x=1&lastEventId=row%2D7",
                STREAM,
                "/a?x=1",
                &["row-7"][..],
            ),
            ("/a?LAST_EVENT_ID=row-7&y", STREAM, "/a?y", &["row-7"]),
            ("/a?Last-Event-ID=row-7", STREAM, "/a", &["row-7"]),
            ("/a?lastEventID=row-7", NEWER, "/a", &["row-8"]),
            ("/json?last_event_id=5", "", "/json?last_event_id=5", &[]),
            ("/a?event_id=5", STREAM, "/a?event_id=5", &[]),
        ] {
            let mut client = Wire::connect(gateway.address).await;
            client
                .send(format!(
                    "GET {target} HTTP/1.1\r\nHost: h\r\n{lines}Connection: close\r\n\r\n"
                ))
                .await;
            assert!(client.rest().await.ends_with("ok"));
            let head = heads.recv().await.expect("a request");
            let is_shared = flags.contains(&"--share") && !lines.is_empty();
            assert!(
                head.starts_with(&format!("GET {sent} ")),
                "{flags:?} {head}"
            );
            // What nobody proves is not asked for on behalf of all.
            let id = if is_shared { &[] } else { id };
            assert_eq!(field(&head, "last-event-id"), id, "{flags:?} {target}");
        }
    }
}
