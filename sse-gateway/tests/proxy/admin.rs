//! The admin listener answers programs, and no web page of another site.

use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};

use crate::gateway::Gateway;
use crate::http2;
use crate::support::admin::metric;
use crate::wire::{Wire, WireUpstream, field};

async fn ask(gateway: &Gateway, line: &str, fields: &str) -> String {
    let mut client = Wire::connect(gateway.admin.expect("an admin listener")).await;
    client
        .send(format!("{line}\r\n{fields}Connection: close\r\n\r\n"))
        .await;
    client.rest().await
}

async fn status(gateway: &Gateway, line: &str, fields: &str) -> String {
    let got = ask(gateway, line, fields).await;
    got.get(9..12).expect("a status").to_owned()
}

/// What a page of another site sends, and what one sends that is reached by a name that points to us.
const FOREIGN: [&str; 9] = [
    "Host: 127.0.0.1:9078\r\nOrigin: http://evil.example\r\n",
    "Host: 127.0.0.1:9078\r\nOrigin: null\r\n",
    "Host: 127.0.0.1:9078\r\nOrigin: http://127.0.0.1:8080\r\n",
    "Host: 127.0.0.1:9078\r\nSec-Fetch-Site: cross-site\r\n",
    "Host: 127.0.0.1:9078\r\nSec-Fetch-Site: same-site\r\n",
    "Host: evil.example:9078\r\n",
    "Host: evil.example:9078\r\nOrigin: http://evil.example:9078\r\nSec-Fetch-Site: same-origin\r\n",
    "Host: LOCALHOST.evil.example.\r\n",
    "Host: [::1].evil.example\r\n",
];

#[tokio::test]
async fn no_web_page_of_another_site_drains_or_reads() {
    let upstream = WireUpstream::bind().await;
    let mut gateway = Gateway::with_admin(&upstream.url, &[]);
    for fields in FOREIGN {
        for line in [
            "POST /drain HTTP/1.1",
            "GET /streams HTTP/1.1",
            "GET /metrics HTTP/1.1",
            "HEAD /metrics HTTP/1.1",
            "GET / HTTP/1.1",
        ] {
            assert_eq!(
                status(&gateway, line, fields).await,
                "403",
                "{line} {fields}"
            );
        }
        assert_eq!(
            status(&gateway, "GET /readyz HTTP/1.1", fields).await,
            "200"
        );
        assert_eq!(
            status(&gateway, "GET /healthz HTTP/1.1", fields).await,
            "200"
        );
    }
    let own = "Host: 127.0.0.1\r\n";
    let absolute = "POST http://evil.example/drain HTTP/1.1";
    assert_eq!(status(&gateway, absolute, own).await, "403");
    let two = "Host: 127.0.0.1\r\nHost: evil.example\r\n";
    assert_eq!(status(&gateway, "POST /drain HTTP/1.1", two).await, "400");
    assert_eq!(status(&gateway, "POST /drain HTTP/1.1", "").await, "400");
    assert!(gateway.is_running());
    let log = gateway.log_with("refused a request to the admin listener");
    assert!(!log.contains("draining"), "{log}");
}

#[tokio::test]
async fn the_refusal_is_a_line_that_names_the_flag() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &[]);
    let got = ask(&gateway, "GET /metrics HTTP/1.1", "Host: gw.svc:9078\r\n").await;
    assert_eq!(field(&got, "content-type"), ["text/plain; charset=utf-8"]);
    let (_, body) = got.split_once("\r\n\r\n").expect("a body");
    assert_eq!(
        body,
        "The host \"gw.svc:9078\" is not known here: ask for an IP address or localhost, or start the gateway with \
         --admin-hosts gw.svc\n"
    );
    let origin = "Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n";
    let got = ask(&gateway, "POST /drain HTTP/1.1", origin).await;
    let (_, body) = got.split_once("\r\n\r\n").expect("a body");
    assert_eq!(
        body,
        "The request was sent by a page of another site, \"https://evil.example\": only a program such as curl, or a \
         page of this address, may do that\n"
    );
}

