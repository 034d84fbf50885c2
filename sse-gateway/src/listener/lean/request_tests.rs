//! What is read here hyper reads as the same; and what is left to hyper.

use std::io::Cursor;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, join, sink};

use super::request::head;

const PLAIN: &str =
    "GET /a?b HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nCookie: a=\"1\"\r\n\r\n";
/// All of these are taken.
const TAKEN: [&str; 7] = [
    PLAIN,
    "GET / HTTP/1.1\r\nhost:h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET http://h:1/x#y HTTP/1.1\r\nHost: other \t \r\nx-empty:\r\n\r\n",
    "GET /%C3%A4\u{e4}?q={}| HTTP/1.1\r\nHost: h\r\nX: \u{e4}\r\nx: 2\r\nY: 3\r\nX: 1\r\n\r\nrest",
    "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close, x\r\nTE: trailers\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: \r\nLast-Event-ID: 1\r\n\r\n\r\n",
];

/// What hyper makes of the first request in these bytes, and what it leaves.
async fn by_hyper(bytes: &[u8]) -> Option<(Request<()>, Vec<u8>)> {
    let seen = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        // Not when it is polled: hyper may see the end before.
        *seen.lock().expect("no panic") = Some(request.map(drop));
        async { Err::<Response<Empty<Bytes>>, _>("seen") }
    });
    let io = TokioIo::new(join(Cursor::new(bytes.to_vec()), sink()));
    let mut connection = http1::Builder::new()
        .max_headers(320)
        .serve_connection(io, service)
        .with_upgrades();
    let _ = (&mut connection).await;
    let parts = connection.into_parts().expect("no upgrade");
    let mut rest = parts.read_buf.to_vec();
    parts
        .io
        .into_inner()
        .read_to_end(&mut rest)
        .await
        .expect("memory");
    let seen = seen.lock().expect("no panic").take();
    seen.map(|request| (request, rest))
}

/// Whether it is taken.
async fn is_taken_as_by_hyper(bytes: &[u8]) -> bool {
    let Some((ours, length)) = head(bytes) else {
        return false;
    };
    let text = String::from_utf8_lossy(bytes);
    let (hypers, rest) = by_hyper(bytes).await.unwrap_or_else(|| panic!("{text}"));
    let parts = |request: &Request<()>| {
        let lines: Vec<_> = request.headers().iter().collect();
        let uri = request.uri();
        format!(
            "{} {uri:?} {:?} {lines:?}",
            request.method(),
            request.version()
        )
    };
    assert_eq!(parts(&ours), parts(&hypers), "{text}");
    assert_eq!(&bytes[length..], rest, "{text}");
    true
}

#[tokio::test]
async fn plain_requests_are_taken_as_hyper_takes_them() {
    for request in TAKEN {
        assert!(is_taken_as_by_hyper(request.as_bytes()).await, "{request}");
    }
}

#[tokio::test]
async fn whatever_is_taken_is_what_hyper_takes() {
    let mut taken = 0;
    for request in TAKEN {
        for at in 0..request.len() {
            for other in *b"\0\t\n\r #%:,/1Gh\x7f\x80" {
                let mut bytes = request.as_bytes().to_vec();
                bytes[at] = other;
                taken += usize::from(is_taken_as_by_hyper(&bytes).await);
                bytes.insert(at, request.as_bytes()[at]);
                taken += usize::from(is_taken_as_by_hyper(&bytes).await);
                bytes.drain(at..at + 2);
                taken += usize::from(is_taken_as_by_hyper(&bytes).await);
            }
        }
    }
    assert!(taken > 5000, "{taken}");
}

#[test]
fn what_is_not_plain_is_left_to_hyper() {
    assert!(head(PLAIN.as_bytes()).is_some());
    for at in 0..PLAIN.len() {
        assert!(head(&PLAIN.as_bytes()[..at]).is_none(), "cut at {at}");
    }
    for (from, to) in [
        ("GET", "HEAD"),
        ("GET", "POST"),
        ("GET", "get"),
        ("GET", "\r\nGET"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("Host: h\r\n", ""),
        ("Host: h\r\n", "Host: h\r\nhost: h\r\n"),
        ("Host: h", "Host : h"),
        ("Host: h\r\n", "Host: h\n"),
        ("\r\n\r\n", "\n\n"),
        ("\r\nAccept", "\r\n Accept"),
        ("Cookie", "Content-Length: 0\r\nCookie"),
        ("Cookie", "Transfer-Encoding: chunked\r\nCookie"),
        ("Cookie", "Expect: 100-continue\r\nCookie"),
        ("Cookie", "Upgrade: websocket\r\nCookie"),
        ("Cookie", "Connection: a, Upgrade\r\nCookie"),
        ("/a?b", "/a b"),
    ] {
        let changed = PLAIN.replacen(from, to, 1);
        assert!(head(changed.as_bytes()).is_none(), "{changed}");
    }
    let lines = |count| PLAIN.replace("Cookie", &format!("{}Cookie", "X: 1\r\n".repeat(count)));
    let (most, more) = (lines(61), lines(62));
    assert!(head(most.as_bytes()).is_some());
    assert!(head(more.as_bytes()).is_none());
}
