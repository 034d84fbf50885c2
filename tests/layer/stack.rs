//! It composes: with axum, with the layers of tower-http, around a client of hyper, and with itself.

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body as AxumBody;
use axum::response::sse::{Event as AxumEvent, KeepAlive, Sse};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::decompression::DecompressionLayer;
use tower_http::timeout::{ResponseBodyTimeoutLayer, TimeoutLayer};
use tower_http::trace::TraceLayer;
use tower_sse::EventLayer;
use tower_sse::stage::{EventIds, Heartbeat, IdleTimeout, Lifetime, Retry};

use crate::client::{Seen, read, read_foreign};
use crate::probe::{Log, Probe};
use crate::upstream::{Upstream, upstream};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn request(path: &str) -> Request<AxumBody> {
    Request::get(path).body(AxumBody::empty()).unwrap()
}

/// What a client of this app sees at this path, in 100 s.
async fn at(app: &Router, path: &str) -> Seen {
    let response = app.clone().oneshot(request(path)).await.unwrap();
    read_foreign(pin!(response.into_body()), 100).await
}

/// A handler that answers with this upstream.
fn handler(
    upstream: impl Fn() -> Upstream + Clone + Send + Sync + 'static,
) -> axum::routing::MethodRouter {
    get(move || {
        let (head, body) = upstream().response().into_parts();
        ready(Response::from_parts(head, AxumBody::new(body)))
    })
}

fn one_event() -> Upstream {
    upstream().chunk(1, "data: a\n\n").end(20)
}

fn heartbeat() -> EventLayer<Heartbeat> {
    EventLayer::new(Heartbeat::every(secs(15)))
}

const WITH_HEARTBEAT: [(u64, &str); 3] = [(1, "data: a\n\n"), (16, ":\n"), (20, "(end)")];
const AS_IT_IS: [(u64, &str); 2] = [(1, "data: a\n\n"), (20, "(end)")];

#[tokio::test(start_paused = true)]
async fn routes_of_axum_and_nested_routers() {
    let one_route = Router::new()
        .route("/with", handler(one_event).layer(heartbeat()))
        .route("/without", handler(one_event));
    let app = Router::new()
        .route("/", handler(one_event))
        .nest("/api", one_route)
        .nest(
            "/all",
            Router::new()
                .route("/events", handler(one_event))
                .route("/text", get(|| ready("data: a\n\n")))
                .layer(heartbeat()),
        )
        .fallback(|| ready(StatusCode::NOT_FOUND));

    assert_eq!(at(&app, "/").await, AS_IT_IS);
    assert_eq!(at(&app, "/api/with").await, WITH_HEARTBEAT);
    assert_eq!(at(&app, "/api/without").await, AS_IT_IS);
    assert_eq!(at(&app, "/all/events").await, WITH_HEARTBEAT);
    assert_eq!(
        at(&app, "/all/text").await,
        [(0, "data: a\n\n"), (0, "(end)")]
    );
    let all = app.layer(EventLayer::new(Retry::after(secs(3))));
    assert_eq!(
        at(&all, "/all/events").await[0],
        (1, "retry: 3000\ndata: a\n\n")
    );
    assert_eq!(at(&all, "/nowhere").await, [(0, "(end)")]);
}

#[tokio::test(start_paused = true)]
async fn event_streams_made_by_axum() {
    let app = Router::new()
        .route(
            "/",
            get(|| async {
                let event = AxumEvent::default().event("add").data("a");
                let events = stream::iter([Ok::<_, Infallible>(event)]);
                Sse::new(events).keep_alive(KeepAlive::default())
            }),
        )
        .layer(EventLayer::new((
            Retry::after(secs(3)),
            Heartbeat::every(secs(15)),
        )));
    assert_eq!(
        at(&app, "/").await,
        [(0, "retry: 3000\nevent: add\ndata: a\n\n"), (0, "(end)")]
    );
}