#[tokio::test]
async fn programs_and_listed_names_are_answered() {
    let upstream = WireUpstream::bind().await;
    let flags = ["--admin-hosts", "gateway.svc, Gateway"];
    let mut gateway = Gateway::with_admin(&upstream.url, &flags);
    for fields in [
        "Host: 127.0.0.1\r\n",
        "Host: 10.0.0.7:9078\r\n",
        "Host: [::1]:9078\r\n",
        "Host: localhost:9078\r\nOrigin: http://localhost:9078\r\nSec-Fetch-Site: same-origin\r\n",
        "Host: LOCALHOST\r\nSec-Fetch-Site: none\r\n",
        "Host: gateway.svc:9078\r\n",
        "Host: Gateway.SVC.\r\n",
        "Host: gateway\r\n",
    ] {
        for line in ["GET /metrics HTTP/1.1", "GET /streams HTTP/1.1"] {
            assert_eq!(status(&gateway, line, fields).await, "200", "{fields}");
        }
    }
    assert_eq!(status(&gateway, "GET /metrics HTTP/1.0", "").await, "200");
    let absolute = "GET http://gateway.svc:9078/streams HTTP/1.1";
    let host = "Host: gateway.svc:9078\r\n";
    assert_eq!(status(&gateway, absolute, host).await, "200");
    assert_eq!(status(&gateway, "POST /drain HTTP/1.1", host).await, "202");
    gateway.log_with("drained, bye");
    assert!(gateway.exit().success());
}

#[tokio::test]
async fn the_authority_of_http_2_is_a_host() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &[]);
    let mut client = http2::connect(gateway.admin.expect("an admin listener")).await;
    for (url, status) in [
        ("http://127.0.0.1:9078/streams", StatusCode::OK),
        ("http://[::1]/streams", StatusCode::OK),
        ("http://evil.example/streams", StatusCode::FORBIDDEN),
    ] {
        let request = Request::get(url).body(Empty::<bytes::Bytes>::new());
        let response = client.send_request(request.expect("a request")).await;
        let response = response.expect("a response");
        assert_eq!(response.status(), status, "{url}");
        response.into_body().collect().await.expect("a body");
    }
}

#[tokio::test]
async fn with_a_token_who_shows_it_drains_and_reads_the_streams() {
    const HOST: &str = "Host: 127.0.0.1\r\n";
    let upstream = WireUpstream::bind().await;
    let token = ["--admin-token", "tests/support/admin.token"];
    let mut gateway = Gateway::with_admin(&upstream.url, &token);
    let with = |token: &str| format!("{HOST}Authorization: Bearer {token}\r\n");
    for line in [
        "POST /drain HTTP/1.1",
        "POST /reload HTTP/1.1",
        "GET /streams HTTP/1.1",
    ] {
        let got = ask(&gateway, line, HOST).await;
        assert_eq!(got.get(9..12), Some("401"), "{line}");
        assert_eq!(field(&got, "www-authenticate"), ["Bearer"], "{got}");
        assert!(got.contains("send Authorization: Bearer TOKEN"), "{got}");
        let wrong = with("another-token-of-somebody");
        assert_eq!(status(&gateway, line, &wrong).await, "401", "{line}");
    }
    for line in [
        "GET / HTTP/1.1",
        "GET /metrics HTTP/1.1",
        "GET /readyz HTTP/1.1",
    ] {
        assert_eq!(status(&gateway, line, HOST).await, "200", "{line}");
    }
    let right = with("a-token-of-the-operator");
    let page = format!("{right}Origin: http://evil.example\r\n");
    let streams = "GET /streams HTTP/1.1";
    assert_eq!(status(&gateway, streams, &page).await, "403");
    assert_eq!(status(&gateway, streams, &right).await, "200");
    let drain = "POST /drain HTTP/1.1";
    assert_eq!(status(&gateway, drain, &right).await, "202");
    gateway.log_with("drained, bye");
    assert!(gateway.exit().success());
    assert!(!gateway.log().contains("a-token-of-the-operator"));
}

#[tokio::test]
async fn metrics_say_what_the_process_takes() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with_admin(&upstream.url, &[]);
    for name in [
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        let value = metric(&gateway, name).await;
        assert!(value > 0, "{name} {value}");
    }
}
