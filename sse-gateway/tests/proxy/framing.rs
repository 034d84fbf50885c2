//! Where a response of the upstream ends, and what becomes of its connection: two that see different ends are a way in for
//! responses that nobody asked for.

use tokio::time::timeout;

use crate::support::gateway::{Gateway, PATIENCE};
use crate::support::wire::{Wire, WireUpstream};

/// What a client gets of a response.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Got {
    /// This body, whole.
    Whole(&'static str),
    /// The beginning of a body, and then the end of the connection.
    Cut,
    /// 502 from the gateway.
    Refused,
}

/// What becomes of the upstream's connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Kept,
    Closed,
}

use Got::{Cut, Refused, Whole};
use Then::{Closed, Kept};

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// Sends this to a request, and says what the client got and what the gateway did with the connection.
async fn play(response: &str) -> (Result<String, bool>, Then) {
    let upstream = WireUpstream::bind().await;
    // hyper is less strict with connections.
    let gateway = Gateway::with(&upstream.url, &[], &[("SSE_GATEWAY_LEAN", "on")]);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    let mut server = upstream.accept().await;
    server.head().await;
    server.send(response).await;
    let answer = client.rest().await;

    let mut client = Wire::connect(gateway.address).await;
    client.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let then = tokio::select! {
        read = server.read_some() => match read {
            0 => Closed,
            _ => Kept,
        },
        _ = upstream.accept() => Closed,
    };
    (body(&answer), then)
}

/// The body of an answer, or whether the gateway refused it. An answer that ends too early has none.
fn body(answer: &str) -> Result<String, bool> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(false)?;
    if head.starts_with("HTTP/1.1 502 ") {
        return Err(true);
    }
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        let mut rest = body;
        let mut all = String::new();
        loop {
            let (size, behind) = rest.split_once("\r\n").ok_or(false)?;
            let size = usize::from_str_radix(size, 16).map_err(|_| false)?;
            if size == 0 {
                return Ok(all);
            }
            all.push_str(behind.get(..size).ok_or(false)?);
            rest = behind.get(size + 2..).ok_or(false)?;
        }
    }
    match head.split_once("content-length: ") {
        Some((_, length)) => {
            let length = length.lines().next().and_then(|length| length.parse().ok());
            body.get(..length.ok_or(false)?)
                .map(str::to_owned)
                .ok_or(false)
        }
        None => Ok(body.to_owned()),
    }
}

async fn check(rows: &[(&str, Got, Then)]) {
    for (response, got, then) in rows {
        let played = timeout(PATIENCE, play(response)).await;
        let (answer, what) = played.unwrap_or_else(|_| panic!("in time: {response:?}"));
        let expected = match got {
            Whole(body) => Ok((*body).to_owned()),
            Cut => Err(false),
            Refused => Err(true),
        };
        assert_eq!((answer, what), (expected, *then), "{response:?}");
    }
}

#[tokio::test]
async fn a_response_that_ends_plainly_leaves_its_connection_to_the_next() {
    check(&[
        (&format!("{OK}Content-Length: 2\r\n\r\nok"), Whole("ok"), Kept),
        (&format!("{OK}Content-Length: 0\r\n\r\n"), Whole(""), Kept),
        (&format!("{OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), Whole("ok"), Kept),
        (&format!("{OK}Transfer-Encoding: Chunked\r\n\r\n1\r\no\r\n0001 \r\nk\r\n0\r\nx: 1\r\n\r\n"), Whole("ok"), Kept),
        (&format!("{OK}Transfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nok\r\n0;e\r\n\r\n"), Whole("ok"), Kept),
        ("HTTP/1.1 204 No Content\r\n\r\n", Whole(""), Kept),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Whole(""), Kept),
        ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Whole("ok"), Kept),
    ])
    .await;
}

#[tokio::test]
async fn behind_any_doubt_no_other_request_is_sent() {
    check(&[
        (&format!("{OK}Connection: x, Close\r\nContent-Length: 2\r\n\r\nok"), Whole("ok"), Closed),
        (&format!("{OK}Content-Length: 2\r\n\r\nok{OK}Content-Length: 4\r\n\r\nevil"), Whole("ok"), Closed),
        (&format!("{OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{OK}Content-Length: 4\r\n\r\nevil"), Whole("ok"), Closed),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", Whole(""), Closed),
        (&format!("{OK}Content-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), Whole("ok"), Closed),
        (&format!("{OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), Whole("ok"), Closed),
        (&format!("{OK}Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok"), Whole("ok"), Closed),
    ])
    .await;
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused() {
    check(&[
        (
            &format!("{OK}Content-Length: +2\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (
            &format!("{OK}Content-Length: -2\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (
            &format!("{OK}Content-Length: 0x2\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (&format!("{OK}Content-Length: \r\n\r\nok"), Refused, Closed),
        (
            &format!("{OK}Content-Length: 2,\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (
            &format!("{OK}Content-Length: 2, 3\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (
            &format!("{OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (
            &format!("{OK}Content-Length: 18446744073709551616\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Refused,
            Closed,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nok",
            Refused,
            Closed,
        ),
        (
            "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Refused,
            Closed,
        ),
        (
            &format!("{OK}X : 1\r\nContent-Length: 2\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (
            &format!("{OK}X: 1\r\n folded\r\nContent-Length: 2\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (
            &format!("{OK}X: 1\rContent-Length: 7\r\nContent-Length: 2\r\n\r\nok"),
            Refused,
            Closed,
        ),
        (
            &format!("{OK}X: \0\r\nContent-Length: 2\r\n\r\nok"),
            Refused,
            Closed,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_chunk_that_can_be_read_in_two_ways_cuts_the_response() {
    let chunked = |body: &str| format!("{OK}Transfer-Encoding: chunked\r\n\r\n{body}");
    let long = format!("2;{}\r\nok\r\n0\r\n\r\n", "x".repeat(20_000));
    check(&[
        (&chunked("+2\r\nok\r\n0\r\n\r\n"), Cut, Closed),
        (&chunked("-2\r\nok\r\n0\r\n\r\n"), Cut, Closed),
        (&chunked("0x2\r\nok\r\n0\r\n\r\n"), Cut, Closed),
        (&chunked(" 2\r\nok\r\n0\r\n\r\n"), Cut, Closed),
        (&chunked("2 2\r\nok\r\n0\r\n\r\n"), Cut, Closed),
        (
            &chunked("10000000000000002\r\nok\r\n0\r\n\r\n"),
            Cut,
            Closed,
        ),
        (&chunked("2\nok\r\n0\r\n\r\n"), Cut, Closed),
        (&chunked("2\rok\r\n0\r\n\r\n"), Cut, Closed),
        (&chunked("2;\nok\r\n0\r\n\r\n"), Cut, Closed),
        (&chunked("2\r\nokok\r\n0\r\n\r\n"), Cut, Closed),
        (&chunked("2\r\nok0\r\n\r\n"), Cut, Closed),
        (&chunked("2\r\nok\r\n0\r\nx y: 1\r\n\r\n"), Cut, Closed),
        (&chunked(&long), Cut, Closed),
    ])
    .await;
}
