//! Who shares with whom, and what relays can be made to hold.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{OriginalUri, Path};
use axum::response::{IntoResponse, Response};
use axum::routing::get as route;
use futures_util::{StreamExt, stream};
use http::{Request, header};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{ClientAddress, Key, OnLeave, RelayLayer, Start};

use crate::client::{app, get, send};
use crate::upstream::upstream;

/// A stream that says whose it is, and then nothing.
fn stream_of(whose: &str) -> Response {
    let first = Ok::<_, Infallible>(format!("data: of {whose}\n\n"));
    let all = stream::iter([first]).chain(stream::pending());
    let fields = [(header::CONTENT_TYPE, "text/event-stream")];
    (fields, axum::body::Body::from_stream(all)).into_response()
}

/// A client on a connection of its own, behind its first event: what it is, and its id.
async fn connect(address: SocketAddr, target: &str) -> (BufReader<TcpStream>, String, String) {
    let mut client = BufReader::new(TcpStream::connect(address).await.unwrap());
    let head = format!("GET {target} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut id, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        assert_ne!(client.read_line(&mut line).await.unwrap(), 0, "it ended");
        if let Some(value) = line.strip_prefix("id: ") {
            id = value.trim().into();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            return (client, data.trim().into(), id);
        }
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn all() -> RelayLayer {
    RelayLayer::shared(Key::default()).with_start(Start::All)
}

#[tokio::test]
async fn all_connections_of_an_axum_server_share_one_stream() {
    let relays = all();
    let app = Router::new()
        .route("/events", route(async || stream_of("all")))
        .layer(relays.clone());
    let (listener, address) = listener().await;
    tokio::spawn(async { axum::serve(listener, app).await });
    let one = connect(address, "/events").await;
    let other = connect(address, "/events").await;
    assert_eq!((&one.1, &one.2), (&other.1, &other.2));
    assert_eq!(relays.relays().len(), 1);
    assert_eq!(relays.relays()[0].clients, 2);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn two_nests_of_axum_under_one_layer_do_not_mix() {
    let relays = all();
    let nested = |whose: &'static str| {
        Router::new()
            .route("/events", route(async move || stream_of(whose)))
            .layer(relays.clone())
    };
    let app = Router::new()
        .nest("/a", nested("a"))
        .nest("/b", nested("b"));
    let (listener, address) = listener().await;
    tokio::spawn(async { axum::serve(listener, app).await });
    let mut open = Vec::new();
    for whose in ["a", "b", "a", "b"] {
        let client = connect(address, &format!("/{whose}/events")).await;
        assert_eq!(client.1, format!("of {whose}"));
        open.push(client);
    }
    assert_eq!(relays.relays().len(), 2);
    // Nor does an id of one open the other.
    let target = format!("/b/events?lastEventId={}", open[0].2);
    assert_eq!(connect(address, &target).await.1, "null");
}

#[tokio::test]
async fn tenants_under_one_router_do_not_mix_if_the_target_is_known() {
    let relays = all().with_target(|extensions| Some(extensions.get::<OriginalUri>()?.0.clone()));
    let tenant = Router::new()
        .route(
            "/events",
            route(async |Path(tenant): Path<String>| stream_of(&tenant)),
        )
        .layer(relays.clone());
    let app = Router::new().nest("/{tenant}", tenant);
    let (listener, address) = listener().await;
    tokio::spawn(async { axum::serve(listener, app).await });
    let mut open = Vec::new();
    for tenant in ["a", "b", "a", "b"] {
        let client = connect(address, &format!("/{tenant}/events")).await;
        assert_eq!(client.1, format!("of {tenant}"));
        open.push(client);
    }
    assert_eq!(relays.relays().len(), 2);

    // Who names an id in the query is at the same target.
    let id = open[0].2.clone();
    let mut back = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /a/events?lastEventId={id} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n"
    );
    back.write_all(head.as_bytes()).await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut back)
        .read_line(&mut line)
        .await
        .unwrap();
    let list = relays.relays();
    assert_eq!(list.len(), 2, "{list:?}");
    assert_eq!(list.iter().map(|relay| relay.clients).sum::<usize>(), 5);
}

fn address(last: u8) -> ClientAddress {
    ClientAddress(IpAddr::from([192, 0, 2, last]))
}

