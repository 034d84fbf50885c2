//! Clients that are known by their certificates.

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::gateway::Gateway;
use crate::tls::Authority;
use crate::wire::{Wire, WireUpstream, field};

const FIELDS: &str = "x-client=cn,x-client-uri=uri,x-client-dns=dns,x-client-cert=fingerprint";
const GET: &str = "GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\
                   X-Client: mallory\r\nX_Client_Cert: 00\r\n\r\n";
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// The certificate of a client by this name, and its key.
fn identity(authority: &Authority, name: &str) -> (String, String) {
    let mut params = CertificateParams::new([]).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    let uri = format!("spiffe://h/{name}").try_into().expect("a URI");
    params.subject_alt_names.push(SanType::URI(uri));
    let key = KeyPair::generate().expect("a key");
    (authority.sign(params, &key), key.serialize_pem())
}

fn start(upstream: &WireUpstream, authority: &Authority, more: &[&str]) -> Gateway {
    let ca = authority.path("ca.pem").display().to_string();
    let flags = authority.issue("a", "a.example");
    let mut flags: Vec<_> = flags.iter().map(String::as_str).collect();
    flags.extend(["--tls-client-ca", &ca, "--tls-client-fields", FIELDS]);
    flags.extend(more);
    Gateway::with(&upstream.url, &flags, &[])
}

async fn connect(gateway: &Gateway, authority: &Authority, name: &str) -> TlsStream<TcpStream> {
    let mut client = authority.client();
    client.identity = Some(identity(authority, name));
    let stream = TcpStream::connect(gateway.address).await.expect("connects");
    client
        .over(stream, "a.example")
        .await
        .expect("shakes hands")
}

async fn told(client: &mut TlsStream<TcpStream>, needle: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(needle) {
        assert_ne!(client.read_buf(&mut seen).await.expect("reads"), 0);
    }
}

#[tokio::test]
async fn the_upstream_is_told_and_no_client_can_tell_it_itself() {
    let upstream = WireUpstream::bind().await;
    let authority = Authority::new("identity");
    let gateway = start(&upstream, &authority, &[]);
    for name in ["alice", "bob"] {
        let mut client = connect(&gateway, &authority, name).await;
        client.write_all(GET.as_bytes()).await.expect("writes");
        let mut server = upstream.accept().await;
        let head = server.head().await;
        assert_eq!(field(&head, "x-client"), [name]);
        assert_eq!(field(&head, "x-client-uri"), [format!("spiffe://h/{name}")]);
        assert_eq!(
            field(&head, "x-client-dns"),
            [""; 0],
            "its certificate has none"
        );
        assert_eq!(field(&head, "x-client-cert")[0].len(), 64);
        assert_eq!(field(&head, "x_client_cert"), [""; 0]);
    }
    // Over HTTP/2 as well.
    let mut client = authority.client();
    client.alpn = vec![b"h2".to_vec()];
    client.identity = Some(identity(&authority, "carol"));
    let stream = TcpStream::connect(gateway.address).await.expect("connects");
    let stream = client
        .over(stream, "a.example")
        .await
        .expect("shakes hands");
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("shakes hands");
    tokio::spawn(connection);
    let request = Request::get("https://a.example/s").header("x-client", "mallory");
    let request = request
        .body(Empty::<bytes::Bytes>::new().boxed())
        .expect("a request");
    let answered = tokio::spawn(client.send_request(request));
    let mut server = upstream.accept().await;
    assert_eq!(field(&server.head().await, "x-client"), ["carol"]);
    drop((server, answered));
    // Nor where no certificate is asked for.
    let plain = Gateway::with(&upstream.url, &["--tls-client-fields", FIELDS], &[]);
    let (_client, mut server) = {
        let mut client = Wire::connect(plain.address).await;
        client.send(GET).await;
        (client, upstream.accept().await)
    };
    let head = server.head().await;
    assert_eq!(field(&head, "x-client"), [""; 0]);
    assert_eq!(field(&head, "x_client_cert"), [""; 0]);
}

#[tokio::test]
async fn two_clients_do_not_share_a_stream_where_who_they_are_counts() {
    let upstream = WireUpstream::bind().await;
    for share in ["on", "path,header:x-client"] {
        let authority = Authority::new(&format!("share-{}", share.len()));
        let gateway = start(&upstream, &authority, &["--share", share]);
        let mut streams = Vec::new();
        for name in ["alice", "bob"] {
            let mut client = connect(&gateway, &authority, name).await;
            client.write_all(GET.as_bytes()).await.expect("writes");
            let mut server = upstream.accept().await;
            assert_eq!(field(&server.head().await, "x-client"), [name]);
            server.send(format!("{STREAM}data: for {name}\n\n")).await;
            told(&mut client, &format!("data: for {name}\n\n")).await;
            streams.push((client, server));
        }
        // The same client again is given what is kept for it.
        let key = &mut streams[0].1;
        key.send("data: more\n\n").await;
        told(&mut streams[0].0, "data: more\n\n").await;
    }
}
