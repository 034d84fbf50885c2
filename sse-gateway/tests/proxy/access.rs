//! Who may read: tokens that `EventSource` can send, pages of other origins, and spellings of a path.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use tokio::time::timeout;

use crate::gateway::Gateway;
use crate::wire::{Wire, WireUpstream, field, get};

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nVary: Origin\r\n\r\ndata: 1\n\n";
const TOKEN: &str = "tok.hush-hush_7";

fn asking(target: &str, fields: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: app.example\r\nAccept: text/event-stream\r\n{fields}\r\n"
    )
}

/// The head that the upstream sees, and that which the client gets.
async fn heads(upstream: &WireUpstream, gateway: &Gateway, request: &str) -> (String, String) {
    let mut client = Wire::connect(gateway.address).await;
    client.send(request).await;
    let mut server = upstream.accept().await;
    let seen = server.head().await;
    server.send(STREAM).await;
    (seen, client.head().await)
}

/// The answer of the gateway alone.
async fn refused(gateway: &Gateway, request: &str) -> String {
    let mut client = Wire::connect(gateway.address).await;
    let closing = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    client.send(closing).await;
    client.rest().await
}

#[tokio::test]
async fn a_token_goes_upstream_as_a_field_and_is_seen_nowhere_else() {
    for protocol in ["http", "h2c"] {
        let upstream = WireUpstream::bind().await;
        let flags = [
            "--token-param",
            "token",
            "--token-cookie",
            "sid",
            "--share",
            "on",
        ];
        let gateway = Gateway::with_all(&upstream.url, &flags, &[("RUST_LOG", "trace")]);
        let target = format!("/s?a=1&token={TOKEN}&b=2");
        let mut client = Wire::connect(gateway.address).await;
        let http2 = match protocol {
            "h2c" => Some(crate::http2::connect::<Empty<Bytes>>(gateway.address).await),
            _ => None,
        };
        let answer = match http2 {
            None => {
                let cookies = format!("Cookie: x=1; sid={TOKEN}\r\n");
                client.send(asking(&target, &cookies)).await;
                None
            }
            Some(mut http2) => {
                let request = Request::get(format!("http://app.example{target}"))
                    .header("accept", "text/event-stream")
                    .header("cookie", "x=1")
                    .body(Empty::new())
                    .expect("a request");
                Some(tokio::spawn(
                    async move { http2.send_request(request).await },
                ))
            }
        };
        let mut server = upstream.accept().await;
        let seen = server.head().await;
        assert!(seen.starts_with("GET /s?a=1&b=2 HTTP/1.1\r\n"), "{seen}");
        assert_eq!(field(&seen, "authorization"), [format!("Bearer {TOKEN}")]);
        assert_eq!(field(&seen, "cookie"), ["x=1"]);
        server.send(STREAM).await;
        match answer {
            None => drop(client.until("data: 1\n\n").await),
            Some(answer) => drop(answer.await.expect("no panic").expect("an answer")),
        }
        let admin = gateway.admin.expect("an admin listener");
        let told = [
            get(admin, "/metrics").await,
            get(admin, "/streams").await,
            gateway.log(),
        ];
        for told in told {
            assert!(!told.contains("hush"), "{told}");
        }
    }
    // An error says nothing of it.
    let gateway = Gateway::with(
        "http://127.0.0.1:1",
        &["--token-param", "token", "--no-answer", "answer"],
        &[],
    );
    let got = refused(&gateway, &asking(&format!("/s?token={TOKEN}"), "")).await;
    assert!(
        got.starts_with("HTTP/1.1 502 ") && !got.contains("hush"),
        "{got}"
    );
    assert!(!gateway.log_with("reason=").contains("hush"));
}

