//! Tokens that say who asks, and until when.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::gateway::{Gateway, PATIENCE};
use crate::wire::{Wire, WireUpstream, field};

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
const SECRET: &str = "a secret of more than thirty-two bytes";

/// A file, gone when the test is done.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gateway-jwt-{name}-{}", std::process::id()));
        fs::write(&path, text).expect("written");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn token(header: Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!(
        "{}.{}",
        encoded(header.to_string()),
        encoded(claims.to_string())
    );
    let signature = sign(message.as_bytes());
    format!("{message}.{}", encoded(signature))
}

fn by_secret(secret: &str, claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let sign = |message: &[u8]| hmac::sign(&key, message).as_ref().to_vec();
    token(json!({ "alg": "HS256", "typ": "JWT" }), claims, sign)
}

fn valid() -> Value {
    json!({ "sub": "alice", "exp": now() + 600 })
}

fn asking(fields: &str) -> String {
    format!("GET /s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n{fields}\r\n")
}

fn bearing(token: &str) -> String {
    asking(&format!("Authorization: Bearer {token}\r\n"))
}

async fn refused(gateway: &Gateway, request: &str) -> String {
    let mut client = Wire::connect(gateway.address).await;
    client
        .send(request.replacen("\r\n", "\r\nConnection: close\r\n", 1))
        .await;
    client.rest().await
}

async fn let_in(upstream: &WireUpstream, gateway: &Gateway, request: &str) -> (Wire, Wire, String) {
    let mut client = Wire::connect(gateway.address).await;
    client.send(request).await;
    let accepted = timeout(Duration::from_secs(5), upstream.accept()).await;
    let Ok(mut server) = accepted else {
        panic!("not let in: {}", client.head().await);
    };
    let head = server.head().await;
    server.send(STREAM).await;
    client.until("data: 1\n\n").await;
    (client, server, head)
}

#[tokio::test]
async fn who_has_no_right_token_is_refused_with_a_reason() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("secret", &format!("{SECRET}\n"));
    let flags = [
        "--jwt-keys",
        file.path(),
        "--jwt-issuer",
        "https://login.example/",
        "--jwt-audience",
        "a,b",
        "--jwt-claims",
        "scope=read,tier=7",
    ];
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    let right = json!({
        "sub": "alice", "iss": "https://login.example/", "aud": ["x", "b"], "scope": "write read", "tier": 7,
        "exp": now() + 600,
    });
    let (.., head) = let_in(&upstream, &gateway, &bearing(&by_secret(SECRET, &right))).await;
    assert!(field(&head, "authorization")[0].starts_with("Bearer "));
    let without = |change: Value| {
        let mut claims = right.clone();
        for (name, value) in change.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        by_secret(SECRET, &claims)
    };
    let none = token(json!({ "alg": "none" }), &right, |_| Vec::new());
    let mut unsigned = by_secret(SECRET, &right);
    unsigned.truncate(unsigned.rfind('.').expect("a dot") + 1);
    for (token, why) in [
        (
            by_secret("another secret of more than thirty-two", &right),
            "not signed by a key",
        ),
        (unsigned, "not signed by a key"),
        (none, "The token is none"),
        ("x.y.z".to_owned(), "The token is none"),
        (without(json!({ "exp": now() - 60 })), "has expired"),
        (without(json!({ "exp": "soon" })), "lacks a claim"),
        (without(json!({ "exp": null })), "lacks a claim"),
        (without(json!({ "nbf": now() + 600 })), "not valid yet"),
        (
            without(json!({ "iss": "https://evil.example/" })),
            "another issuer",
        ),
        (without(json!({ "iss": null })), "lacks a claim"),
        (without(json!({ "aud": "c" })), "another audience"),
        (without(json!({ "aud": null })), "lacks a claim"),
        (without(json!({ "scope": "reader" })), "lacks a claim"),
        (without(json!({ "tier": 8 })), "lacks a claim"),
    ] {
        let got = refused(&gateway, &bearing(&token)).await;
        assert!(
            got.starts_with("HTTP/1.1 401 ") && got.contains(why),
            "{why}: {got}"
        );
        assert_eq!(field(&got, "www-authenticate"), ["Bearer"]);
    }
    for fields in ["", "Authorization: Basic eDp5\r\n"] {
        let got = refused(&gateway, &asking(fields)).await;
        assert!(got.contains("There is no bearer token."), "{got}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("ends", SECRET);
    for share in ["off", "on"] {
        let flags = [
            "--jwt-keys",
            file.path(),
            "--jwt-leeway",
            "1s",
            "--token-param",
            "t",
            "--share",
            share,
        ];
        let gateway = Gateway::with(&upstream.url, &flags, &[]);
        let token = by_secret(SECRET, &json!({ "sub": share, "exp": now() + 2 }));
        let request = asking("").replace("/s", &format!("/s?t={token}"));
        let (mut client, _server, _) = let_in(&upstream, &gateway, &request).await;
        let rest = client.until("0\r\n\r\n").await;
        assert!(rest.contains(": closing: expired\n"), "{rest}");
        assert!(
            gateway
                .log_with("stream closed")
                .contains("reason=\"expired\"")
        );
        let got = refused(&gateway, &request).await;
        assert!(got.starts_with("HTTP/1.1 401 "), "{got}");
    }
}

#[tokio::test]
async fn an_answer_that_has_outlived_its_token_goes_on_for_who_renews_it() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("renewed", SECRET);
    let mut flags = vec!["--jwt-keys", file.path(), "--jwt-leeway", "1s"];
    flags.extend(["--jwt-fields", "x-user=sub", "--resume", "header:x-user"]);
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    let of =
        |user: &str, left: u64| by_secret(SECRET, &json!({ "sub": user, "exp": now() + left }));
    let post = |token: &str, fields: &str| {
        let get = asking(&format!(
            "Authorization: Bearer {token}\r\nContent-Length: 1\r\n{fields}"
        ));
        get.replacen("GET", "POST", 1) + "q"
    };
    let (mut client, mut server, _) = let_in(&upstream, &gateway, &post(&of("alice", 2), "")).await;
    server.send("data: 2\n\n").await;
    let event = client.until("data: 2\n\n").await;
    let id = event
        .lines()
        .find(|line| line.starts_with("id: "))
        .expect("an id");
    let id = format!("Last-Event-{}\r\n", id.replacen("id", "ID", 1));
    // An end with a last chunk would be that of the answer.
    let rest = client.rest().await;
    assert!(
        rest.contains(": closing: expired\n") && !rest.ends_with("0\r\n\r\n"),
        "{rest}"
    );
    server.send("data: 3\n\n").await;
    for (user, told) in [("mallory", ": closing: gap\n"), ("alice", "data: 3\n\n")] {
        let mut client = Wire::connect(gateway.address).await;
        client.send(post(&of(user, 600), &id)).await;
        let got = client.until(told).await;
        assert_eq!(got.contains("data: 3"), user == "alice", "{got}");
    }
}

