//! The page, its buttons, and what it is told of what goes on behind it.

use std::time::SystemTime;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::admin::trust;
use crate::answer::{TEXT, answer};

use super::nodes::Nodes;
use super::{Demo, page, query::parameter, seen::unix_millis};

/// Whether the demo answers, and not the proxy.
pub(super) fn is_ours(path: &str) -> bool {
    path == "/" || path.starts_with("/demo/")
}

/// Answers the page and its buttons.
pub(super) fn router(demo: Demo) -> Router {
    let buttons = Router::new()
        .route("/demo/cut", post(cut))
        .route("/demo/drop", post(drop_connections))
        .route("/demo/restart", post(restart))
        .route("/demo/drain", post(drain))
        .route("/demo/kill", post(kill))
        .route("/demo/begin", post(begin))
        // A page of another site is not to press them.
        .route_layer(middleware::from_fn(pass));
    Router::new()
        .route("/", get(page))
        .route(
            "/demo/state",
            get(async |State(demo): State<Demo>| demo.state()),
        )
        .merge(buttons)
        .fallback(async || text(StatusCode::NOT_FOUND, "the demo does not have this\n"))
        .method_not_allowed_fallback(async || {
            let why = "the demo does not know this method here\n";
            text(StatusCode::METHOD_NOT_ALLOWED, why)
        })
        .with_state(demo)
}

async fn pass(request: Request, next: Next) -> Response {
    match trust::check_page(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => answer(refusal.status, TEXT, refusal.why).into_response(),
    }
}

