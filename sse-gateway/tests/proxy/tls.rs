//! Clients over TLS.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
};

use crate::gateway::{Gateway, PATIENCE};
use crate::wire::{Wire, WireUpstream, field};

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// An authority, and a folder for the certificates that it gives.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("gateway-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let authority = Self { issuer, folder };
        fs::write(authority.path("ca.pem"), authority.issuer.pem()).expect("written");
        authority
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// The certificate for a host, and its key.
    fn certify(&self, host: &str) -> (String, String) {
        let params = CertificateParams::new([host.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn sign(&self, params: CertificateParams, key: &KeyPair) -> String {
        let certificate = params.signed_by(key, &self.issuer).expect("signed");
        certificate.pem()
    }

    /// The same in files, and the flags that name them.
    pub(crate) fn issue(&self, file: &str, host: &str) -> [String; 4] {
        let (certificate, key) = self.certify(host);
        let files = [format!("{file}.pem"), format!("{file}.key")].map(|file| self.path(&file));
        fs::write(&files[0], certificate).expect("written");
        fs::write(&files[1], key).expect("written");
        let [certificate, key] = files.map(|file| file.display().to_string());
        [
            "--tls-cert".to_owned(),
            certificate,
            "--tls-key".to_owned(),
            key,
        ]
    }

    pub(crate) fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        let root = self.issuer.der().clone();
        roots.add(root).expect("an authority");
        Client {
            roots,
            version: &TLS13,
            alpn: vec![],
            identity: None,
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) struct Client {
    roots: RootCertStore,
    version: &'static SupportedProtocolVersion,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) identity: Option<(String, String)>,
}

impl Client {
    async fn connect(self, gateway: &Gateway, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(gateway.address).await?;
        self.over(stream, host).await
    }

    pub(crate) async fn over<S>(self, stream: S, host: &str) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[self.version])
            .expect("versions")
            .with_root_certificates(self.roots);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                let chain = vec![certificate.expect("a certificate")];
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("an identity")
            }
        };
        config.alpn_protocols = self.alpn;
        let name = host.to_owned().try_into().expect("a name");
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }
}

fn start(upstream: &WireUpstream, flags: &[&[String]]) -> Gateway {
    let flags: Vec<_> = flags.concat();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    Gateway::with(&upstream.url, &flags, &[])
}

async fn until(stream: &mut TlsStream<TcpStream>, needle: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen);
        if text.contains(needle) {
            return text.into_owned();
        }
        let read = timeout(PATIENCE, stream.read_buf(&mut seen)).await;
        let read = read.expect("bytes in time").expect("reads");
        assert_ne!(read, 0, "ended after {:?}", String::from_utf8_lossy(&seen));
    }
}

async fn open(stream: &mut TlsStream<TcpStream>, upstream: &WireUpstream) -> (Wire, String) {
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\nAccept: text/event-stream\r\nX-Forwarded-Proto: http\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut server = upstream.accept().await;
    let head = server.head().await;
    server.send(STREAM).await;
    (server, head)
}

