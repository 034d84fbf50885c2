//! What keeps streams apart that look the same in here.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{OriginalUri, Path};
use axum::response::sse::{Event, Sse};
use axum::{Router, routing::get as on_get};
use futures_util::{Stream, StreamExt, stream};
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Key, RelayLayer, Secret};

use crate::client::{Client, app, get, send};
use crate::upstream::upstream;

fn of(name: String) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let event = Ok(Event::default().data(name));
    Sse::new(stream::iter([event]).chain(stream::pending()))
}

async fn first_event(app: &Router, path: &str) -> String {
    let request = Request::get(path).header("accept", "text/event-stream");
    let request = request.body(Body::empty()).unwrap();
    let mut body = app.clone().oneshot(request).await.unwrap().into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(frame.to_vec()).unwrap()
}

#[cfg(feature = "axum")]
#[tokio::test(start_paused = true)]
async fn two_nests_under_one_layer_do_not_mix_their_streams() {
    let relays = RelayLayer::shared(Key::default()).with_start(tower_sse::relay::Start::All);
    let nest = |name: &'static str| {
        let handler = on_get(move || async move { of(name.into()) });
        Router::new()
            .route("/events", handler)
            .layer(relays.clone())
    };
    let app = Router::new()
        .nest("/a", nest("of a"))
        .nest("/b", nest("of b"));
    for (path, expected) in [("/a/events", "of a"), ("/b/events", "of b")] {
        let event = first_event(&app, path).await;
        assert!(event.ends_with(&format!("data: {expected}\n\n")), "{event}");
    }
    assert_eq!(relays.relays().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_nest_under_a_parameter_is_told_apart_by_its_original_target() {
    let relays = RelayLayer::shared(Key::default())
        .with_start(tower_sse::relay::Start::All)
        .with_target(|extensions| Some(extensions.get::<OriginalUri>()?.0.clone()));
    let tenant = |Path(tenant): Path<String>| async move { of(tenant) };
    let nest = Router::new()
        .route("/events", on_get(tenant))
        .layer(relays.clone());
    let app = Router::new().nest("/{tenant}", nest);
    for tenant in ["alice", "bob", "alice"] {
        let event = first_event(&app, &format!("/{tenant}/events")).await;
        assert!(event.ends_with(&format!("data: {tenant}\n\n")), "{event}");
    }
    assert_eq!(relays.relays().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn any_field_that_is_not_neutral_makes_another_request() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let mut open = Vec::new();
    for (name, value) in [
        ("x-api-key", "alice"),
        ("proxy-authorization", "alice"),
        ("x-forwarded-user", "alice"),
        ("x-forwarded-host", "alice"),
        ("mcp-session-id", "alice"),
        ("accept-language", "de"),
        ("origin", "https://a"),
        ("user-agent", "nobody"),
    ] {
        let waiting = send(&app, get("/").header(name, value), "");
        let call = calls.recv().await.unwrap();
        let sent = call.request.headers().contains_key(name);
        assert_eq!(sent, name != "user-agent", "{name}");
        open.push((call.open(), waiting.client().await));
    }
    let neutral = get("/").header("cf-ray", "7").header("user-agent", "else");
    let mut client = send(&app, neutral, "").client().await;
    open.last().unwrap().0.events([1], false).await;
    assert_eq!(client.text().await, "1");
    assert!(calls.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_foreign_id_is_caught_up_once_and_in_order() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let waiting = send(&app, get("/").header("last-event-id", "5"), "");
    let call = calls.recv().await.unwrap();
    assert_eq!(call.last_event_id(), None, "it decides for nobody else");
    let stream = call.open();
    let mut client = waiting.client().await;
    let own = calls.recv().await.unwrap();
    assert_eq!(own.last_event_id(), Some("5"));
    let own = own.open();
    own.events(6..=8, true).await;
    assert_eq!(client.texts(3).await, ["6", "7", "8"]);
    let id = client.last_id.clone();
    assert!(id.ends_with(".8"), "{id}");
    stream.events([9], true).await;
    own.events([9], true).await;
    assert_eq!(client.text().await, "9");
    own.cancelled().await;
    stream.events([10], true).await;
    assert_eq!(client.text().await, "10");

    // It lost its connection behind 8, and the relay has 9 and what follows.
    let mut back = send(&app, get("/").header("last-event-id", &id), "");
    let own = calls.recv().await.unwrap();
    assert_eq!(own.last_event_id(), Some("8"));
    let own = own.open();
    own.events(9..=10, true).await;
    back = {
        let mut client = back.client().await;
        assert_eq!(client.texts(2).await, ["9", "10"]);
        stream.events([11], true).await;
        assert_eq!(client.text().await, "11");
        send(&app, get("/").header("last-event-id", "unknown"), "")
    };
    // Where the upstream knows it neither, something may be missing.
    drop(calls.recv().await.unwrap().answer(404, &[]));
    let mut client = back.client().await;
    assert_eq!(client.text().await, "stream-gap:null");
    stream.events([12], true).await;
    assert_eq!(client.text().await, "12");
}

#[tokio::test(start_paused = true)]
async fn what_relays_hold_counts_against_the_budget_and_is_given_back() {
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_budget(64 * 1024);
    let layer = RelayLayer::shared_in("default, body".parse().unwrap(), history.clone());
    let app = app(&layer, &fake);
    let mut open = Vec::new();
    for number in 0..40 {
        let request = Request::post("/").header("accept", "text/event-stream");
        let request = request.header("x-number", number.to_string());
        let waiting = send(&app, request, "a question");
        let call = calls.recv().await.unwrap();
        assert!(history.held() <= 64 * 1024);
        assert!(history.reserved() <= 32 * 1024);
        // Where there is no room it passes by.
        open.push((call.open(), Client::of(waiting.answer().await)));
    }
    let relays = layer.relays().len();
    assert!((5..40).contains(&relays), "{relays}");
    drop(open);
    tokio::time::sleep(std::time::Duration::from_secs(100)).await;
    assert_eq!((history.held(), history.reserved()), (0, 0));
}

#[test]
fn a_secret_is_needed_for_what_another_process_is_to_believe() {
    let short = Secret::new("too short").unwrap_err().to_string();
    assert!(short.contains("at least 32 bytes"), "{short}");
}