async fn page(State(demo): State<Demo>) -> impl IntoResponse {
    let page = page::with_upstream(demo.addr());
    let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", page);
    let policy = page::policy(demo.inner.nodes.get().map(Nodes::port));
    if let Ok(policy) = HeaderValue::try_from(policy) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

async fn cut(State(demo): State<Demo>, RawQuery(query): RawQuery) -> Response {
    let client = parameter(query.as_deref(), "client").unwrap_or_default();
    let nodes = demo.inner.nodes.get();
    match demo.inner.cuts.cut(&client) + nodes.map_or(0, |nodes| nodes.cut(&client)) {
        0 => text(StatusCode::NOT_FOUND, "no stream of this client is open\n"),
        _ => demo.state(),
    }
}

async fn kill(State(demo): State<Demo>, RawQuery(query): RawQuery) -> Response {
    match (demo.inner.nodes.get(), node(query.as_deref())) {
        (Some(nodes), Some(number)) if nodes.kill(number) => demo.state(),
        _ => text(StatusCode::NOT_FOUND, "no such gateway runs\n"),
    }
}

async fn begin(State(demo): State<Demo>, RawQuery(query): RawQuery) -> Response {
    let (Some(nodes), Some(number)) = (demo.inner.nodes.get(), node(query.as_deref())) else {
        return text(StatusCode::NOT_FOUND, "there is no such gateway\n");
    };
    match nodes.begin(number, &demo).await {
        Ok(()) => demo.state(),
        Err(error) => {
            tracing::warn!(%error, "a gateway of the demo cannot start");
            text(StatusCode::SERVICE_UNAVAILABLE, "the store is away\n")
        }
    }
}

fn node(query: Option<&str>) -> Option<usize> {
    parameter(query, "node")?.parse().ok()
}

async fn drop_connections(State(demo): State<Demo>) -> Response {
    demo.inner.upstream.cut();
    demo.state()
}

async fn restart(State(demo): State<Demo>) -> Response {
    demo.inner.upstream.restart();
    demo.state()
}

async fn drain(State(demo): State<Demo>) -> Response {
    let Some(buttons) = demo.inner.buttons.get() else {
        return text(StatusCode::NOT_IMPLEMENTED, "nothing to drain here\n");
    };
    (buttons.drain)();
    demo.state()
}

impl Demo {
    fn state(&self) -> Response {
        let upstream = self.inner.upstream.state();
        let buttons = self.inner.buttons.get();
        let streams = buttons.map_or_else(Vec::new, |buttons| (buttons.streams)());
        // A page counts events, and is not to see who else reads them.
        let streams = streams
            .iter()
            .map(|stream| [&stream["number"], &stream["events"]]);
        let mut body = json!({
            // The page's clock may be another one.
            "now": unix_millis(SystemTime::now()),
            "upstream": {
                "up": upstream.up,
                "restarts": upstream.restarts,
                "requests": upstream.requests,
            },
            "relays": buttons.map_or_else(Vec::new, |buttons| (buttons.relays)()),
            "streams": streams.collect::<Vec<_>>(),
        });
        if let Some(nodes) = self.inner.nodes.get() {
            body["several"] = nodes.to_json();
        }
        answer(StatusCode::OK, "application/json", body.to_string()).into_response()
    }
}

fn text(status: StatusCode, body: &'static str) -> Response {
    answer(status, TEXT, body).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::body::Body;
    use http::Method;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::super::Buttons;
    use super::*;

    async fn answer_to(demo: &Demo, request: http::request::Builder) -> Response {
        let request = request.body(Body::empty()).expect("a request");
        let Ok(response) = router(demo.clone()).oneshot(request).await;
        response
    }

    async fn ask(demo: &Demo, method: Method, target: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(target);
        let response = answer_to(demo, request).await;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.expect("a whole body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[test]
    fn what_is_not_the_demos_is_left_to_the_proxy() {
        for path in [
            "/clock",
            "/news",
            "/notices",
            "/tokens",
            "/demo",
            "/index.html",
        ] {
            assert!(!is_ours(path), "{path}");
        }
        assert!(is_ours("/") && is_ours("/demo/state"));
    }

    #[tokio::test]
    async fn the_page_has_the_gateways_settings_with_the_upstream_that_is() {
        let demo = Demo::start().await.expect("a free port");
        let response = answer_to(&demo, Request::get("/")).await;
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
        let (_, page) = ask(&demo, Method::GET, "/").await;
        let upstream = format!("\nupstream = \"http://{}\"\n", demo.addr());
        // Those of the gateways that share streams have it too.
        assert_eq!(page.matches(&upstream).count(), 2);
        assert!(page.contains("\nshare = \"path\"") && page.contains("\nresume = true"));
    }

    #[tokio::test]
    async fn the_state_is_told_as_json() {
        let demo = Demo::start().await.expect("a free port");
        demo.stands_before(Buttons {
            drain: Box::new(|| {}),
            relays: Box::new(|| vec![json!({ "clients": 2 })]),
            streams: Box::new(|| vec![json!({ "number": 7, "client": "10.0.0.1", "events": 3 })]),
        });
        let (status, told) = ask(&demo, Method::GET, "/demo/state").await;
        let mut told: Value = serde_json::from_str(&told).expect("JSON");
        assert!(told["now"].as_u64() > Some(1_600_000_000_000));
        told["now"] = 0.into();
        let upstream = json!({ "up": true, "restarts": 0, "requests": [] });
        let relays = json!([{ "clients": 2 }]);
        let state =
            json!({ "now": 0, "upstream": upstream, "relays": relays, "streams": [[7, 3]] });
        assert_eq!((status, told), (StatusCode::OK, state));
    }

    #[tokio::test]
    async fn buttons_are_pressed_by_post_alone() {
        let demo = Demo::start().await.expect("a free port");
        for button in [
            "cut?client=a",
            "drop",
            "restart",
            "drain",
            "kill?node=0",
            "begin?node=0",
        ] {
            let path = format!("/demo/{button}");
            let response = answer_to(&demo, Request::get(&path)).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(response.headers()[header::ALLOW], "POST", "{path}");
        }
        let (status, _) = ask(&demo, Method::POST, "/").await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn buttons_are_not_pressed_by_pages_of_other_sites() {
        let demo = Demo::start().await.expect("a free port");
        let press = async |origin: &str| {
            let request = Request::post("/demo/drop")
                .header(header::HOST, "127.0.0.1:8080")
                .header(header::ORIGIN, origin);
            answer_to(&demo, request).await.status()
        };
        assert_eq!(press("http://evil.example").await, StatusCode::FORBIDDEN);
        assert_eq!(press("http://127.0.0.1:8080").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_client_that_has_no_stream_cannot_be_cut() {
        let demo = Demo::start().await.expect("a free port");
        let cut = || ask(&demo, Method::POST, "/demo/cut?client=a%20b");
        assert_eq!(cut().await.0, StatusCode::NOT_FOUND);
        let _open = demo.inner.cuts.enter("a b".to_owned());
        assert_eq!(cut().await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn drain_does_what_the_gateway_said() {
        let demo = Demo::start().await.expect("a free port");
        let drain = || ask(&demo, Method::POST, "/demo/drain");
        let (status, _) = drain().await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED);

        let drained = Arc::new(AtomicUsize::new(0));
        let count = drained.clone();
        demo.stands_before(Buttons {
            drain: Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            }),
            relays: Box::new(Vec::new),
            streams: Box::new(Vec::new),
        });
        let (status, _) = drain().await;
        let drained = drained.load(Ordering::Relaxed);
        assert_eq!((status, drained), (StatusCode::OK, 1));
    }
}
