//! What is read here hyper reads as the same; and what is left to hyper.

use std::io::Cursor;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, join, sink};

use super::request::{Plain, read};

const PLAIN: &str =
    "GET /a?b HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nCookie: a=\"1\"\r\n\r\n";
const POST: &str =
    "POST /a HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nContent-Length: 4\r\n\r\nbody";
/// All of these are taken.
const TAKEN: [&str; 10] = [
    PLAIN,
    POST,
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length:0012 \r\nHost: h\r\n\r\n{\"a\":\r\n\r\nb}GET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nhost:h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET http://h:1/x#y HTTP/1.1\r\nHost: other \t \r\nx-empty:\r\n\r\n",
    "GET /%C3%A4\u{e4}?q={}| HTTP/1.1\r\nHost: h\r\nX: \u{e4}\r\nx: 2\r\nY: 3\r\nX: 1\r\n\r\nrest",
    "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close, x\r\nTE: trailers\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: \r\nLast-Event-ID: 1\r\n\r\n\r\n",
];

/// What hyper makes of the first request in these bytes, and what it leaves.
async fn by_hyper(bytes: &[u8]) -> Option<(Request<Bytes>, Vec<u8>)> {
    let seen = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let seen = &seen;
        async move {
            let (head, body) = request.into_parts();
            if let Ok(body) = body.collect().await {
                let request = Request::from_parts(head, body.to_bytes());
                *seen.lock().expect("no panic") = Some(request);
            }
            Err::<Response<Empty<Bytes>>, _>("seen")
        }
    });
    let io = TokioIo::new(join(Cursor::new(bytes.to_vec()), sink()));
    let mut connection = http1::Builder::new()
        .max_headers(320)
        // Else it ends at the end of these bytes, whatever is being read of them.
        .half_close(true)
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
    let Some(ours) = read(bytes).filter(|ours| ours.length() <= bytes.len()) else {
        return false;
    };
    let Plain { request, head, .. } = &ours;
    let length = ours.length();
    let text = String::from_utf8_lossy(bytes);
    let (hypers, rest) = by_hyper(bytes).await.unwrap_or_else(|| panic!("{text}"));
    assert_eq!(parts(request), parts(&hypers), "{text}");
    assert_eq!(&bytes[*head..length], hypers.body(), "{text}");
    assert_eq!(&bytes[length..], rest, "{text}");
    true
}

fn parts<B>(request: &Request<B>) -> String {
    let lines: Vec<_> = request.headers().iter().collect();
    let uri = request.uri();
    format!(
        "{} {uri:?} {:?} {lines:?}",
        request.method(),
        request.version()
    )
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
    for request in [PLAIN, POST] {
        let head = request.find("\r\n\r\n").expect("an end") + 4;
        assert!(read(&request.as_bytes()[..head]).is_some());
        for at in 0..head {
            assert!(read(&request.as_bytes()[..at]).is_none(), "cut at {at}");
        }
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
        assert!(read(changed.as_bytes()).is_none(), "{changed}");
    }
    for (from, to) in [
        ("POST", "PUT"),
        ("POST", "GET"),
        ("Content-Length: 4\r\n", ""),
        (": 4", ": "),
        (": 4", ": +4"),
        (": 4", ": -4"),
        (": 4", ": 0x4"),
        (": 4", ": 4.0"),
        (": 4", ": 4 4"),
        (": 4", ": 4, 4"),
        (": 4", ": 4\r\nContent-Length: 4"),
        (": 4", ": 65537"),
        (": 4", ": 18446744073709551620"),
        (": 4", ": 4\r\nTransfer-Encoding: chunked"),
        (": 4", ": 4\r\nExpect: 100-continue"),
        (": 4", ": 4\r\nUpgrade: websocket"),
    ] {
        let changed = POST.replacen(from, to, 1);
        assert!(read(changed.as_bytes()).is_none(), "{changed}");
    }
    let lines = |count| PLAIN.replace("Cookie", &format!("{}Cookie", "X: 1\r\n".repeat(count)));
    let (most, more) = (lines(61), lines(62));
    assert!(read(most.as_bytes()).is_some());
    assert!(read(more.as_bytes()).is_none());
}
