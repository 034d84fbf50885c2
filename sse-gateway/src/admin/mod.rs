//! The admin listener: metrics, health, the open streams, and the order to drain.

mod ready;
pub(crate) mod recorder;
mod token;
pub(crate) mod trust;

use std::sync::Arc;

use axum::Router;
use axum::extract::{OriginalUri, Request, State as Shared};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use metrics::{
    Counter, Gauge, counter, describe_counter, describe_gauge, describe_histogram, gauge,
};
use metrics_exporter_prometheus::PrometheusHandle;
use metrics_process::Collector;
use serde_json::json;

use crate::admin::ready::Upstreams;
use crate::admin::trust::Refusal;
use crate::answer::{TEXT, answer};
use crate::coding::{Coding, DECODED};
use crate::config::{AdminToken, GatewaySettings};
use crate::listener::tls::HANDSHAKES;
use crate::listener::{self, ACCEPT_PAUSES, Connection};
use crate::log;
use crate::log::limiter::{self, Limiter};
use crate::policy::REFUSED;
use crate::reload::Reload;
use crate::shutdown::Phase;
use crate::stack::requests::{REQUESTS, SECONDS};
use crate::state::State;
use crate::workers::Workers;

/// What the answers are made of.
#[derive(Clone)]
struct Admin {
    metrics: PrometheusHandle,
    drain_remaining: Gauge,
    log_lines_dropped: Counter,
    state: State,
    reload: Reload,
    upstreams: Upstreams,
    process: Collector,
    connections: Gauge,
    workers: Workers,
}

/// Who may ask.
#[derive(Clone)]
struct Door {
    /// By which it may be asked, beside its addresses.
    hosts: Arc<[String]>,
    token: Option<AdminToken>,
    warnings: Arc<Limiter>,
}

const INDEX: &str = "\
sse-gateway

GET  /metrics  metrics as Prometheus text
GET  /healthz  200 while the process lives
GET  /readyz   200 while it takes new streams, 503 while it drains, or has no upstream (--ready-upstream)
GET  /streams  the open streams and the relays as JSON
POST /reload   reads the file of settings again, as SIGHUP does
POST /drain    drains and ends the gateway, as SIGTERM does
";

const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The service of the admin listener.
pub(crate) fn router(
    metrics: PrometheusHandle,
    state: &State,
    reload: Reload,
    workers: Workers,
    settings: &GatewaySettings,
) -> Router {
    describe();
    let admin = Admin {
        metrics,
        drain_remaining: gauge!("sse_drain_remaining"),
        log_lines_dropped: counter!("sse_log_lines_dropped_total"),
        state: state.clone(),
        reload,
        upstreams: Upstreams::default(),
        process: Collector::default(),
        connections: gauge!("sse_connections"),
        workers,
    };
    admin.process.describe();
    let door = Door {
        hosts: settings.admin_hosts.as_slice().into(),
        token: settings.admin_token.clone(),
        warnings: Arc::default(),
    };
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(render))
        .route("/streams", get(streams))
        .route("/drain", post(drain))
        .route("/reload", post(reload_settings))
        .fallback(not_known)
        .method_not_allowed_fallback(not_taken)
        .layer(middleware::from_fn_with_state(door, pass))
        // A probe may ask by any name, and learns nothing that matters.
        .route(
            "/healthz",
            get(async || answer(StatusCode::OK, TEXT, "ok\n")),
        )
        .route("/readyz", get(ready))
        .with_state(admin)
}