#[tokio::test]
async fn what_is_no_token_is_refused_with_a_reason() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, &["--token-param", "token"], &[]);
    for (target, why) in [
        (
            "/s?token=a%0D%0AX-Admin:1",
            "characters that no bearer token has",
        ),
        ("/s?token=a&token=b", "more than one token"),
    ] {
        let got = refused(&gateway, &asking(target, "")).await;
        assert!(
            got.starts_with("HTTP/1.1 400 ") && got.contains(why),
            "{got}"
        );
    }
    let (seen, _) = heads(
        &upstream,
        &gateway,
        &asking("/s", "Authorization: Bearer mine\r\n"),
    )
    .await;
    assert_eq!(field(&seen, "authorization"), ["Bearer mine"]);
}

#[tokio::test]
async fn who_has_another_token_has_another_stream() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(
        &upstream.url,
        &["--token-param", "token", "--share", "on"],
        &[],
    );
    let mut all = Vec::new();
    for token in ["alice", "bob"] {
        let mut client = Wire::connect(gateway.address).await;
        client.send(asking(&format!("/s?token={token}"), "")).await;
        let mut server = upstream.accept().await;
        let seen = server.head().await;
        assert_eq!(field(&seen, "authorization"), [format!("Bearer {token}")]);
        server
            .send(format!(
                "{}data: for {token}\n\n",
                STREAM.replace("Vary: Origin\r\n", "")
            ))
            .await;
        client.until(&format!("data: for {token}\n\n")).await;
        // The same again shares it.
        let mut again = Wire::connect(gateway.address).await;
        again.send(asking(&format!("/s?token={token}"), "")).await;
        again.head().await;
        server.send(format!("data: more for {token}\n\n")).await;
        again.until(&format!("data: more for {token}\n\n")).await;
        all.push((client, server, again));
    }
    let third = timeout(Duration::from_millis(200), upstream.accept()).await;
    assert!(third.is_err(), "two streams, one for each token");
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_read() {
    let upstream = WireUpstream::bind().await;
    let origins = "https://A.example,http://localhost:3000";
    let gateway = Gateway::with(&upstream.url, &["--cors-origins", origins], &[]);
    let origin = "https://a.example";
    let preflight = "OPTIONS /s HTTP/1.1\r\nHost: app.example\r\nOrigin: https://a.example\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, content-type\r\n\r\n";
    let got = refused(&gateway, preflight).await;
    assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    assert_eq!(field(&got, "access-control-allow-origin"), [origin]);
    assert_eq!(field(&got, "access-control-allow-credentials"), ["true"]);
    assert_eq!(field(&got, "access-control-allow-methods"), ["POST"]);
    assert_eq!(
        field(&got, "access-control-allow-headers"),
        ["authorization, content-type"]
    );

    // What is no question of a browser is for the application.
    let own = "OPTIONS /s HTTP/1.1\r\nHost: app.example\r\n\r\n";
    let (seen, _) = heads(&upstream, &gateway, own).await;
    assert!(seen.starts_with("OPTIONS /s "), "{seen}");

    let request = asking("/s", "Origin: https://a.example\r\n");
    let (seen, got) = heads(&upstream, &gateway, &request).await;
    assert!(field(&seen, "origin").is_empty(), "{seen}");
    assert_eq!(field(&got, "access-control-allow-origin"), [origin]);
    assert_eq!(field(&got, "access-control-allow-credentials"), ["true"]);
    assert!(
        field(&got, "vary")
            .join(",")
            .to_ascii_lowercase()
            .contains("origin"),
        "{got}"
    );

    // The gateway's own pages, and who is no page.
    for fields in ["Origin: https://app.example\r\n", ""] {
        let (_, got) = heads(&upstream, &gateway, &asking("/s", fields)).await;
        assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
    }
    for origin in [
        "https://evil.example",
        "null",
        "https://a.example.evil.example",
        "http://a.example",
    ] {
        let got = refused(&gateway, &asking("/s", &format!("Origin: {origin}\r\n"))).await;
        assert!(got.starts_with("HTTP/1.1 403 "), "{origin}: {got}");
        assert!(
            field(&got, "access-control-allow-origin").is_empty(),
            "{got}"
        );
    }
}

