//! Another service decides who may read.

use std::time::Duration;

use tokio::time::timeout;

use crate::gateway::{Gateway, PATIENCE, refusal_with};
use crate::wire::{Wire, WireUpstream, field};

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
const YES: &str = "HTTP/1.1 204 No Content\r\n\r\n";

struct Both {
    upstream: WireUpstream,
    service: WireUpstream,
    gateway: Gateway,
}

impl Both {
    async fn start(flags: &[&str]) -> Self {
        let (upstream, service) = (WireUpstream::bind().await, WireUpstream::bind().await);
        let url = format!("{}/check?by=sse", service.url);
        let flags = [&["--forward-auth-url", &*url][..], flags].concat();
        let gateway = Gateway::with(&upstream.url, &flags, &[]);
        Both {
            upstream,
            service,
            gateway,
        }
    }

    async fn ask(&self, target: &str, fields: &str) -> Wire {
        let mut client = Wire::connect(self.gateway.address).await;
        let accept = "Accept: text/event-stream\r\n";
        client
            .send(format!(
                "GET {target} HTTP/1.1\r\nHost: app.example\r\n{accept}{fields}\r\n"
            ))
            .await;
        client
    }

    /// The question, answered with this.
    async fn decide(&self, answer: &str) -> String {
        let mut asked = self.service.accept().await;
        let question = asked.head().await;
        asked.send(answer).await;
        asked.end().await;
        question
    }

    /// What the upstream is asked, and the client given.
    async fn let_in(&self, client: &mut Wire) -> String {
        let mut server = self.upstream.accept().await;
        let head = server.head().await;
        server.send(STREAM).await;
        client.until("data: 1").await;
        head
    }

    /// Nobody is asked.
    async fn is_quiet(of: &WireUpstream) {
        let asked = timeout(Duration::from_millis(300), of.accept()).await;
        assert!(asked.is_err(), "asked");
    }
}

#[tokio::test]
async fn a_request_is_told_to_the_service_and_its_fields_go_upstream() {
    let flags = ["--forward-auth-fields", "X-User,X-Groups,X-Forwarded-User"];
    let both = Both::start(&flags).await;
    let fields = "Authorization: Bearer t\r\nConnection: X-User, X-Groups\r\nX-Forwarded-User: root\r\nCookie: a=1\r\nX-User: root\r\nX_User: root\r\nX-Api-Key: k\r\n\
                  X-Forwarded-Uri: /other\r\nX-Forwarded-Method: HEAD\r\nX-Forwarded-For: 6.6.6.6\r\n";
    let mut client = both.ask("/events?room=1", fields).await;
    let yes = "HTTP/1.1 200 OK\r\nX-User: ann\r\nX-Forwarded-User: ann\r\nX-Other: no\r\nX-Groups: a\r\nX-Groups: b\r\nContent-Length: 3\r\n\r\nyes";
    let question = both.decide(yes).await;
    assert!(
        question.starts_with("GET /check?by=sse HTTP/1.1\r\n"),
        "{question}"
    );
    for (name, values) in [
        ("host", vec![both.service.url.trim_start_matches("http://")]),
        ("authorization", vec!["Bearer t"]),
        ("cookie", vec!["a=1"]),
        ("x-forwarded-method", vec!["GET"]),
        ("x-forwarded-uri", vec!["/events?room=1"]),
        ("x-forwarded-host", vec!["app.example"]),
        ("x-forwarded-proto", vec!["http"]),
        ("x-forwarded-for", vec!["127.0.0.1"]),
        ("x-api-key", vec![]),
        ("x-user", vec![]),
        ("accept", vec![]),
    ] {
        assert_eq!(field(&question, name), values, "{name}: {question}");
    }
    let head = both.let_in(&mut client).await;
    assert_eq!(field(&head, "x-user"), ["ann"], "{head}");
    assert!(!head.to_lowercase().contains("x_user"), "{head}");
    assert_eq!(field(&head, "x-groups"), ["a", "b"]);
    assert_eq!(field(&head, "x-forwarded-user"), ["ann"]);
    assert_eq!(field(&head, "x-other"), Vec::<&str>::new());
    assert_eq!(field(&head, "authorization"), ["Bearer t"]);
}