#[tokio::test(start_paused = true)]
async fn trace_inside_and_outside() {
    let app = Router::new()
        .route("/", handler(one_event))
        .layer(TraceLayer::new_for_http())
        .layer(heartbeat())
        .layer(TraceLayer::new_for_http());
    assert_eq!(at(&app, "/").await, WITH_HEARTBEAT);
}

#[tokio::test(start_paused = true)]
async fn cors_inside_and_outside() {
    for app in [
        Router::new()
            .route("/", handler(one_event))
            .layer(CorsLayer::permissive())
            .layer(heartbeat()),
        Router::new()
            .route("/", handler(one_event))
            .layer(heartbeat())
            .layer(CorsLayer::permissive()),
    ] {
        let response = app.oneshot(request("/")).await.unwrap();
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        let got = read_foreign(pin!(response.into_body()), 100).await;
        assert_eq!(got, WITH_HEARTBEAT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_head_leaves_the_stream_alone() {
    let timeout = || TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, secs(5));
    let slow = get(|| async {
        tokio::time::sleep(secs(10)).await;
        "late"
    });
    let log = Log::default();
    let app = Router::new()
        .route("/", handler(one_event))
        .route("/slow", slow)
        .layer(timeout())
        .layer(heartbeat())
        .layer(EventLayer::new(log.probe("p")))
        .layer(timeout());
    assert_eq!(at(&app, "/").await[1..], WITH_HEARTBEAT);
    log.take();
    let response = app.oneshot(request("/slow")).await.unwrap();
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(log.take()[0], "p on_request /slow");
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_body_outside_hears_heartbeats_and_inside_it_does_not() {
    let long = || upstream().chunk(1, "data: a\n\n").end(60);
    let outside = Router::new()
        .route("/", handler(long))
        .layer(heartbeat())
        .layer(ResponseBodyTimeoutLayer::new(secs(20)));
    assert_eq!(
        at(&outside, "/").await,
        [
            (1, "data: a\n\n"),
            (16, ":\n"),
            (31, ":\n"),
            (46, ":\n"),
            (60, "(end)")
        ]
    );

    let log = Log::default();
    let inside = Router::new()
        .route("/", handler(long))
        .layer(ResponseBodyTimeoutLayer::new(secs(20)))
        .layer(EventLayer::new((
            Heartbeat::every(secs(15)),
            log.probe("p"),
        )));
    assert_eq!(
        at(&inside, "/").await[1..],
        [(1, "data: a\n\n"), (16, ":\n"), (21, "(failed)")]
    );
    assert_eq!(log.ends(), ["p on_end upstream_error 21"]);
}

/// What this app sends to a client that takes gzip, with its headers, and what the client reads of it.
async fn gzipped(app: Router) -> (Response<Bytes>, String) {
    let mut request = request("/");
    let gzip = "gzip".parse().unwrap();
    request.headers_mut().insert(header::ACCEPT_ENCODING, gzip);
    let (head, body) = app.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let sent = Response::from_parts(head.clone(), bytes.clone());

    let replay = service_fn(move |_: Request<AxumBody>| {
        let body = AxumBody::from(bytes.clone());
        ready(Ok::<_, Infallible>(Response::from_parts(
            head.clone(),
            body,
        )))
    });
    let client = DecompressionLayer::new().layer(replay);
    let body = client
        .oneshot(self::request("/"))
        .await
        .unwrap()
        .into_body();
    let read = body.collect().await.unwrap().to_bytes();
    (sent, String::from_utf8(read.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn compression_outside_leaves_event_streams_alone_unless_told_otherwise() {
    let app = || {
        Router::new()
            .route("/", handler(one_event))
            .layer(heartbeat())
    };
    let (sent, read) = gzipped(app().layer(CompressionLayer::new())).await;
    assert!(!sent.headers().contains_key("content-encoding"));
    assert_eq!(sent.body(), "data: a\n\n:\n");
    assert_eq!(read, "data: a\n\n:\n");

    let everything = |_: StatusCode, _: _, _: &_, _: &_| true;
    let (sent, read) =
        gzipped(app().layer(CompressionLayer::new().compress_when(everything))).await;
    assert_eq!(sent.headers()["content-encoding"], "gzip");
    assert_eq!(sent.body()[..2], [0x1f, 0x8b]);
    assert_eq!(read, "data: a\n\n:\n");
}

#[tokio::test(start_paused = true)]
async fn compression_inside_hides_the_events_which_pass_untouched() {
    let log = Log::default();
    let everything = |_: StatusCode, _: _, _: &_, _: &_| true;
    let app = Router::new()
        .route(
            "/",
            get(|| ready(([("content-type", "text/event-stream")], "data: a\n\n"))),
        )
        .layer(CompressionLayer::new().compress_when(everything))
        .layer(EventLayer::new((
            Heartbeat::every(secs(1)).at_open(),
            log.probe("p"),
        )));
    let (sent, read) = gzipped(app).await;
    assert_eq!(sent.headers()["content-encoding"], "gzip");
    assert_eq!(read, "data: a\n\n");
    assert_eq!(log.take(), ["p on_request /", "p on_bypass Encoded"]);
}

#[tokio::test(start_paused = true)]
async fn twice_in_one_stack() {
    let log = Log::default();
    let inner = EventLayer::new((
        IdleTimeout::after(secs(40)),
        Heartbeat::every(secs(15)),
        EventIds::sequential(),
    ));
    let outer = EventLayer::new((
        Heartbeat::every(secs(10)),
        EventIds::sequential(),
        log.probe("p"),
    ));
    let service = ServiceBuilder::new()
        .layer(outer)
        .layer(inner)
        .service_fn(|_: Request<()>| {
            let response = upstream().chunk(1, "data: a\n\n").response();
            ready(Ok::<_, Infallible>(response))
        });
    let response = service.oneshot(Request::new(())).await.unwrap();
    let got = read(response.into_body(), 100).await;
    assert_eq!(got[0], (0, ": p\n"));
    assert!(got[1].1.starts_with("id: ts") && got[1].1.ends_with("-1\ndata: a\n\n"));
    // The outer one hears the inner one's heartbeats as those of an upstream.
    assert_eq!(
        got[2..],
        [
            (11, ":\n"),
            (16, ":\n"),
            (26, ":\n"),
            (31, ":\n"),
            (41, ": closing: idle\n"),
            (41, "(end)")
        ]
    );
    assert_eq!(log.ends(), ["p on_end upstream_end 41"]);
}

#[tokio::test]
async fn around_a_client_of_hyper() {
    let app = Router::new().route("/", handler(|| upstream().chunk(0, "data: a\n\ndata: b")));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, app).into_future());

    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let log = Log::default();
    let stages: (Retry, Lifetime, Probe) = (
        Retry::after(secs(3)),
        Lifetime::at_most(Duration::from_millis(300)),
        log.probe("p"),
    );
    let client = EventLayer::new(stages).layer(client);
    let request = Request::get(format!("http://{address}/"))
        .body(Empty::new())
        .unwrap();
    let response = client.oneshot(request).await.unwrap();
    assert!(!response.headers().contains_key("content-length"));
    let got: String = read(response.into_body(), 30)
        .await
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    assert_eq!(
        got,
        "retry: 3000\n: p\ndata: a\n\n: closing: lifetime\n(end)"
    );
    assert!(log.ends()[0].starts_with("p on_end lifetime"));
    server.abort();
}

/// One that has no `Default` itself: bodies of streams seldom do.
#[tokio::test(start_paused = true)]
async fn cors_stands_outside_without_axum() {
    let service = ServiceBuilder::new()
        .layer(CorsLayer::permissive())
        .layer(heartbeat())
        .service(service_fn(|_: Request<()>| {
            ready(Ok::<_, Infallible>(one_event().response()))
        }));
    let response = service.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(read(response.into_body(), 100).await, WITH_HEARTBEAT);
    let preflight = Request::options("/").body(()).unwrap();
    let response = service.oneshot(preflight).await.unwrap();
    assert_eq!(read(response.into_body(), 100).await, [(0, "(end)")]);
}
