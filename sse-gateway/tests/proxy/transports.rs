//! The ways to an upstream, and the protocols of clients.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::gateway::Gateway;
use crate::upstream::{self, Body, full};
use crate::wire::{Wire, WireUpstream, field};

/// Says what arrived.
async fn mirror(request: Request<Incoming>) -> Response<Body> {
    let host = match request.uri().authority() {
        Some(authority) => authority.to_string(),
        None => format!("{:?}", request.headers().get("host")),
    };
    let text = format!(
        "{:?} {} {} {host} cookie {:?} for {:?}",
        request.version(),
        request.method(),
        request
            .uri()
            .path_and_query()
            .map_or("", |path| path.as_str()),
        request.headers().get("cookie"),
        request.headers().get("x-forwarded-for"),
    );
    let body = request.into_body().collect().await.expect("a body");
    Response::new(full(format!("{text} body {:?}", body.to_bytes())))
}

async fn post(gateway: &Gateway) -> String {
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(
            "POST /p?q HTTP/1.1\r\nHost: Shop.example\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
        )
        .await;
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    let (_, body) = got.split_once("\r\n\r\n").expect("a body");
    body.to_owned()
}

#[tokio::test]
async fn a_client_of_http_2_reaches_an_upstream_of_http_1() {
    let gateway = Gateway::start(&upstream::http1(mirror).await);
    let mut client = crate::http2::connect(gateway.address).await;
    let request = Request::get("http://shop.example:81//a%2F?b")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Empty::<bytes::Bytes>::new())
        .expect("a request");
    let response = client.send_request(request).await.expect("a response");
    assert_eq!(response.version(), Version::HTTP_2);
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(
        body.to_bytes(),
        "HTTP/1.1 GET //a%2F?b Some(\"shop.example:81\") cookie Some(\"a=1; b=2\") \
         for Some(\"127.0.0.1\") body b\"\""
    );
}

#[tokio::test]
async fn an_upstream_of_http_2_sees_the_clients_host() {
    let gateway = Gateway::start(&upstream::h2c(100, mirror).await);
    assert_eq!(
        post(&gateway).await,
        "HTTP/2.0 POST /p?q Shop.example cookie None for Some(\"127.0.0.1\") body b\"body\""
    );
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream() {
    let directory = std::env::temp_dir().join(format!("gateway-proxy-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("app.sock");
    let listener = UnixListener::bind(&path).expect("binds");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            tokio::spawn(upstream::serve_http1(TokioIo::new(stream), mirror));
        }
    });
    let gateway = Gateway::start(&format!("unix:{}", path.display()));
    let got = post(&gateway).await;
    std::fs::remove_dir_all(&directory).expect("removed");
    assert!(
        got.starts_with("HTTP/1.1 POST /p?q Some(\"Shop.example\")"),
        "{got}"
    );
    assert!(got.ends_with("body b\"body\""), "{got}");
}

#[tokio::test]
async fn an_https_upstream_is_trusted_by_the_platforms_certificates() {
    let (url, certificate) = https().await;
    let file = std::env::temp_dir().join(format!("gateway-proxy-{}.pem", std::process::id()));
    std::fs::write(&file, certificate).expect("written");
    let path = file.display().to_string();
    let gateway = Gateway::with(&url, &[], &[("SSL_CERT_FILE", &path)]);
    let got = post(&gateway).await;
    std::fs::remove_file(&file).expect("removed");
    assert!(
        got.starts_with("HTTP/1.1 POST /p?q Some(\"Shop.example\")"),
        "{got}"
    );
}

#[tokio::test]
async fn a_certificate_nobody_knows_is_a_failure_of_tls() {
    let (url, _) = https().await;
    let (_, other) = https().await;
    let file = std::env::temp_dir().join(format!("gateway-proxy-other-{}.pem", std::process::id()));
    std::fs::write(&file, other).expect("written");
    let path = file.display().to_string();
    let gateway = Gateway::with(&url, &[], &[("SSL_CERT_FILE", &path)]);
    let mut client = Wire::connect(gateway.address).await;
    client
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    let got = client.rest().await;
    std::fs::remove_file(&file).expect("removed");
    assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
    assert!(got.contains("No secure connection"), "{got}");
    gateway.log_with("reason=\"tls\"");
}

async fn https() -> (String, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, address) = upstream::bind().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    upstream::serve_http1(TokioIo::new(stream), mirror).await;
                }
            });
        }
    });
    (format!("https://localhost:{}", address.port()), cert.pem())
}

#[tokio::test]
async fn more_streams_than_a_connection_of_http_2_has_are_served() {
    // Each response stays open; a second connection is needed for the fourth.
    let url = upstream::h2c(3, |_| async {
        let frames = futures_util::stream::pending();
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    })
    .await;
    let gateway = Gateway::start(&url);
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut client = Wire::connect(gateway.address).await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        open.push(client);
    }
}

#[tokio::test]
async fn an_upstream_of_http_2_that_says_goodbye_is_asked_on_a_new_connection() {
    let (listener, address) = upstream::bind().await;
    let (open, mut opened) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            let (goodbye, wanted) = oneshot::channel::<()>();
            let _ = open.send(goodbye);
            tokio::spawn(async move {
                let service = service_fn(|_: Request<Incoming>| async {
                    let frames = futures_util::stream::pending();
                    let body: Body = BodyExt::boxed(StreamBody::new(frames));
                    Ok::<_, Infallible>(Response::new(body))
                });
                let mut connection = std::pin::pin!(
                    http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                );
                tokio::select! {
                    _ = connection.as_mut() => return,
                    _ = wanted => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
        }
    });
    let gateway = Gateway::start(&format!("h2c://{address}"));
    let mut clients = Vec::new();
    for _ in 0..3 {
        // What is asked before the goodbye is heard still goes to the old connection; nothing fails meanwhile.
        let goodbye = loop {
            let mut client = Wire::connect(gateway.address).await;
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
            let head = client.head().await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            clients.push(client);
            if let Ok(goodbye) = opened.try_recv() {
                break goodbye;
            }
        };
        let _ = goodbye.send(());
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let (mut first, mut server) = upstream
        .asked(gateway.address, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    server
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        .await;
    first.until("0\r\n\r\n").await;
    // Another client that asks for another host: the upstream is the same.
    let mut second = Wire::connect(gateway.address).await;
    second.send("GET /2 HTTP/1.1\r\nHost: b\r\n\r\n").await;
    let head = server.until("\r\n\r\n").await;
    assert!(head.starts_with("GET /2 "), "{head}");
    assert_eq!(field(&head, "host"), ["b"]);
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_costs_no_request() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let (mut client, mut server) = upstream
        .asked(gateway.address, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await;
    client.until("\r\n\r\nok").await;
    client.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await;
    // The upstream gives the connection up when the next request is already on its way.
    server.head().await;
    drop(server);
    let mut server = upstream.accept().await;
    let head = server.head().await;
    assert!(head.starts_with("GET /2 "), "{head}");
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")
        .await;
    client.until("\r\n\r\nagain").await;
    assert!(!gateway.log().contains("WARN"), "{}", gateway.log());
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::start(&upstream.url);
    let (mut client, mut server) = upstream
        .asked(gateway.address, "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
        .await;
    server
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await;
    client.until("\r\n\r\nok").await;
    client
        .send("POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
        .await;
    server.until("x").await;
    drop(server);
    let got = client.head().await;
    assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
}
