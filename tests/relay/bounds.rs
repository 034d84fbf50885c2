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
use tokio::time::timeout;
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Begin, ClientAddress, Key, OnLeave, RelayLayer};
use tower_sse::wire::{Epoch, SequentialId};

use crate::client::{App, Client, app, get, numbers, send};
use crate::upstream::{Call, Stream, upstream};

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
    RelayLayer::shared(Key::default()).with_begin(Begin::All)
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
async fn a_client_that_catches_up_gets_all_once_and_in_order() {
    // However the two streams of the upstream lie to each other.
    for own_is_ahead in [false, true] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let first = send(&app, get("/events"), "");
        let shared = calls.recv().await.unwrap().open();
        let mut first = first.client().await;
        shared.events(1..=10, true).await;
        assert_eq!(first.texts(10).await, numbers(1..=10));

        let of_another = get("/events").header("last-event-id", "row-of-another-5");
        let mut stranger = send(&app, of_another, "").client().await;
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("row-of-another-5"));
        let own = call.open();
        for number in 101..=105 {
            own.send(format!("id: old-{number}\ndata: {number}\n\n"))
                .await;
        }
        assert_eq!(stranger.texts(5).await, numbers(101..=105));
        for number in 11..=20 {
            let (one, other) = match own_is_ahead {
                true => (&own, &shared),
                false => (&shared, &own),
            };
            one.events([number], true).await;
            if own_is_ahead {
                assert_eq!(stranger.text().await, number.to_string());
            } else {
                assert_eq!(first.text().await, number.to_string());
            }
            other
                .try_send(format!("id: {number}\ndata: {number}\n\n"))
                .await;
            if own_is_ahead {
                assert_eq!(first.text().await, number.to_string());
                break;
            }
            assert_eq!(stranger.text().await, number.to_string());
        }
        own.cancelled().await;
        shared.events(21..=23, true).await;
        assert_eq!(stranger.texts(3).await, numbers(21..=23));
        assert_eq!(first.texts(3).await, numbers(21..=23));
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_given_more_than_a_slow_relay_has_goes_on_behind_that() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let first = send(&app, get("/events"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut first = first.client().await;

    let of_another = get("/events").header("last-event-id", "3");
    let mut stranger = send(&app, of_another, "").client().await;
    let own = calls.recv().await.unwrap().open();
    own.events(8..=9, true).await;
    assert_eq!(stranger.texts(2).await, numbers(8..=9));
    drop(own);
    for number in 6..=8 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        shared.events([number], true).await;
        assert_eq!(first.text().await, number.to_string());
        assert!(stranger.is_silent().await, "it had {number}");
    }
    shared.events(10..=11, true).await;
    let expected = ["stream-gap:null", "10", "11"];
    assert_eq!(stranger.texts(3).await, expected);
}

