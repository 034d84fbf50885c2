//! Upstreams over TLS: whom they have to prove to be, and what is said of one that does not.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::gateway::Gateway;
use crate::support::admin::{admin, admin_until};
use crate::wire::get;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// An authority, and a folder for what it gives.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key, as PEM.
type Pair = (String, String);

impl Authority {
    fn new(name: &str) -> Self {
        Self::called(name, name)
    }

    fn called(called: &str, name: &str) -> Self {
        let folder = format!("gateway-upstream-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, called);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let issuer = issuer.expect("a certificate");
        Authority { issuer, folder }
    }

    fn issue(&self, host: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn self_signed(host: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
    let mut params = CertificateParams::new([host.to_owned()]).expect("a name");
    change(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

/// Answers all with `yes`.
struct Upstream {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Upstream {
    async fn with(pair: &Pair) -> Self {
        Self::asking(pair, None).await
    }

    /// The same to those who show a certificate by this authority.
    async fn asking(pair: &Pair, clients: Option<&Authority>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).expect("added");
                let roots = Arc::new(roots);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let (certificate, key) = pair;
        let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let config = builder.with_single_cert(vec![chain], key).expect("a pair");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read_buf(&mut request).await {
                            Ok(1..) => {}
                            _ => return,
                        }
                    }
                    let _ = stream.write_all(ANSWER).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Upstream { address, serving }
    }

    /// By a name that all machines know.
    fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn gateway(&self, flags: &[&str]) -> Gateway {
        Gateway::with_admin(&self.url(), flags)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[track_caller]
fn is_yes(answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("yes"), "{answer}");
}

async fn refuses(gateway: &Gateway, why: &str) {
    let answer = get(gateway.address, "/").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    // Clients are not told what the gateway trusts.
    assert!(!answer.contains("--upstream"), "{answer}");
    let log = gateway.log_with(why);
    assert!(log.contains("reason=\"tls\""), "{log}");
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_by_its_file_and_no_other_is() {
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let upstream = Upstream::with(&own.issue("localhost", |_| {})).await;
    let [trusted, foreign] = [&own, &other].map(|of| of.file("ca.pem", &of.issuer.pem()));
    is_yes(&get(upstream.gateway(&["--upstream-ca", &trusted]).address, "/").await);
    const NOT_TRUSTED: &str = "its certificate is self-signed, or by an authority that is not trusted here: give that one with --upstream-ca FILE";
    refuses(&upstream.gateway(&[]), NOT_TRUSTED).await;
    let gateway = upstream.gateway(&["--upstream-ca", &foreign]);
    refuses(&gateway, NOT_TRUSTED).await;
    let successor = Authority::called("own", "successor");
    let of_the_same_name = successor.file("ca.pem", &successor.issuer.pem());
    let gateway = upstream.gateway(&["--upstream-ca", &of_the_same_name]);
    refuses(
        &gateway,
        "by another authority that has the name of one that is trusted",
    )
    .await;
}

#[tokio::test]
async fn a_certificate_that_signs_itself_is_trusted_by_its_file_and_for_its_name() {
    let folder = Authority::new("itself");
    let as_authority =
        |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let as_server = |_: &mut CertificateParams| {};
    let changes: [&dyn Fn(&mut CertificateParams); 2] = [&as_authority, &as_server];
    for change in changes {
        let pair = self_signed("localhost", change);
        let file = folder.file("itself.pem", &pair.0);
        let upstream = Upstream::with(&pair).await;
        is_yes(&get(upstream.gateway(&["--upstream-ca", &file]).address, "/").await);
        refuses(&upstream.gateway(&[]), "give").await;

        let pair = self_signed("app.internal", change);
        let file = folder.file("named.pem", &pair.0);
        let upstream = Upstream::with(&pair).await;
        let gateway = upstream.gateway(&["--upstream-ca", &file]);
        refuses(&gateway, "its certificate is for another name").await;
        let flags = ["--upstream-ca", &file, "--upstream-name", "app.internal"];
        is_yes(&get(upstream.gateway(&flags).address, "/").await);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_in_words() {
    let own = Authority::new("wrong");
    let ca = own.file("ca.pem", &own.issuer.pem());
    let old = own.issue("localhost", |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = own.issue("localhost", |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    for (pair, why) in [
        (old, "its certificate has expired: renew it there"),
        (
            early,
            "its certificate is not valid yet: look at the clocks",
        ),
    ] {
        let upstream = Upstream::with(&pair).await;
        refuses(&upstream.gateway(&["--upstream-ca", &ca]), why).await;
        // Also where it is trusted itself.
        let file = own.file("itself.pem", &pair.0);
        refuses(&upstream.gateway(&["--upstream-ca", &file]), why).await;
        is_yes(
            &get(
                upstream.gateway(&["--upstream-insecure", "on"]).address,
                "/",
            )
            .await,
        );
    }
    let plain = crate::wire::WireUpstream::bind().await;
    let url = plain.url.replace("http://", "https://");
    let answers = tokio::spawn(async move {
        let mut server = plain.accept().await;
        server.read_some().await;
        server
            .send_if_open("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .await;
    });
    let gateway = Gateway::with(&url, &["--upstream-ca", &ca], &[]);
    refuses(&gateway, "it does not speak TLS: use http:// for it").await;
    answers.await.expect("an answer");
}

#[tokio::test]
async fn an_upstream_may_ask_for_a_certificate_of_the_gateway() {
    let own = Authority::new("mutual");
    let ca = own.file("ca.pem", &own.issuer.pem());
    let pair = own.issue("localhost", |_| {});
    let upstream = Upstream::asking(&pair, Some(&own)).await;
    let (certificate, key) = own.issue("gateway.internal", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let (certificate, key) = (own.file("g.pem", &certificate), own.file("g.key", &key));
    let shown = ["--upstream-cert", &certificate, "--upstream-key", &key];
    let flags = [&["--upstream-ca", &*ca][..], &shown].concat();
    is_yes(&get(upstream.gateway(&flags).address, "/").await);
    let without = upstream.gateway(&["--upstream-ca", &ca]);
    let answer = get(without.address, "/").await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    without.log_with("it wants a certificate of its clients");
}

#[tokio::test]
async fn who_takes_any_certificate_is_warned() {
    let upstream = Upstream::with(&self_signed("nobody.example", |_| {})).await;
    let gateway = upstream.gateway(&["--upstream-insecure", "on"]);
    is_yes(&get(gateway.address, "/").await);
    gateway.log_with("upstream_insecure is on: whoever is in between can read and change");
}

#[tokio::test]
async fn readiness_asks_for_the_upstream_where_it_is_told_to() {
    let own = Authority::new("ready");
    let ca = own.file("ca.pem", &own.issuer.pem());
    let upstream = Upstream::with(&own.issue("localhost", |_| {})).await;
    let flags = ["--ready-upstream", "on", "--upstream-ca", &ca];
    let asks = upstream.gateway(&flags);
    assert_eq!(admin(&asks, "/readyz").await, "ready\n");
    let wary = upstream.gateway(&["--ready-upstream", "on"]);
    let answer = admin(&wary, "/readyz").await;
    assert!(
        answer.contains(&format!("upstream {}: ", upstream.url())),
        "{answer}"
    );
    assert!(answer.contains("--upstream-ca"), "{answer}");
    let careless = upstream.gateway(&[]);
    drop(upstream);
    assert_eq!(admin(&careless, "/readyz").await, "ready\n");
    // An answer holds for a second.
    admin_until(&asks, "/readyz", |answer| answer.contains("refused")).await;
    let answer = get(asks.admin.expect("an admin listener"), "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}