#[tokio::test]
async fn by_a_cookie_no_page_of_another_origin_changes_anything() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, &["--token-cookie", "sid"], &[]);
    let asking = |line: &str, fields: &str| {
        format!("{line} HTTP/1.1\r\nHost: app.example\r\nCookie: sid=t\r\n{fields}\r\n")
    };
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n";
    let foreign = "Origin: https://evil.example\r\n";
    for (line, fields) in [
        ("POST /s", foreign.to_owned()),
        ("POST /s", "Origin: null\r\n".to_owned()),
        ("DELETE /s", "Sec-Fetch-Site: cross-site\r\n".to_owned()),
        ("GET /s", format!("{upgrade}{foreign}")),
    ] {
        let got = match fields.contains("upgrade") {
            false => refused(&gateway, &asking(line, &fields)).await,
            true => {
                let mut client = Wire::connect(gateway.address).await;
                client.send(asking(line, &fields)).await;
                client.head().await
            }
        };
        assert!(got.starts_with("HTTP/1.1 403 "), "{line} {fields}: {got}");
    }
    for (line, fields) in [
        ("POST /s", "Origin: https://app.example\r\n"),
        (
            "POST /s",
            "Sec-Fetch-Site: same-origin\r\nOrigin: https://public.example\r\n",
        ),
        ("POST /s", ""),
        ("GET /s", foreign),
        // Which no page makes a browser send.
        (
            "POST /s",
            "Authorization: Bearer t\r\nOrigin: https://evil.example\r\n",
        ),
    ] {
        let (seen, _) = heads(&upstream, &gateway, &asking(line, fields)).await;
        assert_eq!(
            field(&seen, "authorization"),
            ["Bearer t"],
            "{line} {fields}"
        );
    }
}

#[tokio::test]
async fn behind_an_edge_a_page_is_of_the_host_that_the_edge_tells() {
    let upstream = WireUpstream::bind().await;
    for (trusted, is_own) in [("127.0.0.1", true), ("off", false)] {
        let flags = [
            "--cors-origins",
            "https://a.example",
            "--trusted-proxy",
            trusted,
        ];
        let gateway = Gateway::with(&upstream.url, &flags, &[]);
        let fields = "Origin: https://shop.example\r\nX-Forwarded-Host: shop.example\r\n";
        let got = match is_own {
            true => heads(&upstream, &gateway, &asking("/s", fields)).await.1,
            false => refused(&gateway, &asking("/s", fields)).await,
        };
        let status = if is_own { "200" } else { "403" };
        assert_eq!(&got[9..12], status, "{trusted}: {got}");
    }
}

#[tokio::test]
async fn pages_of_several_origins_share_a_stream_and_each_is_allowed() {
    let upstream = WireUpstream::bind().await;
    let flags = [
        "--share",
        "on",
        "--cors-origins",
        "https://a.example,https://b.example",
    ];
    let gateway = Gateway::with(&upstream.url, &flags, &[]);
    let ask = |origin: &str| asking("/s", &format!("Origin: {origin}\r\n"));
    let mut first = Wire::connect(gateway.address).await;
    first.send(ask("https://a.example")).await;
    let mut server = upstream.accept().await;
    server.head().await;
    server
        .send(STREAM.replace(
            "Vary: Origin\r\n",
            "Access-Control-Allow-Origin: https://c.example\r\n",
        ))
        .await;
    let got = first.head().await;
    assert_eq!(
        field(&got, "access-control-allow-origin"),
        ["https://a.example"]
    );
    let mut second = Wire::connect(gateway.address).await;
    second.send(ask("https://b.example")).await;
    let got = second.head().await;
    assert_eq!(
        field(&got, "access-control-allow-origin"),
        ["https://b.example"]
    );
    server.send("data: for both\n\n").await;
    first.until("data: for both\n\n").await;
    second.until("data: for both\n\n").await;
}