#[tokio::test]
async fn the_service_may_change_credentials_and_be_sent_more() {
    let flags = [
        "--forward-auth-fields",
        "Authorization",
        "--forward-auth-asks",
        "X-Api-Key",
    ];
    let both = Both::start(&flags).await;
    let fields = "Authorization: Bearer public\r\nX-Api-Key: k\r\n";
    let mut client = both.ask("/", fields).await;
    let question = both
        .decide("HTTP/1.1 200 OK\r\nAuthorization: Bearer inner\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(field(&question, "authorization"), ["Bearer public"]);
    assert_eq!(field(&question, "x-api-key"), ["k"]);
    let head = both.let_in(&mut client).await;
    assert_eq!(field(&head, "authorization"), ["Bearer inner"]);
    // Where it gives none, nobody's goes on.
    let mut client = both.ask("/", fields).await;
    both.decide(YES).await;
    let head = both.let_in(&mut client).await;
    assert_eq!(field(&head, "authorization"), Vec::<&str>::new());
}

#[tokio::test]
async fn a_refusal_is_the_services_own() {
    let both = Both::start(&[]).await;
    for (answer, status, name, value, body) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"x\"\r\nX-Inner: 1\r\nContent-Length: 3\r\n\r\nwho",
            "401",
            "www-authenticate",
            "Bearer realm=\"x\"",
            "who",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            "403",
            "content-type",
            "application/json",
            "{}",
        ),
        (
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
            "429",
            "retry-after",
            "7",
            "",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n",
            "302",
            "location",
            "https://login.example/",
            "",
        ),
    ] {
        let mut client = both.ask("/", "Connection: close\r\n").await;
        both.decide(answer).await;
        let got = client.rest().await;
        assert_eq!(&got[9..12], status, "{got}");
        assert_eq!(field(&got, name), [value], "{got}");
        assert_eq!(field(&got, "x-inner"), Vec::<&str>::new());
        assert!(got.ends_with(&format!("\r\n\r\n{body}")), "{got}");
    }
    Both::is_quiet(&both.upstream).await;
}

#[tokio::test]
async fn where_nobody_decides_nobody_is_let_in_and_an_event_source_comes_back() {
    let both = Both::start(&["--forward-auth-timeout", "300ms"]).await;
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 508 Loop Detected\r\nContent-Length: 0\r\n\r\n",
        "nonsense\r\n\r\n",
        "",
    ] {
        let mut client = both.ask("/", "").await;
        both.decide(answer).await;
        assert_eq!(client.rest().await, "", "{answer}");
    }
    both.gateway.log_with("nobody decides who may read");
    // It does not answer at all.
    let mut client = both.ask("/", "").await;
    let _held = both.service.accept().await;
    assert_eq!(client.rest().await, "");
    let mut post = Wire::connect(both.gateway.address).await;
    let request = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    post.send(request).await;
    both.decide("").await;
    let got = post.rest().await;
    assert!(got.starts_with("HTTP/1.1 503"), "{got}");
    assert_eq!(field(&got, "retry-after"), ["5"]);
    Both::is_quiet(&both.upstream).await;
}

