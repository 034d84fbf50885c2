//! The spans of requests, and what they say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{HOST, USER_AGENT};
use http::uri::Authority;
use http::{Extensions, Method, StatusCode, Version, request};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanContext, Status};
use opentelemetry_sdk::trace::Span;
use tower_sse::stage::{Counts, End, Reason};

use super::RouteName;
use crate::client::address::ClientAddress;
use crate::client::claims::X_FORWARDED_PROTO;
use crate::log::shown_path::ShownPath;
use crate::proxy::failure::FailureKind;
use crate::proxy::upstreams::AnsweredBy;

/// Of what a client says of itself so much is exported.
const MAX_LEN: usize = 256;

/// The span of a request: an extension that is set in front of all routes. Clones are the same, and what is said behind its end
/// is not heard.
#[derive(Clone, Debug)]
pub(crate) struct RequestSpan(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    span: Mutex<Span>,
    context: SpanContext,
    /// Whether it ends with an event stream.
    is_of_stream: AtomicBool,
}

impl RequestSpan {
    pub(super) fn new(span: Span) -> Self {
        RequestSpan(Arc::new(Shared {
            context: span.span_context().clone(),
            span: Mutex::new(span),
            is_of_stream: AtomicBool::new(false),
        }))
    }

    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned()
    }

    /// What it is known by.
    pub(super) fn context(&self) -> &SpanContext {
        &self.0.context
    }

    fn with(&self, say: impl FnOnce(&mut Span)) {
        say(&mut self.0.span.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// There is an answer with these extensions. It is yet to be sent.
    pub(crate) fn answered(&self, status: StatusCode, extensions: &Extensions) {
        self.with(|span| {
            let by: Option<&AnsweredBy> = extensions.get();
            span.set_attributes(by.map(|by| KeyValue::new("sse.upstream", by.0.to_string())));
            answer(span, status, extensions.get().copied());
        });
    }

    /// It is left without an answer.
    pub(crate) fn unanswered(&self, failure: Option<FailureKind>) {
        self.with(|span| {
            fail(span, failure.map_or("unanswered", FailureKind::label));
            span.end();
        });
    }

    /// Its client did not wait for the answer. Nobody has failed.
    pub(crate) fn left(&self) {
        self.with(|span| {
            span.set_attribute(KeyValue::new("error.type", "left"));
            span.end();
        });
    }

    /// The answer is over, after so many bytes of its body.
    pub(crate) fn ended(&self, bytes: u64) {
        self.with(|span| {
            span.set_attribute(KeyValue::new("http.response.body.size", int(bytes)));
            span.end();
        });
    }

    /// The answer is an event stream.
    pub(crate) fn opened(&self) {
        self.0.is_of_stream.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_of_stream(&self) -> bool {
        self.0.is_of_stream.load(Ordering::Relaxed)
    }

    /// The stream has its first event with data.
    pub(crate) fn first_event(&self) {
        self.with(|span| span.add_event("sse.first_event", Vec::new()));
    }

    /// The stream has ended.
    pub(crate) fn closed(&self, end: End, counts: &Counts) {
        self.with(|span| {
            span.set_attributes([
                KeyValue::new("sse.events", int(counts.events)),
                KeyValue::new("sse.bytes", int(counts.event_bytes)),
                KeyValue::new("sse.reason", end.as_str()),
            ]);
            let is_failed = matches!(end, End::Failed | End::Broken(_));
            if is_failed || end == End::Closed(Reason::UPSTREAM) {
                fail(span, end.as_str());
            }
            span.end();
        });
    }
}

/// The span of a request that a relay makes for all of its clients. It ends with the head of the answer.
#[derive(Debug)]
pub(crate) struct RelaySpan(pub(super) Span);

impl RelaySpan {
    pub(crate) fn answered(mut self, status: StatusCode, failure: Option<FailureKind>) {
        answer(&mut self.0, status, failure);
        // Of what is asked of others, 4xx is an error too.
        if status.is_client_error() {
            fail(&mut self.0, status.as_str());
        }
    }
}

fn answer(span: &mut Span, status: StatusCode, failure: Option<FailureKind>) {
    let code = i64::from(status.as_u16());
    span.set_attribute(KeyValue::new("http.response.status_code", code));
    match failure {
        Some(kind) if status.is_server_error() => fail(span, kind.label()),
        None if status.is_server_error() => fail(span, status.as_str()),
        _ => {}
    }
}

fn fail(span: &mut Span, why: &str) {
    span.set_attribute(KeyValue::new("error.type", why.to_owned()));
    span.set_status(Status::error(""));
}

/// The method as the first word of a span's name.
pub(super) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "HTTP",
    }
}

/// Names a span by its route, and says what was asked for: by the semantic conventions for HTTP, and without the query.
pub(super) fn describe(
    span: &mut Span,
    route: &RouteName,
    asked: &Method,
    extensions: &Extensions,
) {
    let method = method(asked);
    if let Some(path) = &route.path {
        span.update_name(format!("{method} {path}"));
        span.set_attribute(KeyValue::new("http.route", path.to_string()));
    }
    if !route.name.is_empty() {
        span.set_attribute(KeyValue::new("sse.route", route.name.to_string()));
    }
    if method == "HTTP" {
        let original = cut(asked.as_str());
        span.set_attribute(KeyValue::new("http.request.method", "_OTHER"));
        span.set_attribute(KeyValue::new("http.request.method_original", original));
    } else {
        span.set_attribute(KeyValue::new("http.request.method", method));
    }
    if let Some(ShownPath(path)) = extensions.get() {
        span.set_attribute(KeyValue::new("url.path", path.to_string()));
    }
}

/// What is known of the client, and of the name by which it has asked.
pub(super) fn describe_client(span: &mut Span, parts: &request::Parts) {
    let headers = &parts.headers;
    let is_https = headers
        .get(X_FORWARDED_PROTO)
        .is_some_and(|scheme| scheme == "https");
    let scheme = if is_https { "https" } else { "http" };
    span.set_attribute(KeyValue::new("url.scheme", scheme));
    let version = match parts.version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    span.set_attribute(KeyValue::new("network.protocol.version", version));
    if let Some(ClientAddress { peer, client }) = parts.extensions.get() {
        span.set_attribute(KeyValue::new("client.address", client.to_string()));
        if let Some(peer) = peer {
            let port = i64::from(peer.port());
            span.set_attribute(KeyValue::new("network.peer.address", peer.ip().to_string()));
            span.set_attribute(KeyValue::new("network.peer.port", port));
        }
    }
    let host = headers.get(HOST).map(|host| host.as_bytes());
    let host = host.and_then(|host| Authority::try_from(host).ok());
    if let Some(host) = host.filter(|host| !host.as_str().contains('@')) {
        span.set_attribute(KeyValue::new("server.address", cut(host.host())));
        let port = host.port_u16().map(i64::from);
        span.set_attributes(port.map(|port| KeyValue::new("server.port", port)));
    }
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    span.set_attributes(agent.map(|agent| KeyValue::new("user_agent.original", cut(agent))));
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_LEN).collect()
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
