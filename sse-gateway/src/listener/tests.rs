use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service;

use super::connection::FIRST_BYTES;
use super::tls::{Certificates, Tls};
use super::*;
use crate::config::tls::KeyPair;
use crate::descriptors::For;
use crate::shutdown::Shutdown;
use crate::workers::Workers;

const GONE_AFTER: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Hello;

impl Service<Request<ClientBody>> for Hello {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<ClientBody>) -> Self::Future {
        ready(Ok(Response::new(Full::from("hello"))))
    }
}

fn bind() -> (Tcp, SocketAddr) {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    Tcp::bind(free, GONE_AFTER, "--listen").expect("binds")
}

async fn serve(listener: impl Listener) {
    let workers = Workers::here();
    let terms = Terms::new(For::Clients, GONE_AFTER);
    let server = start(terms, listener, || Hello, workers, Shutdown::new());
    tokio::spawn(server.await);
}

async fn listen() -> SocketAddr {
    let (listener, address) = bind();
    serve(listener).await;
    address
}

async fn listen_over_tls() -> SocketAddr {
    let made = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("a certificate");
    let folder = std::env::temp_dir().join(format!("listener-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let certificates = Certificates::read(vec![KeyPair { cert, key }]).expect("a pair");
    std::fs::remove_dir_all(folder).expect("removed");
    let (listener, address) = bind();
    let tls = Tls::new(certificates.into(), None, [].into()).expect("it is right");
    serve(Edge::new(Source::Tcp(listener), None, Some(tls))).await;
    address
}

#[tokio::test(start_paused = true)]
async fn who_does_not_ask_is_hung_up_on_in_time() {
    let address = listen().await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = "\0\0\0\u{4}\0\0\0\0\0";
    let mut said_to_all = Vec::new();
    for said in [
        "".to_owned(),
        "P".to_owned(),
        "PRI ".to_owned(),
        "G".to_owned(),
        "GET / HTTP/1.1\r\nHost: h\r\n".to_owned(),
        "PRI *".to_owned(),
        preface[..20].to_owned(),
        preface.to_owned(),
        format!("{preface}{settings}"),
    ] {
        said_to_all.push((address, said));
    }
    let tls = listen_over_tls().await;
    // Nothing, and a beginning of a handshake.
    for said in ["", "\u{16}", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0"] {
        said_to_all.push((tls, said.to_owned()));
    }
    let mut all = Vec::new();
    for (address, said) in said_to_all {
        for _ in 0..50 {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.write_all(said.as_bytes()).await.expect("writes");
            all.push((said.clone(), stream));
        }
    }
    let began = Instant::now();
    for (said, mut stream) in all {
        let ended = tokio::time::timeout(3 * FIRST_BYTES, async {
            let mut got = [0; 256];
            while stream.read(&mut got).await.is_ok_and(|read| read > 0) {}
        });
        ended
            .await
            .unwrap_or_else(|_| panic!("still open after {said:?}"));
    }
    assert!(began.elapsed() <= 2 * FIRST_BYTES, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_http_2_that_was_used_stays() {
    let address = listen().await;
    let stream = TcpStream::connect(address).await.expect("connects");
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("shakes hands");
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::get("http://h/").body(Full::new(Bytes::new()));
        let response = client.send_request(request.expect("a request")).await;
        assert_eq!(response.expect("a response").status(), 200);
        tokio::time::sleep(2 * FIRST_BYTES).await;
    }
}