#[tokio::test]
async fn a_stream_goes_over_each_version_and_the_upstream_is_told() {
    let upstream = WireUpstream::bind().await;
    let authority = Authority::new("versions");
    let gateway = start(&upstream, &[&authority.issue("a", "a.example")]);
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = Client {
            version,
            ..authority.client()
        };
        let mut client = client
            .connect(&gateway, "a.example")
            .await
            .expect("shakes hands");
        assert_eq!(client.get_ref().1.protocol_version(), Some(expected));
        let (mut server, head) = open(&mut client, &upstream).await;
        assert_eq!(field(&head, "x-forwarded-proto"), ["https"]);
        for event in ["data: one\n\n", "data: two\n\n"] {
            server.send(event).await;
            until(&mut client, event).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_lost_to_a_slow_client() {
    let upstream = WireUpstream::bind().await;
    let authority = Authority::new("slow");
    let gateway = start(&upstream, &[&authority.issue("a", "a.example")]);
    let client = authority.client();
    let mut client = client
        .connect(&gateway, "a.example")
        .await
        .expect("shakes hands");
    let (mut server, _) = open(&mut client, &upstream).await;
    let sizes = [100, 70_000, 10, 300_000, 9_000, 1_000_000, 1];
    let sent: String = sizes
        .iter()
        .cycle()
        .take(35)
        .enumerate()
        .map(|(number, size)| format!("data: {}-{number}\n\n", "x".repeat(*size)))
        .collect();
    let sending = sent.clone();
    tokio::spawn(async move {
        server.send(sending).await;
        server.end().await;
    });
    // By then all buffers between are full.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let mut got = Vec::new();
    let mut piece = [0; 3_000];
    loop {
        let read = timeout(PATIENCE, client.read(&mut piece)).await;
        got.extend_from_slice(&piece[..read.expect("in time").expect("reads")]);
        if got.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    let events = decoded(&got);
    let data = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("data: "));
        lines.map(str::to_owned).collect()
    };
    assert!(data(&events) == data(&sent));
}

/// The body of a response in chunks.
fn decoded(response: &[u8]) -> String {
    let head = response
        .windows(4)
        .position(|at| at == b"\r\n\r\n")
        .expect("a head");
    let mut rest = &response[head + 4..];
    let mut body = Vec::new();
    loop {
        let line = rest
            .windows(2)
            .position(|at| at == b"\r\n")
            .expect("a size");
        let size = std::str::from_utf8(&rest[..line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            return String::from_utf8(body).expect("UTF-8");
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

#[tokio::test]
async fn an_end_is_told_and_a_cut_is_not() {
    let upstream = WireUpstream::bind().await;
    let authority = Authority::new("ends");
    let gateway = start(&upstream, &[&authority.issue("a", "a.example")]);
    for (body, is_whole) in [
        ("6\r\ndata: \r\n0\r\n\r\n", true),
        ("6\r\ndata: \r\n", false),
    ] {
        let client = authority.client();
        let mut client = client
            .connect(&gateway, "a.example")
            .await
            .expect("shakes hands");
        let request =
            "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n";
        client.write_all(request.as_bytes()).await.expect("writes");
        let mut server = upstream.accept().await;
        server.head().await;
        let head = STREAM.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
        server.send(format!("{head}{body}")).await;
        drop(server);
        let mut got = Vec::new();
        let ended = timeout(PATIENCE, client.read_to_end(&mut got))
            .await
            .expect("in time");
        let got = String::from_utf8_lossy(&got);
        assert_eq!(got.ends_with("0\r\n\r\n"), is_whole, "{got}");
        match is_whole {
            true => assert!(ended.is_ok(), "{ended:?}"),
            false => assert_eq!(ended.expect_err("a cut").kind(), ErrorKind::UnexpectedEof),
        }
    }
}

#[tokio::test]
async fn a_hundred_streams_share_a_connection_of_http_2() {
    let upstream = WireUpstream::bind().await;
    let authority = Authority::new("http2");
    let gateway = start(&upstream, &[&authority.issue("a", "a.example")]);
    let client = Client {
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        ..authority.client()
    };
    let stream = client
        .connect(&gateway, "a.example")
        .await
        .expect("shakes hands");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = crate::http2::over(stream).await;
    let mut streams = Vec::new();
    for number in 0..100 {
        let request = Request::get(format!("https://a.example/{number}"))
            .header("accept", "text/event-stream")
            .body(Empty::<Bytes>::new())
            .expect("a request");
        let response = client.send_request(request);
        let mut server = upstream.accept().await;
        let head = server.head().await;
        assert_eq!(field(&head, "x-forwarded-proto"), ["https"]);
        server.send(format!("{STREAM}data: {number}\n\n")).await;
        let body = response.await.expect("a response").into_body();
        streams.push((number, server, body));
    }
    for (number, _server, mut body) in streams {
        let expected = format!("data: {number}\n\n");
        let mut seen = String::new();
        while !seen.contains(&expected) {
            let frame = timeout(PATIENCE, body.frame()).await.expect("in time");
            let data = frame
                .expect("a frame")
                .expect("no error")
                .into_data()
                .expect("data");
            seen.push_str(std::str::from_utf8(&data).expect("UTF-8"));
        }
    }
}

#[tokio::test]
async fn a_certificate_is_chosen_by_the_name_that_is_asked_for() {
    let upstream = WireUpstream::bind().await;
    let authority = Authority::new("names");
    let pairs = [
        authority.issue("a", "a.example"),
        authority.issue("b", "*.b.example"),
    ];
    let gateway = start(&upstream, &[&pairs[0], &pairs[1]]);
    for host in ["a.example", "x.b.example"] {
        let connected = authority.client().connect(&gateway, host).await;
        connected.expect("it is for that name");
    }
    // Who asks for another gets the first.
    let connected = authority.client().connect(&gateway, "c.example").await;
    let error = connected.expect_err("it is for another name").to_string();
    assert!(error.contains("a.example"), "{error}");
}

#[tokio::test]
async fn certificates_change_and_streams_stay() {
    let upstream = WireUpstream::bind().await;
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let flags = old.issue("a", "a.example");
    let gateway = start(&upstream, &[&flags]);
    let [cert, key] = [&flags[1], &flags[3]].map(Path::new);
    let mut client = old
        .client()
        .connect(&gateway, "a.example")
        .await
        .expect("shakes hands");
    let (mut server, _) = open(&mut client, &upstream).await;

    let (certificate, its_key) = new.certify("a.example");
    fs::write(cert, certificate).expect("written");
    gateway.signal("-HUP");
    let log = gateway.log_with("certificates stay as they are");
    assert!(
        log.contains("is not the key of the certificate in"),
        "{log}"
    );
    old.client()
        .connect(&gateway, "a.example")
        .await
        .expect("as before");

    // As Kubernetes does it: another file in the same place.
    let other = old.path("other.key");
    fs::write(&other, its_key).expect("written");
    fs::rename(other, key).expect("renamed");
    gateway.signal("-HUP");
    gateway.log_with("certificates have changed");
    new.client()
        .connect(&gateway, "a.example")
        .await
        .expect("the new one");
    let connected = old.client().connect(&gateway, "a.example").await;
    connected.expect_err("the old one is gone");

    server.send("data: still here\n\n").await;
    until(&mut client, "data: still here\n\n").await;
}

#[tokio::test]
async fn files_that_change_are_read_without_a_word() {
    let upstream = WireUpstream::bind().await;
    let (old, new) = (Authority::new("watched"), Authority::new("next"));
    let flags = old.issue("a", "a.example");
    let gateway = start(&upstream, &[&flags]);
    let (certificate, key) = new.certify("a.example");
    fs::write(&flags[1], certificate).expect("written");
    fs::write(&flags[3], key).expect("written");
    gateway.log_with("certificates have changed");
    new.client()
        .connect(&gateway, "a.example")
        .await
        .expect("the new one");
}

#[tokio::test]
async fn who_does_not_speak_it_is_told_so() {
    let upstream = WireUpstream::bind().await;
    let authority = Authority::new("plain");
    let gateway = start(&upstream, &[&authority.issue("a", "a.example")]);
    let mut client = Wire::connect(gateway.address).await;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let got = client.rest().await;
    assert!(got.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{got}");
    assert!(
        got.ends_with("This port speaks HTTPS: ask https:// instead of http://.\n"),
        "{got}"
    );
    // What looks like a handshake and is none costs the connection alone.
    let mut client = Wire::connect(gateway.address).await;
    client.send([22, 3, 1, 0, 5, 9, 9, 9, 9, 9]).await;
    client.rest().await;
    authority
        .client()
        .connect(&gateway, "a.example")
        .await
        .expect("others go on");
}

#[tokio::test]
async fn clients_may_have_to_show_a_certificate() {
    let upstream = WireUpstream::bind().await;
    let (authority, stranger) = (Authority::new("clients"), Authority::new("stranger"));
    let ca = [
        "--tls-client-ca".to_owned(),
        authority.path("ca.pem").display().to_string(),
    ];
    let gateway = start(&upstream, &[&authority.issue("a", "a.example"), &ca]);
    let client = Client {
        identity: Some(authority.certify("client")),
        ..authority.client()
    };
    let mut client = client
        .connect(&gateway, "a.example")
        .await
        .expect("it is known");
    open(&mut client, &upstream).await;
    for identity in [None, Some(stranger.certify("client"))] {
        let client = Client {
            identity,
            ..authority.client()
        };
        // With TLS 1.3 a client hears of it behind its own handshake.
        let refused = match client.connect(&gateway, "a.example").await {
            Err(_) => true,
            Ok(mut client) => client.read_u8().await.is_err(),
        };
        assert!(refused);
    }
}