#[tokio::test(start_paused = true)]
async fn who_was_ahead_of_a_relay_and_comes_back_is_not_taken_back() {
    for comes_to_it in [true, false] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let first = send(&app, get("/events"), "");
        let shared = calls.recv().await.unwrap().open();
        let mut first = first.client().await;
        shared.events(1..=5, true).await;
        assert_eq!(first.texts(5).await, numbers(1..=5));

        let of_another = get("/events").header("last-event-id", "of-another-3");
        let mut ahead = send(&app, of_another, "").client().await;
        let own = calls.recv().await.unwrap().open();
        own.events(8..=9, true).await;
        assert_eq!(ahead.texts(2).await, numbers(8..=9));
        let back = get("/events").header("last-event-id", &ahead.last_id);
        drop((ahead, own));

        // Its next request of its own gives nothing.
        let mut back = send(&app, back, "").client().await;
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("9"));
        drop(call.answer(503, &[]));
        for number in 6..=8 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            shared.events([number], true).await;
            assert_eq!(first.text().await, number.to_string());
            assert!(back.is_silent().await, "it had {number}");
        }
        if comes_to_it {
            shared.events(9..=10, true).await;
            assert_eq!(back.text().await, "10", "nothing is missing");
        } else {
            shared.events([10], true).await;
            assert_eq!(back.texts(2).await, ["stream-gap:null", "10"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_begins_with_what_it_was_asked_behind_gives_nothing_twice() {
    // Or one whose ids are all the same, and tell nothing.
    for ids_tell in [true, false] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let first = send(&app, get("/events"), "");
        let shared = calls.recv().await.unwrap().open();
        let mut first = first.client().await;
        let id = |number: u64| match ids_tell {
            true => number,
            false => 3,
        };
        let event = |number: u64| format!("id: {}\ndata: {number}\n\n", id(number));
        for number in 6..=7 {
            shared.send(event(number)).await;
            assert_eq!(first.text().await, number.to_string());
        }
        let of_another = SequentialId {
            epoch: Epoch::from_bits(7),
            sequence: 1,
            upstream: Some(b"of-another"),
        };
        let id_of_another = match ids_tell {
            true => "3".to_owned(),
            false => String::from_utf8(of_another.to_event_id().as_bytes().to_vec()).unwrap(),
        };
        let back = get("/events").header("last-event-id", id_of_another);
        let mut back = send(&app, back, "").client().await;
        let own = calls.recv().await.unwrap().open();
        if ids_tell {
            own.events(3..=6, true).await;
            assert_eq!(back.texts(4).await, numbers(4..=7));
        } else {
            for number in [8, 9] {
                own.send(format!("id: of-another\ndata: {number}\n\n"))
                    .await;
            }
            assert_eq!(back.text().await, "stream-gap:null");
        }
        shared.send(event(8)).await;
        assert_eq!(back.text().await, "8");
    }
}

#[tokio::test(start_paused = true)]
async fn a_catch_up_that_gives_nothing_is_a_gap() {
    for (status, kind) in [
        (204, "text/plain"),
        (404, "text/plain"),
        (200, "application/json"),
    ] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let stranger = send(&app, get("/events").header("last-event-id", "77"), "");
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), None);
        let shared = call.open();
        let mut stranger = stranger.client().await;
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("77"));
        drop(call.answer(status, &[("content-type", kind)]));
        assert_eq!(stranger.text().await, "stream-gap:null", "{status}");
        shared.events([1], true).await;
        assert_eq!(stranger.text().await, "1");
        assert!(!stranger.last_id.contains("77"));
    }
}

