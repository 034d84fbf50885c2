//! The admin listener: metrics, health, the open streams, and the order to drain.

pub(crate) mod recorder;
pub(crate) mod relays;
pub(crate) mod streams;
pub(crate) mod trust;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tower_service::Service;

use crate::admin::trust::Refusal;
use crate::answer::answer;
use crate::gateway::State;
use crate::listener::ACCEPT_PAUSES;
use crate::log;
use crate::log::limiter::{self, Limiter};
use crate::shutdown::Phase;

/// The service of the admin listener.
#[derive(Clone)]
pub(crate) struct Admin {
    metrics: PrometheusHandle,
    drain_remaining: Gauge,
    log_lines_dropped: Counter,
    state: State,
    /// By which it may be asked, beside its addresses.
    hosts: Arc<[String]>,
    warnings: Arc<Limiter>,
}

const INDEX: &str = "\
sse-gateway

GET  /metrics  metrics as Prometheus text
GET  /healthz  200 while the process lives
GET  /readyz   200 while it takes new streams, 503 while it drains
GET  /streams  the open streams and the relays as JSON
POST /drain    drains and ends the gateway, as SIGTERM does
";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Admin {
    pub(crate) fn new(metrics: PrometheusHandle, state: &State, hosts: &[String]) -> Self {
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
        Admin {
            metrics,
            drain_remaining: gauge!("sse_drain_remaining"),
            log_lines_dropped: counter!("sse_log_lines_dropped_total"),
            state: state.clone(),
            hosts: hosts.into(),
            warnings: Arc::default(),
        }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let allowed = match path {
            "/" | "/metrics" | "/healthz" | "/readyz" | "/streams" => "GET, HEAD",
            "/drain" => "POST",
            _ => {
                return answer(
                    StatusCode::NOT_FOUND,
                    TEXT,
                    format!("{path} is not known.\n\n{INDEX}"),
                );
            }
        };
        if !allowed
            .split(", ")
            .any(|allowed| allowed == method.as_str())
        {
            let mut response = answer(
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                format!("{path} takes {allowed}.\n"),
            );
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static(allowed));
            return response;
        }
        match path {
            "/metrics" => {
                self.drain_remaining.set(self.remaining() as f64);
                self.state.relays.update_metrics();
                self.log_lines_dropped.absolute(log::lines_dropped());
                answer(StatusCode::OK, PROMETHEUS, self.metrics.render())
            }
            "/healthz" => answer(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" if self.state.shutdown.phase() == Phase::Serving => {
                answer(StatusCode::OK, TEXT, "ready\n")
            }
            "/readyz" => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n"),
            "/streams" => {
                let streams = self.state.streams.to_json();
                let all = json!({
                    "active": streams.len(),
                    "draining": self.is_draining(),
                    "streams": streams,
                    "relays": self.state.relays.to_json(),
                });
                answer(StatusCode::OK, JSON, format!("{all}\n"))
            }
            "/drain" => {
                if !self.is_draining() {
                    tracing::info!("told to drain by the admin listener");
                }
                self.state.shutdown.graceful();
                let all = json!({ "draining": true, "remaining": self.state.drain.open_streams() });
                answer(StatusCode::ACCEPTED, JSON, format!("{all}\n"))
            }
            _ => answer(StatusCode::OK, TEXT, INDEX),
        }
    }

    /// The log says it too: Prometheus shows the status alone.
    fn refuse(&self, refusal: Refusal) -> Response<Full<Bytes>> {
        let Refusal { status, why } = refusal;
        if let Some(suppressed) = self.warnings.pass("refused") {
            let (why, suppressed) = (why.trim_end(), limiter::told(suppressed));
            tracing::warn!(why, suppressed, "refused a request to the admin listener");
        }
        answer(status, TEXT, why)
    }

    fn is_draining(&self) -> bool {
        self.state.shutdown.phase() != Phase::Serving
    }

    fn remaining(&self) -> usize {
        if self.is_draining() {
            self.state.drain.open_streams()
        } else {
            0
        }
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        // A probe may ask by any name, and learns nothing that matters.
        let checked = match path {
            "/healthz" | "/readyz" => Ok(()),
            _ => trust::check(&request, &self.hosts),
        };
        ready(Ok(match checked {
            Ok(()) => self.answer(request.method(), path),
            Err(refusal) => self.refuse(refusal),
        }))
    }
}
