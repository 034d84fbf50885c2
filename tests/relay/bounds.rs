//! Who shares with whom, and what relays can be made to hold.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{OriginalUri, Path};
use axum::response::{IntoResponse, Response};
use axum::routing::get as route;
use futures_util::{StreamExt, stream};
use http::header;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tower_sse::relay::{Key, RelayLayer};

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
    RelayLayer::shared(Key::default()).with_begin(tower_sse::relay::Begin::All)
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
