//! How a connection begins, and in how many pieces, makes no difference.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, join};
use tokio::net::TcpStream;

use crate::gateway::Gateway;
use crate::http2;
use crate::upstream::{self, Body};
use crate::wire::Wire;

/// Long enough that the gateway reads what came before, as a rule.
const PAUSE: Duration = Duration::from_millis(5);

async fn method_and_path(request: Request<Incoming>) -> Response<Body> {
    let text = format!("{} {}", request.method(), request.uri().path());
    Response::new(upstream::full(text))
}

/// A connection whose first bytes come on their own.
async fn cut(address: SocketAddr, at: usize) -> DuplexStream {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.set_nodelay(true).expect("nodelay");
    let (ours, mut theirs) = duplex(64 * 1024);
    tokio::spawn(async move {
        let mut first = vec![0; at];
        theirs.read_exact(&mut first).await.expect("as many");
        stream.write_all(&first).await.expect("writes");
        tokio::time::sleep(PAUSE).await;
        let (theirs_read, theirs_write) = tokio::io::split(theirs);
        let (read, write) = stream.into_split();
        let mut theirs = join(theirs_read, theirs_write);
        let mut stream = join(read, write);
        let _ = tokio::io::copy_bidirectional(&mut theirs, &mut stream).await;
    });
    ours
}

#[tokio::test]
async fn http_2_is_told_by_its_preface_wherever_that_is_cut() {
    let gateway = Gateway::start(&upstream::http1(method_and_path).await);
    for at in 1..=24 {
        let stream = cut(gateway.address, at).await;
        let mut client = http2::over(stream).await;
        let request = Request::get("http://h/x").body(Empty::<bytes::Bytes>::new());
        let response = client.send_request(request.expect("a request")).await;
        let body = response.expect("a response").into_body();
        let body = body.collect().await.expect("a body").to_bytes();
        assert_eq!(body, "GET /x", "cut at {at}");
    }
}

#[tokio::test]
async fn a_head_of_http_1_arrives_wherever_it_is_cut() {
    let gateway = Gateway::start(&upstream::http1(method_and_path).await);
    for line in [
        "GET /x",
        "P /x",
        "PR /x",
        "PRI /x",
        "PRIX /x",
        "PROPFIND /x",
        "POST /x",
    ] {
        let head =
            format!("{line} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        for at in 1..=8 {
            let mut client = Wire::connect(gateway.address).await;
            client.send(&head[..at]).await;
            tokio::time::sleep(PAUSE).await;
            client.send(&head[at..]).await;
            let got = client.rest().await;
            assert!(
                got.starts_with("HTTP/1.1 200 "),
                "{line:?} cut at {at}: {got}"
            );
            assert!(got.ends_with(line), "{line:?} cut at {at}: {got}");
        }
        let mut client = Wire::connect(gateway.address).await;
        for byte in head.as_bytes() {
            client.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert!(client.rest().await.ends_with(line), "{line:?} byte by byte");
    }
}

#[tokio::test]
async fn who_ends_after_some_bytes_is_left_alone() {
    let gateway = Gateway::start(&upstream::http1(method_and_path).await);
    for said in ["P", "PRI ", "PRI *", "GET /"] {
        let mut stream = TcpStream::connect(gateway.address).await.expect("connects");
        stream.write_all(said.as_bytes()).await.expect("writes");
        stream.shutdown().await.expect("the end");
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got).await;
    }
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    assert!(client.rest().await.ends_with("GET /x"));
}