/// Three events are kept, of ten, and a client comes back that has had the first.
async fn with_what_is_not_kept(
    calls: &mut tokio::sync::mpsc::Receiver<Call>,
    app: &App,
) -> (Stream, Client, Call) {
    let first = send(app, get("/events"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut first = first.client().await;
    shared.events([1], true).await;
    assert_eq!(first.text().await, "1");
    let id = first.last_id.clone();
    for number in 2..=10 {
        shared.events([number], true).await;
        assert_eq!(first.text().await, number.to_string());
    }
    let back = send(app, get("/events").header("last-event-id", id), "");
    let back = back.client().await;
    let own = calls.recv().await.unwrap();
    assert_eq!(own.last_event_id(), Some("1"));
    (shared, back, own)
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_any_more_is_asked_for_and_given_once_and_in_order() {
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_events(3);
    let app = app(
        &RelayLayer::shared(Key::default()).with_history(history),
        &fake,
    );
    let (shared, mut back, own) = with_what_is_not_kept(&mut calls, &app).await;
    let own = own.open();
    own.send("retry: 10\n\n:hello\n\n").await;
    own.events(2..=10, true).await;
    assert_eq!(back.texts(9).await, numbers(2..=10));
    own.cancelled().await;
    shared.events(11..=12, true).await;
    assert_eq!(back.texts(2).await, numbers(11..=12));
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_has_no_more_either_is_told_with_its_number() {
    for begins_at in [None, Some(8), Some(10)] {
        let (fake, mut calls) = upstream();
        let history = MemoryHistory::new().with_events(3);
        let app = app(
            &RelayLayer::shared(Key::default()).with_history(history),
            &fake,
        );
        let (shared, mut back, own) = with_what_is_not_kept(&mut calls, &app).await;
        let own = own.open();
        own.send(":hello\n\n").await;
        if let Some(begins_at) = begins_at {
            own.events(begins_at..=10, true).await;
        }
        let expected = ["stream-gap:6", "8", "9", "10"];
        assert_eq!(back.texts(4).await, expected, "{begins_at:?}");
        shared.events([11], true).await;
        assert_eq!(back.text().await, "11");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_from_elsewhere_is_told_before_what_it_may_have_had() {
    let id = SequentialId {
        epoch: Epoch::from_bits(7),
        sequence: 9,
        upstream: Some(b"7"),
    };
    let id = String::from_utf8(id.to_event_id().as_bytes().to_vec()).unwrap();
    for (came_with, has_id, expected) in [
        (&*id, false, &["stream-gap:null", "8", "9"][..]),
        (&*id, true, &["8", "9"]),
        // The upstream's own says where the client is.
        ("7", false, &["8", "9"]),
    ] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let waiting = send(&app, get("/events").header("last-event-id", came_with), "");
        let _shared = calls.recv().await.unwrap().open();
        let mut client = waiting.client().await;
        let own = calls.recv().await.unwrap();
        assert_eq!(own.last_event_id(), Some("7"));
        let own = own.open();
        own.events([8], has_id).await;
        own.events([9], true).await;
        assert_eq!(client.texts(expected.len()).await, expected, "{came_with}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_the_upstream_sets_again_and_again_is_not_asked_with() {
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_events(3);
    let app = app(
        &RelayLayer::shared(Key::default()).with_history(history),
        &fake,
    );
    let first = send(&app, get("/events"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut first = first.client().await;
    let mut id = String::new();
    for number in 1..=10 {
        shared.send(format!("id: one\ndata: {number}\n\n")).await;
        assert_eq!(first.text().await, number.to_string());
        if number == 1 {
            id = first.last_id.clone();
        }
    }
    let mut back = send(&app, get("/events").header("last-event-id", id), "")
        .client()
        .await;
    assert_eq!(back.texts(2).await, ["stream-gap:6", "8"]);
    assert!(calls.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn who_catches_up_where_only_heartbeats_come_has_missed_nothing() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let waiting = send(&app, get("/events").header("last-event-id", "5"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    let own = calls.recv().await.unwrap().open();
    for _ in 0..20 {
        for stream in [&shared, &own] {
            stream.try_send(":hb\n\n").await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    shared.events([6], true).await;
    assert_eq!(client.text().await, "6");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_began_with_a_comment_is_met_at_its_first_event() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let waiting = send(&app, get("/events").header("last-event-id", "5"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    let own = calls.recv().await.unwrap().open();
    for stream in [&shared, &own] {
        stream.send("retry: 10\n\n:hello\n\n").await;
        stream.events(6..=7, true).await;
    }
    assert_eq!(client.texts(2).await, numbers(6..=7));
}

#[tokio::test(start_paused = true)]
async fn so_many_catch_up_at_the_same_time() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let first = send(&app, get("/events"), "");
    let _shared = calls.recv().await.unwrap().open();
    let _first = first.client().await;
    let mut clients = Vec::new();
    for number in 0..80 {
        let request = get("/events").header("last-event-id", format!("of-{number}"));
        clients.push(send(&app, request, "").client().await);
    }
    let mut asked = Vec::new();
    while let Ok(call) = timeout(Duration::from_secs(1), calls.recv()).await {
        asked.push(call.unwrap());
    }
    assert_eq!(asked.len(), 64);
    let one = asked.pop().expect("64 of them");
    drop(one.answer(204, &[]));
    assert!(calls.recv().await.is_some(), "the next one has its turn");
}

#[tokio::test(start_paused = true)]
async fn what_is_reserved_goes_back_to_nothing() {
    let (fake, mut calls) = upstream();
    let key = "default, body".parse().unwrap();
    let layer = RelayLayer::shared(key)
        .with_history(MemoryHistory::new().with_budget(1 << 20))
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
    let layer = RelayLayer::resumable()
        .with_history(MemoryHistory::new().with_budget(100_000))
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
    let layer = RelayLayer::shared("default, body".parse().unwrap())
        .with_history(MemoryHistory::new().with_budget(100_000))
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