#[tokio::test]
async fn a_web_socket_ends_with_its_token() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("socket", SECRET);
    let flags = ["--jwt-keys", file.path(), "--jwt-leeway", "1s"];
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    let token = by_secret(SECRET, &json!({ "sub": "a", "exp": now() + 2 }));
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let request = asking(&format!("Authorization: Bearer {token}\r\n{upgrade}"));
    let mut client = Wire::connect(gateway.address).await;
    client.send(request).await;
    let mut server = upstream.accept().await;
    server.head().await;
    let yes = format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\nhello");
    server.send(yes).await;
    client.until("hello").await;
    let ends = async { (client.rest().await, server.rest().await) };
    let ends = tokio::time::timeout(Duration::from_secs(30), ends).await;
    assert_eq!(ends.expect("it ends"), (String::new(), String::new()));
}

#[tokio::test]
async fn one_user_has_so_many_streams_whatever_its_tokens_are() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("limit", SECRET);
    let mut flags = vec!["--jwt-keys", file.path(), "--jwt-fields", "x-user=sub"];
    flags.extend([
        "--max-streams-per-field",
        "x-user=2",
        "--no-answer",
        "answer",
    ]);
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    let of = |user: &str, left: u64| {
        bearing(&by_secret(
            SECRET,
            &json!({ "sub": user, "exp": now() + left }),
        ))
    };
    let first = let_in(&upstream, &gateway, &of("alice", 500)).await;
    let second = let_in(&upstream, &gateway, &of("alice", 600)).await;
    let other = let_in(&upstream, &gateway, &of("bob", 600)).await;
    for request in [
        of("alice", 700),
        of("alice", 700).replace("\r\n\r\n", "\r\nX-User: bob\r\n\r\n"),
    ] {
        let got = refused(&gateway, &request).await;
        assert!(got.starts_with("HTTP/1.1 429 "), "{got}");
        assert_eq!(field(&got, "retry-after"), ["5"]);
    }
    drop(first);
    gateway.log_with("stream closed");
    let third = let_in(&upstream, &gateway, &of("alice", 800)).await;
    let got = refused(&gateway, &of("alice", 700)).await;
    assert!(got.starts_with("HTTP/1.1 429 "), "{got}");
    drop((second, other, third));
}