fn describe() {
    describe_gauge!(
        "sse_drain_remaining",
        "Event streams that are still open while the gateway drains."
    );
    describe_counter!(
        "sse_log_lines_dropped_total",
        "Lines of the log that were dropped because nobody read them in time."
    );
    describe_counter!(
        ACCEPT_PAUSES,
        "Times at which connections had to wait to be accepted, because no descriptors were left."
    );
    counter!(ACCEPT_PAUSES).increment(0);
    describe_counter!(
        REQUESTS,
        "Requests by the status of the answer; none: left unanswered, left: the client did not wait for it."
    );
    describe_histogram!(
        SECONDS,
        "From a request to the end of the answer, unless that is an event stream."
    );
    describe_counter!(
        DECODED,
        "Event streams that the upstream had encoded, and that were decoded."
    );
    for coding in Coding::ALL {
        counter!(DECODED, "coding" => coding.name()).increment(0);
    }
    describe_gauge!("sse_build_info", "1, with the version of the gateway.");
    gauge!("sse_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    describe_gauge!("sse_connections", "Connections of clients that are open.");
    describe_counter!(
        REFUSED,
        "Requests that were refused, by the limit that was reached."
    );
    describe_counter!(
        HANDSHAKES,
        "Handshakes of TLS with clients, by result: ok, failed, or no_tls where none was begun."
    );
    // A rate needs a value from before the first time.
    for result in ["ok", "failed", "no_tls"] {
        counter!(HANDSHAKES, "result" => result).increment(0);
    }
    for limit in ["all", "route", "client", "field", "rate", "connections"] {
        counter!(REFUSED, "limit" => limit).increment(0);
    }
}

/// Lets through whom it trusts. The log says it too: Prometheus shows the status alone.
async fn pass(Shared(door): Shared<Door>, request: Request, next: Next) -> Response {
    let Err(Refusal { status, why }) = door.check(&request) else {
        return next.run(request).await;
    };
    if let Some(suppressed) = door.warnings.pass("refused") {
        let (why, suppressed) = (why.trim_end(), limiter::told(suppressed));
        tracing::warn!(why, suppressed, "refused a request to the admin listener");
    }
    let mut refusal = answer(status, TEXT, why).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        refusal.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    refusal
}

impl Door {
    fn check(&self, request: &Request) -> Result<(), Refusal> {
        trust::check(request, &self.hosts)?;
        let connection = request.extensions().get::<Connection>();
        let peer = connection.and_then(|connection| connection.peer);
        let peer = peer.map(|peer| peer.ip());
        let asked = (request.method(), request.uri().path());
        token::check(self.token.as_ref(), asked, peer, request.headers())
    }
}

async fn render(Shared(admin): Shared<Admin>) -> impl IntoResponse {
    listener::settle(&admin.workers).await;
    admin.drain_remaining.set(admin.remaining() as f64);
    admin.state.relays.update_metrics();
    admin.process.collect();
    admin
        .connections
        .set(admin.state.shutdown.connections() as f64);
    admin.log_lines_dropped.absolute(log::lines_dropped());
    answer(StatusCode::OK, PROMETHEUS, admin.metrics.render())
}

async fn index(Shared(admin): Shared<Admin>) -> impl IntoResponse {
    let failed = admin.reload.failed();
    let failed = failed.map(|why| {
        format!("\nThe settings are those from before the last reload, since it failed:\n{why}\n")
    });
    answer(
        StatusCode::OK,
        TEXT,
        format!("{INDEX}{}", failed.unwrap_or_default()),
    )
}

async fn reload_settings(Shared(admin): Shared<Admin>) -> impl IntoResponse {
    match admin.reload.reload() {
        Ok(told) => answer(StatusCode::OK, TEXT, format!("{told}\n")),
        Err(why) => answer(StatusCode::CONFLICT, TEXT, format!("{why}\n")),
    }
}

async fn ready(Shared(admin): Shared<Admin>) -> impl IntoResponse {
    if admin.is_draining() {
        return answer(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "draining\n".to_owned(),
        );
    }
    match admin.upstreams.check(&admin.reload).await {
        Ok(()) => answer(StatusCode::OK, TEXT, "ready\n".to_owned()),
        Err(why) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, why),
    }
}

async fn streams(Shared(admin): Shared<Admin>) -> impl IntoResponse {
    listener::settle(&admin.workers).await;
    let streams = admin.state.streams.to_json();
    let mut all = json!({
        "active": streams.len(),
        "draining": admin.is_draining(),
        "streams": streams,
        "relays": admin.state.relays.to_json(),
    });
    if let Some(instance) = admin.state.relays.instance() {
        all["instance"] = json!(instance);
    }
    answer(StatusCode::OK, JSON, format!("{all}\n"))
}

async fn drain(Shared(admin): Shared<Admin>) -> impl IntoResponse {
    if !admin.is_draining() {
        tracing::info!("told to drain by the admin listener");
    }
    admin.state.shutdown.graceful();
    let all = json!({ "draining": true, "remaining": admin.state.drain.open_streams() });
    answer(StatusCode::ACCEPTED, JSON, format!("{all}\n"))
}

async fn not_known(OriginalUri(uri): OriginalUri) -> impl IntoResponse {
    let why = format!("{} is not known.\n\n{INDEX}", uri.path());
    answer(StatusCode::NOT_FOUND, TEXT, why)
}

async fn not_taken(OriginalUri(uri): OriginalUri) -> impl IntoResponse {
    let takes = match uri.path() {
        "/drain" | "/reload" => "POST",
        _ => "GET, HEAD",
    };
    let why = format!("{} takes {takes}.\n", uri.path());
    answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, why)
}

impl Admin {
    fn is_draining(&self) -> bool {
        self.state.shutdown.phase() != Phase::Serving
    }

    fn remaining(&self) -> usize {
        match self.is_draining() {
            true => self.state.drain.open_streams(),
            false => 0,
        }
    }
}