#[tokio::test]
async fn an_answer_holds_for_the_same_question_by_the_same_client_alone() {
    let both = Both::start(&["--forward-auth-cache", "1h"]).await;
    let ann = "Authorization: Bearer ann\r\n";
    let mut client = both.ask("/a", ann).await;
    both.decide(YES).await;
    both.let_in(&mut client).await;
    let mut again = both.ask("/a", ann).await;
    both.let_in(&mut again).await;
    Both::is_quiet(&both.service).await;
    for (target, fields) in [
        ("/a", ""),
        ("/a", "Authorization: Bearer bob\r\n"),
        ("/b", ann),
        ("/a?x", ann),
        ("/a", "Authorization: Bearer ann\r\nCookie: s=1\r\n"),
        (
            "/a",
            "Authorization: Bearer ann\r\nOrigin: http://app.example\r\n",
        ),
    ] {
        let mut client = both.ask(target, fields).await;
        let question = both
            .decide("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert_eq!(field(&question, "x-forwarded-uri"), [target]);
        assert!(client.head().await.starts_with("HTTP/1.1 403"), "{target}");
    }
    // Those who were refused are asked for again.
    let mut client = both.ask("/a", "").await;
    both.decide(YES).await;
    both.let_in(&mut client).await;
}

#[tokio::test]
async fn of_those_who_come_at_once_with_the_same_one_asks() {
    let both = Both::start(&["--share", "on"]).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(both.ask("/a", "Authorization: Bearer ann\r\n").await);
    }
    let mut asked = both.service.accept().await;
    asked.head().await;
    // All of them are there by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    asked.send(YES).await;
    let mut server = both.upstream.accept().await;
    server.head().await;
    let (head, event) = STREAM.split_at(STREAM.len() - "data: 1\n\n".len());
    server.send(head).await;
    // Who joins later is not given what was before.
    for client in &mut clients {
        client.head().await;
    }
    server.send(event).await;
    for client in &mut clients {
        client.until("data: 1").await;
    }
    Both::is_quiet(&both.service).await;
}

#[tokio::test]
async fn a_cookie_that_the_service_sets_is_for_nobody_else() {
    let both = Both::start(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(both.ask("/", "Connection: close\r\n").await);
    }
    // Those who have waited for the first answer ask for themselves.
    for session in 1..=3 {
        both.decide(&format!(
            "HTTP/1.1 401 Unauthorized\r\nSet-Cookie: session={session}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
    }
    let mut cookies = Vec::new();
    for client in &mut clients {
        let got = client.rest().await;
        cookies.extend(field(&got, "set-cookie").into_iter().map(str::to_owned));
    }
    cookies.sort();
    assert_eq!(cookies, ["session=1", "session=2", "session=3"]);
}

#[tokio::test]
async fn a_spelling_of_the_path_does_not_get_around_the_service() {
    let (upstream, service) = (WireUpstream::bind().await, WireUpstream::bind().await);
    let file = std::env::temp_dir().join(format!("gateway-auth-{}.toml", std::process::id()));
    let url = &service.url;
    let text = format!(
        "upstream = {:?}\n[[route]]\npath = '/private'\n[route.forward_auth]\nurl = {url:?}\n",
        upstream.url
    );
    std::fs::write(&file, text).expect("written");
    let path = file.display().to_string();
    let gateway = Gateway::with(&upstream.url, &["--config", &path], &[]);
    std::fs::remove_file(&file).expect("removed");
    for target in ["/%70rivate", "//private", "/x/../private", "/private;x"] {
        let mut client = Wire::connect(gateway.address).await;
        client
            .send(format!(
                "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            ))
            .await;
        let got = timeout(PATIENCE, client.rest()).await.expect("in time");
        assert!(got.starts_with("HTTP/1.1 400"), "{target} {got}");
    }
    Both::is_quiet(&upstream).await;
}

#[tokio::test]
async fn a_url_or_field_that_cannot_be_one_is_refused_at_the_start() {
    for (flag, value, why) in [
        (
            "--forward-auth-url",
            "auth:9000/check",
            "has no known scheme",
        ),
        (
            "--forward-auth-url",
            "http://auth:9000/check#x",
            "is not the URL of a service",
        ),
        (
            "--forward-auth-url",
            "unix:/run/auth.sock",
            "is not the URL of a service; use one such as http://auth:9000/check",
        ),
        (
            "--forward-auth-fields",
            "X-User,Host",
            "\"Host\" is not a field that can be given",
        ),
        (
            "--forward-auth-asks",
            "X-Forwarded-For",
            "\"X-Forwarded-For\" is not a field that can be given",
        ),
    ] {
        let flags = [flag, value].map(str::to_owned);
        let said = refusal_with("http://127.0.0.1:1", &flags);
        assert!(said.contains(why), "{said}");
    }
}