#[tokio::test(start_paused = true)]
async fn who_lacks_a_field_that_another_has_does_not_read_his_events() {
    for name in [
        "x-api-key",
        "authorization",
        "cookie",
        "proxy-authorization",
        "x-auth-token",
        "x-forwarded-user",
        "mcp-session-id",
        "accept-language",
        "x-anything-else",
    ] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let alice = send(&app, get("/events").header(name, "alice"), "");
        let call = calls.recv().await.unwrap();
        assert_eq!(call.request.headers()[name], "alice");
        let of_alice = call.open();
        let mut alice = alice.client().await;
        let stranger = send(&app, get("/events"), "");
        let call = calls.recv().await.unwrap();
        assert!(!call.request.headers().contains_key(name));
        let of_stranger = call.open();
        let mut stranger = stranger.client().await;
        of_alice.events([1], false).await;
        assert_eq!(alice.text().await, "1");
        assert!(stranger.is_silent().await, "{name}");
        of_stranger.events([2], false).await;
        assert_eq!(stranger.text().await, "2");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_reserved_goes_back_to_nothing() {
    let (fake, mut calls) = upstream();
    let key = "default, body".parse().unwrap();
    let layer = RelayLayer::shared_in(key, MemoryHistory::new().with_budget(1 << 20))
        .with_on_leave(OnLeave::Cancel);
    let app = app(&layer, &fake);
    let body: &'static str = Box::leak("x".repeat(100_000).into_boxed_str());
    let post = || Request::post("/ask").header("accept", "text/event-stream");
    let client = send(&app, post(), body);
    let call = calls.recv().await.unwrap();
    assert!(layer.history().reserved() >= 100_000);
    let stream = call.open();
    let mut client = client.client().await;
    stream.events([1], false).await;
    assert_eq!(client.text().await, "1");
    drop((client, stream));
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(layer.relays().is_empty());
    assert_eq!((layer.history().reserved(), layer.history().held()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_read_together_counts() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared(Key::default());
    let app = app(&layer, &fake);
    let one = send(&app, get("/events"), "");
    let stream = calls.recv().await.unwrap().open();
    let mut one = one.client().await;
    let mut other = send(&app, get("/events"), "").client().await;
    stream.events(1..=100, false).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let before = layer.history().held();
    let joined = one.chunk().await.unwrap();
    assert!(layer.history().held() >= before + joined.len());
    assert_eq!(other.chunk().await.unwrap(), joined);
    drop(other);
    assert!(layer.history().held() <= before);
}

#[tokio::test(start_paused = true)]
async fn a_full_budget_costs_no_more_streams_than_it_takes() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::resumable_in(MemoryHistory::new().with_budget(100_000))
        .with_on_leave(OnLeave::Finish);
    let app = app(&layer, &fake);
    let mut streams = Vec::new();
    for number in 0..40 {
        let mut request = get("/events");
        request.extensions_mut().unwrap().insert(address(number));
        let client = send(&app, request, "");
        let stream = calls.recv().await.unwrap().open();
        let mut client = client.client().await;
        stream.events([1], false).await;
        client.text().await;
        streams.push(stream);
    }
    let kept = layer.relays().len();
    assert!((10..40).contains(&kept), "{kept}");
    let open = streams.iter().filter(|stream| !stream.is_cancelled());
    assert_eq!(open.count(), kept);
    assert!(layer.history().reserved() <= 50_000);
}

#[tokio::test(start_paused = true)]
async fn bodies_have_room_though_others_left_much_behind() {
    let (fake, mut calls) = upstream();
    let layer = RelayLayer::shared_in(
        "default, body".parse().unwrap(),
        MemoryHistory::new().with_budget(100_000),
    )
    .with_on_leave(OnLeave::Finish);
    let app = app(&layer, &fake);
    let mut streams = Vec::new();
    for number in 0..30 {
        let client = send(&app, get(&format!("/events/{number}")), "");
        streams.push(calls.recv().await.unwrap().open());
        drop(client.client().await);
    }
    let body: &'static str = Box::leak("x".repeat(10_000).into_boxed_str());
    let post = Request::post("/ask").header("accept", "text/event-stream");
    let client = send(&app, post, body);
    let call = calls.recv().await.unwrap();
    assert_eq!(call.body, body);
    let _stream = call.open();
    client.client().await;
}
