//! A store to which TLS is spoken, and which wants to see certificates.

use std::error::Error as _;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tower_sse::store::{RedisOptions, RedisStore, StoreError};

use crate::client::Client;
use crate::cluster::{self, Cluster};
use crate::node::{Node, SECRET};
use crate::says::answering;
use crate::sentinel::Fleet;
use crate::server::{LOGIN, Server};
use crate::upstream::Upstream;

/// What has the same name as who signs it seems to be signed by itself.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A certificate, and its key.
type Pair = (String, String);

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn signs(&self, name: &str) -> Pair {
        let params = named(name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Has a server of this name show a certificate, and want one, from its next start on. The options that say so.
    pub(crate) fn guard(&self, server: &mut Server, name: &str) -> Vec<[String; 2]> {
        let (certificate, key) = self.signs(name);
        let files = [("ca", self.pem()), ("cert", certificate), ("key", key)];
        for (name, text) in files {
            std::fs::write(server.file(name), text).unwrap();
        }
        let file = |name: &str| server.file(name).display().to_string();
        let options = [
            ("tls-cert-file", file("cert")),
            ("tls-key-file", file("key")),
            ("tls-ca-cert-file", file("ca")),
            ("tls-auth-clients", "yes".to_owned()),
        ];
        for (option, value) in &options {
            server.add(option, value);
        }
        options
            .map(|(option, value)| [option.to_owned(), value])
            .into()
    }

    /// How a node talks to such a server.
    pub(crate) fn options(&self) -> RedisOptions {
        options(self, self.signs("node"))
    }
}

struct Tls {
    server: Server,
    port: u16,
}

impl Tls {
    fn start(authority: &Authority, name: &str) -> Self {
        let mut server = Server::start();
        authority.guard(&mut server, name);
        let port = server.listen("tls-port");
        Tls { server, port }
    }

    fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}{LOGIN}", self.port).replace('?', "/?")
    }
}

fn options(authority: &Authority, (certificate, key): Pair) -> RedisOptions {
    let options = RedisStore::options().with_ca(authority.pem());
    options.with_client_certificate(certificate, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_streams_over_tls_with_certificates_of_both_sides() {
    let authority = Authority::new("one");
    let tls = Tls::start(&authority, "127.0.0.1");
    let upstream = Upstream::begin();
    let nodes = [(); 2].map(|()| {
        let options = authority.options();
        Node::start_at(tls.url(), options, &upstream, &SECRET)
    });
    let mut client = Client::new(0);
    for node in nodes.iter().chain(&nodes) {
        client.read(node.address(), 20).await;
    }
    assert_eq!(client.gaps, 0, "{:#?}", client.log);
    crate::assert_one_upstream(&upstream, &nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_are_asked_over_tls_and_so_is_the_replica_that_takes_the_place_of_the_primary() {
    let authority = Authority::new("one");
    let listen = |server: &mut Server| {
        server.add("tls-replication", "yes");
        let guard = authority.guard(server, "127.0.0.1");
        let lines = guard.iter().map(|line| line.join(" ") + "\n");
        let lines = lines.chain(["tls-replication yes\n".to_owned()]).collect();
        (server.listen("tls-port"), Some(lines))
    };
    let mut fleet = Fleet::start_as(listen).await;
    let upstream = Upstream::begin();
    let nodes =
        [(); 2].map(|()| Node::start_at(fleet.url(), authority.options(), &upstream, &SECRET));
    let mut client = Client::new(0);
    for node in &nodes {
        client.read(node.address(), 20).await;
    }
    fleet.servers[0].0.kill();
    for node in &nodes {
        client.read(node.address(), 100).await;
    }
    fleet.servers[1].0.wait_for("role:master").await;
    assert_eq!(client.gaps, 0, "{:#?}", client.log);
    crate::assert_one_upstream(&upstream, &nodes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_cluster_are_found_over_tls_by_the_names_that_they_announce() {
    let authority = Authority::new("one");
    let mut cluster = Cluster::start_as(|server| {
        // Nothing else is in their certificates.
        authority.guard(server, "localhost");
        server.add("cluster-announce-hostname", "localhost");
        server.add("tls-cluster", "yes");
        server.add("tls-replication", "yes");
        server.listen("tls-port")
    })
    .await;
    let url = cluster.url().replace("redis+", "rediss+");
    let url = url.replace("127.0.0.1", "localhost");
    let upstream = Upstream::begin();
    let nodes =
        [(); 2].map(|()| Node::start_at(url.clone(), authority.options(), &upstream, &SECRET));
    let mut clients = cluster::clients();
    cluster::hop(&mut clients, &nodes, 20).await;
    cluster.servers[0].kill();
    cluster::hop(&mut clients, &nodes, 100).await;
    cluster::assert_nothing_is_missing(&clients, &nodes);
    crate::assert_one_upstream(&upstream, &nodes);
}

#[tokio::test]
async fn what_is_wrong_with_certificates_is_said() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let tls = Tls::start(&authority, "127.0.0.1");
    let connect = async |options: RedisOptions| {
        let connected = options.connect(&tls.url(), SECRET).await;
        told(&connected.map(drop).unwrap_err())
    };
    let unknown = connect(options(&other, authority.signs("node"))).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let refused = connect(options(&authority, other.signs("node"))).await;
    assert!(refused.contains("ours"), "{refused}");
    let none = connect(RedisStore::options().with_ca(authority.pem())).await;
    assert!(none.contains("CertificateRequired"), "{none}");
    let (certificate, _) = authority.signs("node");
    let (_, key) = authority.signs("node");
    let mixed = connect(options(&authority, (certificate, key))).await;
    assert!(mixed.contains("key"), "{mixed}");
    let no_pem = connect(RedisStore::options().with_ca("no certificate")).await;
    assert!(no_pem.contains("none is there to be trusted"), "{no_pem}");

    let plain = tls.url().replace("rediss:", "redis:");
    let plain = RedisStore::connect(&plain, SECRET).await.map(drop);
    let plain = plain.unwrap_err().source().unwrap().to_string();
    assert!(plain.contains("rediss://"), "{plain}");

    let elsewhere = Tls::start(&authority, "elsewhere");
    let options = options(&authority, authority.signs("node"));
    let connected = options.connect(&elsewhere.url(), SECRET).await;
    let wrong = told(&connected.map(drop).unwrap_err());
    assert!(wrong.contains("127.0.0.1"), "{wrong}");
    drop(elsewhere.server);
}

#[tokio::test]
async fn a_server_without_tls_says_so() {
    let mut server = Server::start();
    let port = server.listen("port");
    for (address, may_pass) in [
        (format!("127.0.0.1:{port}"), true),
        (answering("HTTP/1.1 400 Bad Request\r\n\r\n").await, false),
    ] {
        let url = format!("rediss://{address}");
        let authority = Authority::new("one");
        let connected = RedisStore::options()
            .with_ca(authority.pem())
            .connect(&url, SECRET)
            .await;
        let error = connected.map(drop).unwrap_err();
        let told = format!("{error}: {:?}", error.source().map(ToString::to_string));
        assert!(told.contains("redis://"), "{told}");
        assert_eq!(error.is_away(), may_pass, "{told}");
    }
}

/// And that it does not seem as if the store might come later.
fn told(error: &StoreError) -> String {
    let told = format!("{error}: {}", error.source().unwrap());
    assert!(!error.is_away(), "{told}");
    told
}