#[tokio::test]
async fn claims_go_upstream_as_fields_that_no_client_sets() {
    let upstream = WireUpstream::bind().await;
    let file = File::new("fields", SECRET);
    let flags = [
        "--jwt-keys",
        file.path(),
        "--jwt-fields",
        "x-user=sub,x-groups=groups,x-none=none",
    ];
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    let claims = json!({ "sub": "alice", "groups": ["a", 7, true], "exp": now() + 600 });
    let token = by_secret(SECRET, &claims);
    let fields = format!(
        "Authorization: Bearer {token}\r\nX-User: root\r\nX_User: root\r\nX-User: admin\r\nX-None: root\r\nX_GROUPS: root\r\n"
    );
    let (.., head) = let_in(&upstream, &gateway, &asking(&fields)).await;
    assert_eq!(field(&head, "x-user"), ["alice"]);
    assert_eq!(field(&head, "x-groups"), ["a,7,true"]);
    assert!(!head.contains("root"), "{head}");
    // Nor does it take them away as if they were of its connection.
    let fields = format!(
        "Authorization: Bearer {token}\r\nConnection: keep-alive, X-User, x-groups\r\nX-User: root\r\n"
    );
    let (.., head) = let_in(&upstream, &gateway, &asking(&fields)).await;
    assert_eq!(field(&head, "x-user"), ["alice"]);
    assert_eq!(field(&head, "x-groups"), ["a,7,true"]);
    // Nor in what comes behind its body, of which some servers make one with the head.
    let fields = format!(
        "Authorization: Bearer {token}\r\nTE: trailers\r\nTrailer: x-user, x-sum\r\nTransfer-Encoding: chunked\r\n"
    );
    let trailers = "x-user: root\r\nX_User: root\r\nx-forwarded-for: 6.6.6.6\r\nauthorization: Bearer x\r\nx-sum: 7\r\n";
    let request =
        asking(&fields).replacen("GET", "POST", 1) + "2\r\nab\r\n0\r\n" + trailers + "\r\n";
    let (_client, mut server, _) = let_in(&upstream, &gateway, &request).await;
    server.until("2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n").await;
    // A claim that no field can hold, or that would be read as another, is none.
    for (user, groups) in [("a\r\nX-Admin: 1", "a,admin"), ("alice ", " admin")] {
        let claims = json!({ "sub": user, "groups": [groups], "exp": now() + 600 });
        let (.., head) = let_in(&upstream, &gateway, &bearing(&by_secret(SECRET, &claims))).await;
        let fields = ["x-user", "x-groups"].map(|name| field(&head, name));
        assert!(
            fields.concat().is_empty() && !head.contains("X-Admin"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_key_set_is_read_again_when_a_token_names_another_key() {
    let upstream = WireUpstream::bind().await;
    let random = SystemRandom::new();
    let of = |_: &str| {
        let pair = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        Ed25519KeyPair::from_pkcs8(pair.as_ref()).expect("a key")
    };
    let (old, new) = (of("old"), of("new"));
    let set = |name: &str, pair: &Ed25519KeyPair| {
        json!({ "keys": [
            { "kty": "OKP", "crv": "X25519", "kid": "other", "x": encoded([0; 32]) },
            { "kty": "wonder", "kid": "unknown" },
            { "kty": "OKP", "crv": "Ed25519", "kid": name, "use": "sig", "x": encoded(pair.public_key()) },
        ] })
        .to_string()
    };
    let file = File::new("set", &set("old", &old));
    let gateway = Gateway::with(&upstream.url, &["--jwt-keys", file.path()], &[]);
    let by = |name: &str, pair: &Ed25519KeyPair| {
        token(
            json!({ "alg": "EdDSA", "kid": name }),
            &valid(),
            |message| pair.sign(message).as_ref().to_vec(),
        )
    };
    let_in(&upstream, &gateway, &bearing(&by("old", &old))).await;
    fs::write(file.path(), set("new", &new)).expect("written");
    let began = std::time::Instant::now();
    while refused(&gateway, &bearing(&by("wrong", &new)))
        .await
        .contains("HTTP/1.1 401")
    {
        // The file is read now and then, whatever tokens name.
        assert!(began.elapsed() < Duration::from_secs(1));
        if began.elapsed() > Duration::from_millis(300) {
            break;
        }
    }
    loop {
        let mut client = Wire::connect(gateway.address).await;
        client.send(bearing(&by("new", &new))).await;
        match timeout(Duration::from_millis(200), upstream.accept()).await {
            Ok(_) => break,
            Err(_) => assert!(
                began.elapsed() < crate::gateway::PATIENCE,
                "{}",
                client.head().await
            ),
        }
    }
    let got = refused(&gateway, &bearing(&by("old", &old))).await;
    assert!(got.starts_with("HTTP/1.1 401 "), "{got}");
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let upstream = WireUpstream::bind().await;
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
    // SubjectPublicKeyInfo of P-256 (RFC 5480).
    let mut der = vec![
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    der.extend_from_slice(pair.public_key().as_ref());
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        BASE64_STANDARD.encode(der)
    );
    let file = File::new("pem", &pem);
    let gateway = Gateway::with(&upstream.url, &["--jwt-keys", file.path()], &[]);
    let sign = |message: &[u8]| {
        pair.sign(&random, message)
            .expect("signs")
            .as_ref()
            .to_vec()
    };
    let right = token(json!({ "alg": "ES256" }), &valid(), sign);
    let_in(&upstream, &gateway, &bearing(&right)).await;
    let got = refused(&gateway, &bearing(&by_secret(&pem, &valid()))).await;
    assert!(got.starts_with("HTTP/1.1 401 "), "{got}");
}

/// Answers who asks for keys with what there is.
struct Published {
    server: WireUpstream,
}

impl Published {
    async fn bind() -> Self {
        let server = WireUpstream::bind().await;
        Published { server }
    }

    fn url(&self) -> String {
        format!("{}/keys.json?v=1", self.server.url)
    }

    async fn answer(&self, status: &str, body: &str) {
        let mut asked = timeout(PATIENCE, self.server.accept())
            .await
            .expect("asked");
        let head = asked.head().await;
        assert!(
            head.starts_with("GET /keys.json?v=1 HTTP/1.1\r\n"),
            "{head}"
        );
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        asked.send_if_open(answer).await;
        asked.end().await;
    }

    async fn is_quiet(&self) {
        let asked = timeout(Duration::from_millis(300), self.server.accept()).await;
        assert!(asked.is_err(), "asked");
    }
}

fn ed25519() -> Ed25519KeyPair {
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    Ed25519KeyPair::from_pkcs8(pair.as_ref()).expect("a key")
}

fn set_of(name: &str, pair: &Ed25519KeyPair) -> String {
    let x = encoded(pair.public_key());
    json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": name, "x": x }] }).to_string()
}

fn by(name: &str, pair: &Ed25519KeyPair) -> String {
    let sign = |message: &[u8]| pair.sign(message).as_ref().to_vec();
    bearing(&token(
        json!({ "alg": "EdDSA", "kid": name }),
        &valid(),
        sign,
    ))
}

#[tokio::test]
async fn keys_that_are_published_are_fetched_and_again_when_a_token_names_another() {
    let (upstream, published) = (WireUpstream::bind().await, Published::bind().await);
    let (old, new) = (ed25519(), ed25519());
    let flags = [
        "--jwt-keys",
        &*published.url(),
        "--jwt-fields",
        "x-user=sub",
    ];
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    published.answer("200 OK", &set_of("old", &old)).await;
    for _ in 0..2 {
        let (.., head) = let_in(&upstream, &gateway, &by("old", &old)).await;
        assert_eq!(field(&head, "x-user"), ["alice"]);
    }
    published.is_quiet().await;
    // Whoever comes with the new key waits, and one fetches.
    let (new_set, request) = (set_of("new", &new), by("new", &new));
    let both = (
        let_in(&upstream, &gateway, &request),
        let_in(&upstream, &gateway, &request),
        published.answer("200 OK", &new_set),
    );
    tokio::join!(both.0, both.1, both.2);
    let stranger = by("stranger", &ed25519());
    for request in [&stranger, &by("old", &old), &stranger] {
        let got = refused(&gateway, request).await;
        assert!(got.starts_with("HTTP/1.1 401 "), "{got}");
        assert_eq!(field(&got, "www-authenticate"), ["Bearer"]);
    }
    published.is_quiet().await;
}

#[tokio::test]
async fn without_keys_nobody_is_let_in_and_an_event_source_comes_back() {
    let (upstream, published) = (WireUpstream::bind().await, Published::bind().await);
    let pair = ed25519();
    let gateway = Gateway::with(&upstream.url, &["--jwt-keys", &*published.url()], &[]);
    let secret = json!({ "keys": [{ "kty": "oct", "k": encoded(SECRET) }] }).to_string();
    published.answer("503 Service Unavailable", "").await;
    let page = "<html>a page that is long enough to be a secret</html>";
    for (status, body) in [
        ("200 OK", page),
        ("200 OK", "{}"),
        ("200 OK", &secret),
        ("404 Not Found", ""),
    ] {
        // They are asked for once a second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
        let (got, ()) = tokio::join!(refused(&gateway, post), published.answer(status, body));
        assert!(got.starts_with("HTTP/1.1 503 "), "{got}");
        assert_eq!(field(&got, "retry-after"), ["5"]);
    }
    // So nobody asks for this one.
    assert_eq!(refused(&gateway, &by("key", &pair)).await, "");
    published.is_quiet().await;
    gateway.log_with("the answer is 503 Service Unavailable");
    let mut client = Wire::connect(gateway.address).await;
    client.send(by("key", &pair)).await;
    published.answer("200 OK", &set_of("key", &pair)).await;
    upstream.accept().await;
}
