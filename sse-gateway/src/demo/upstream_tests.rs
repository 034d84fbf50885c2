//! The upstream, asked over real connections.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use tokio::{net::TcpStream, time::timeout};

use super::*;

const FAST: Pace = Pace {
    tick: Duration::from_millis(20),
    notice: Duration::from_millis(20),
    news: Duration::from_millis(20),
    first_token: Duration::from_millis(20),
    token: Duration::from_millis(1),
    outage: Duration::from_millis(200),
};

/// Generous: it only decides how long a failure takes.
const LIMIT: Duration = Duration::from_secs(30);

async fn ask(
    addr: SocketAddr,
    method: Method,
    path: &str,
    last: Option<&str>,
    body: &'static str,
) -> Response<Incoming> {
    let socket = TcpStream::connect(addr)
        .await
        .expect("the upstream listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket))
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "demo");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    let response = timeout(LIMIT, sender.send_request(request))
        .await
        .expect("in time");
    response.expect("a response")
}

async fn get(addr: SocketAddr, path: &str) -> Response<Incoming> {
    ask(addr, Method::GET, path, None, "").await
}

/// The next event; `Err` when the stream failed, `Ok(None)` when it ended.
async fn event(body: &mut Incoming) -> Result<Option<String>, hyper::Error> {
    match timeout(LIMIT, body.frame()).await.expect("in time") {
        None => Ok(None),
        Some(Ok(frame)) => {
            let bytes = frame.into_data().expect("data");
            Ok(Some(String::from_utf8(bytes.to_vec()).expect("text")))
        }
        Some(Err(error)) => Err(error),
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut waited = pin!(sleep(LIMIT));
    while !holds().await {
        tokio::select! {
            () = &mut waited => panic!("not in time: {what}"),
            () = sleep(Duration::from_millis(5)) => {}
        }
    }
}

fn json(event: &str) -> serde_json::Value {
    let data = event.lines().find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(data.expect("a data line")).expect("JSON")
}

#[tokio::test]
async fn the_clock_tells_the_time_and_nothing_else() {
    let upstream = Upstream::start(FAST).await.expect("a free port");
    let response = get(upstream.addr(), "/clock").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let first = event(&mut body)
        .await
        .expect("no failure")
        .expect("endless");
    let second = event(&mut body)
        .await
        .expect("no failure")
        .expect("endless");
    assert_eq!(
        first.lines().count(),
        2,
        "a data line and a blank one: {first}"
    );
    assert!(json(&first)["n"].as_u64() < json(&second)["n"].as_u64());
    assert_eq!(upstream.shared.seen.streams(), 1);
    drop(body);
    until("the stream is no longer counted", async || {
        upstream.shared.seen.streams() == 0
    })
    .await;
}

#[tokio::test]
async fn notices_go_on_after_the_last_event_id() {
    let upstream = Upstream::start(FAST).await.expect("a free port");
    let path = "/notices?user_id=%E6%9D%8E+7";
    let mut body = get(upstream.addr(), path).await.into_body();
    let seen = event(&mut body)
        .await
        .expect("no failure")
        .expect("endless");
    drop(body);
    assert!(seen.contains("\nevent: add\n"), "{seen}");
    assert_eq!(json(&seen)["user_id"], "李 7");
    assert!(
        json(&seen)["text"]
            .as_str()
            .expect("text")
            .chars()
            .any(|c| c >= '\u{4e00}')
    );

    let n = json(&seen)["n"].as_u64().expect("a number");
    let in_query = format!("{path}&lastEventId={n}");
    for (path, last) in [(path, Some(n.to_string())), (&in_query, None)] {
        let mut body = ask(upstream.addr(), Method::GET, path, last.as_deref(), "")
            .await
            .into_body();
        let next = event(&mut body)
            .await
            .expect("no failure")
            .expect("endless");
        assert!(next.starts_with(&format!("id: {}\n", n + 1)), "{next}");
    }
}

#[tokio::test]
async fn news_go_on_after_a_restart_and_the_requests_are_told() {
    let upstream = Upstream::start(FAST).await.expect("a free port");
    let mut body = get(upstream.addr(), "/news?client=a").await.into_body();
    let seen = event(&mut body).await.expect("no failure");
    let n = json(&seen.expect("endless"))["n"]
        .as_u64()
        .expect("a number");
    upstream.restart();
    until("the stream fails", async || event(&mut body).await.is_err()).await;
    until("it is back", async || upstream.state().up).await;

    let last = n.to_string();
    let again = ask(upstream.addr(), Method::GET, "/news", Some(&last), "").await;
    let mut again = again.into_body();
    for n in n + 1..n + 4 {
        let next = event(&mut again).await.expect("no failure");
        let next = next.expect("endless");
        assert!(next.starts_with(&format!("id: {n}\n")), "{next}");
    }
    let told = upstream.state().requests;
    let told = told.iter().map(|request| {
        let text = |name| request[name].as_str().map(str::to_owned);
        (
            text("target"),
            text("last_event_id"),
            request["open"] == true,
        )
    });
    let first = (Some("/news?client=a".to_owned()), None, false);
    let second = (Some("/news".to_owned()), Some(last.clone()), true);
    assert_eq!(told.collect::<Vec<_>>(), [first, second]);
}

#[tokio::test]
async fn tokens_come_by_post_and_end_with_done() {
    let upstream = Upstream::start(FAST).await.expect("a free port");
    for body in ["", "{}", r#"{"prompt":"why?"}"#] {
        let response = ask(upstream.addr(), Method::POST, "/tokens", None, body).await;
        let all = timeout(LIMIT, response.into_body().collect())
            .await
            .expect("in time")
            .expect("a clean end");
        let all = String::from_utf8(all.to_bytes().to_vec()).expect("text");
        assert!(all.ends_with("}\n\ndata: [DONE]\n\n"), "{all}");
        assert_eq!(all.contains("why?"), body.contains("why?"));
    }
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let upstream = Upstream::start(FAST).await.expect("a free port");
    let long = format!("/notices?user_id={}", "x".repeat(65));
    for (method, path, body, status) in [
        (Method::GET, "/notices", "", 400),
        (Method::GET, "/notices?user_id=", "", 400),
        (Method::GET, &long, "", 400),
        (Method::GET, "/tokens", "", 405),
        (Method::POST, "/clock", "", 405),
        (Method::POST, "/tokens", "why?", 400),
        (Method::POST, "/tokens", r#"{"prompt":1}"#, 400),
        (Method::GET, "/other", "", 404),
    ] {
        let response = ask(upstream.addr(), method, path, None, body).await;
        assert_eq!(response.status(), status, "{path} {body}");
    }
    assert_eq!(upstream.shared.seen.streams(), 0);
}

#[tokio::test]
async fn a_cut_fails_the_streams_and_leaves_the_upstream_up() {
    let upstream = Upstream::start(FAST).await.expect("a free port");
    let mut bodies = Vec::new();
    for path in ["/clock", "/notices?user_id=7"] {
        let mut body = get(upstream.addr(), path).await.into_body();
        event(&mut body)
            .await
            .expect("no failure")
            .expect("endless");
        bodies.push(body);
    }
    upstream.cut();
    for body in &mut bodies {
        until("the stream fails", async || match event(body).await {
            Ok(Some(_)) => false,
            Ok(None) => panic!("a cut stream must not end cleanly"),
            Err(_) => true,
        })
        .await;
    }
    until("no stream is counted", async || {
        upstream.shared.seen.streams() == 0
    })
    .await;
    assert_eq!(get(upstream.addr(), "/clock").await.status(), 200);
    assert_eq!((upstream.state().up, upstream.state().restarts), (true, 0));
}

#[tokio::test]
async fn a_restart_refuses_connections_and_comes_back_on_the_same_port() {
    let upstream = Upstream::start(FAST).await.expect("a free port");
    let mut body = get(upstream.addr(), "/clock").await.into_body();
    upstream.restart();
    upstream.restart();
    assert!(!upstream.state().up);
    until("the stream fails", async || event(&mut body).await.is_err()).await;
    until("it is back", async || upstream.state().up).await;
    assert_eq!(get(upstream.addr(), "/clock").await.status(), 200);
    assert_eq!(
        upstream.state().restarts,
        1,
        "pressed twice, restarted once"
    );
}

#[tokio::test]
async fn an_upstream_that_restarts_is_gone_meanwhile() {
    let slow = Pace {
        outage: Duration::from_secs(3600),
        ..FAST
    };
    let upstream = Upstream::start(slow).await.expect("a free port");
    upstream.restart();
    until("connections are refused", async || {
        TcpStream::connect(upstream.addr()).await.is_err()
    })
    .await;
    assert!(!upstream.state().up);
}

#[tokio::test]
async fn the_upstream_ends_when_it_is_dropped() {
    let upstream = Upstream::start(FAST).await.expect("a free port");
    let addr = upstream.addr();
    let mut body = get(addr, "/clock").await.into_body();
    drop(upstream);
    until("the stream fails", async || event(&mut body).await.is_err()).await;
    until("nothing listens", async || {
        TcpStream::connect(addr).await.is_err()
    })
    .await;
}