#[tokio::test]
async fn all_origins_may_read_without_credentials() {
    let upstream = WireUpstream::bind().await;
    let gateway = Gateway::with(&upstream.url, &["--cors-origins", "*"], &[]);
    let request = asking("/s", "Origin: https://any.example\r\n");
    let (_, got) = heads(&upstream, &gateway, &request).await;
    assert_eq!(field(&got, "access-control-allow-origin"), ["*"]);
    assert!(
        field(&got, "access-control-allow-credentials").is_empty(),
        "{got}"
    );
}

#[tokio::test]
async fn no_spelling_of_a_path_gets_around_a_policy() {
    let upstream = WireUpstream::bind().await;
    let file = std::env::temp_dir().join(format!("gateway-access-{}.toml", std::process::id()));
    let routes = [
        "path = '/v1/chat'\ntoken_param = 'token'",
        "path = '/caf%C3%A9'\ntoken_param = 'token'",
        "pattern = '/users/*/events'\nmethods = ['POST', 'GET']\ntoken_param = 'token'",
        "path = '/T/one'\nheartbeat = '5s'",
        "path = '/t/one'\ntoken_param = 'token'",
        "path = '/open'\nheartbeat = '5s'",
        "path = '/Admin'\ntoken_param = 'token'",
        "pattern = '/rooms/*/live/'\ntoken_param = 'token'",
    ];
    let routes = routes.map(|route| format!("[[route]]\n{route}\n"));
    std::fs::write(&file, routes.concat()).expect("written");
    let path = file.display().to_string();
    let gateway = Gateway::with(&upstream.url, &["--config", &path], &[]);
    std::fs::remove_file(&file).expect("removed");
    for path in [
        "/v1/%63hat",
        "//v1/chat",
        "/x/../v1/chat",
        "/v1/x/%2e%2e/chat",
        "/v1%2Fchat/x",
        "/v1/chat;x",
        "/open/../v1/chat",
        "/open/%2e%2e/v1/chat",
        "/v1\\chat",
        // For servers that decode, and then leave dots as they are, this is below it.
        "/v1/%63hat/../x",
        "/v1/%63hat/%252e%252e/x",
        "/v1/%63hat/..;/x",
        // Express and ASP.NET take any case, and a slash more.
        "/v1/Chat",
        "/V1/CHAT/x",
        "/users/7/events/",
        "/USERS/7/events",
        // Nothing odd in these, and much in how their routes are written.
        "/admin",
        "/admin/x",
        "/rooms/7/live",
        // Another way to write the same letter than that of the route.
        "/caf%c3%a9",
        "/caf%C3%89",
        "/CAF%C3%A9",
        // What `new URL(target, base)` makes of it.
        "//x/v1/chat",
        "/\\x/v1/chat",
        "/v1/chat%3fx",
        "/v1/chat%00",
    ] {
        let got = refused(&gateway, &asking(&format!("{path}?token=t"), "")).await;
        assert!(got.starts_with("HTTP/1.1 400 "), "{path}: {got}");
    }
    // Flask and Django write a method in capitals, and some servers in front of them take any.
    let got = refused(&gateway, "post /users/7/events HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(
        got.starts_with("HTTP/1.1 400 ") && got.contains("capital"),
        "{got}"
    );
    let got = refused(&gateway, &asking(&format!("/{}", "%41".repeat(3_000)), "")).await;
    assert!(
        got.starts_with("HTTP/1.1 400 ") && got.contains("8 KiB"),
        "{got}"
    );
    // Where it makes no difference, or the routes themselves tell it apart, it stays as it is.
    for path in [
        "/a//b",
        "/a/%63",
        "/A/b;c/",
        "/open/%63",
        "/v1/chat/%63",
        "/v1/chat/X/",
        "/users/Me/events",
        "/t/one",
        "/T/one",
        "/Admin/x",
        "/rooms/7/live/",
    ] {
        let (seen, _) = heads(&upstream, &gateway, &asking(path, "")).await;
        assert!(
            seen.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{seen}"
        );
    }
}
