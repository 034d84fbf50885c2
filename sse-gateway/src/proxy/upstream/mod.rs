//! The upstream: where requests go, and the connections that carry them.
//!
//! A client of an [`Upstream`] talks to that one address, whatever the request says. hyper's own connections are used
//! directly, without a general HTTP client above them: such a client keys its pool by the request's URI (which the
//! gateway's clients control), keeps a task waiting for the whole life of each streamed response, and does not tell
//! whether a failed request went out on a connection that was used before.
//!
//! - `connect`: TCP, TLS and Unix sockets.
//! - `tcp`, `addresses`: to one of a name's addresses.
//! - `tls`: whom an upstream has to prove to be.
//! - `http1`: a pool of HTTP/1.1 connections, one request on each at a time.
//! - `exchange`, `response_head`, `raw_body`, `chunked`: a request of which a stream may come, without hyper.
//! - `idle`: the connections of a pool that wait.
//! - `http2`: few HTTP/2 connections, shared by all requests.
//! - `body`: the response body, which gives its connection back when it ends.

mod addresses;
mod body;
mod chunked;
mod connect;
mod exchange;
mod http1;
mod http2;
mod idle;
mod raw_body;
mod response_head;
pub(crate) mod tcp;
pub(in crate::proxy) mod tls;

use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body::Body;

use crate::config::upstream::{Endpoint, Protocol, Upstream};
use crate::config::upstream_tls::UpstreamTls;
use crate::descriptors::Expected;
use crate::log::limiter::Limiter;
use crate::proxy::failure::Failure;
use crate::proxy::request_body::RequestBody;

pub(crate) use self::body::UpstreamBody;
use self::connect::Connector;

/// How long the steps towards a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Name resolution, TCP and TLS together.
    pub(crate) connect: Duration,
}

/// Why there is no response.
pub(crate) struct NoResponse {
    pub(crate) failure: Failure,
    /// The request, if there was no connection to send it on.
    pub(crate) unsent: Option<Box<Request<RequestBody>>>,
}

impl NoResponse {
    fn unsent(failure: Failure, request: Request<RequestBody>) -> Self {
        let unsent = Some(Box::new(request));
        NoResponse { failure, unsent }
    }
}

impl From<Failure> for NoResponse {
    fn from(failure: Failure) -> Self {
        let unsent = None;
        NoResponse { failure, unsent }
    }
}

/// Sends requests to one upstream. Clones share the connections.
#[derive(Clone)]
pub(crate) struct UpstreamClient {
    inner: Arc<Inner>,
}

struct Inner {
    upstream: Upstream,
    host: HeaderValue,
    transport: Transport,
    connector: Connector,
    warnings: Limiter,
}

enum Transport {
    Http1(http1::Pool),
    Http2(http2::Shared),
}

impl UpstreamClient {
    /// # Errors
    ///
    /// When the upstream is `https`, and a file cannot be read or the platform has no usable root certificates.
    pub(crate) fn new(
        upstream: Upstream,
        tls: &UpstreamTls,
        timeouts: Timeouts,
    ) -> Result<Self, String> {
        let host = HeaderValue::from_str(upstream.authority())
            .map_err(|_| format!("{upstream}: not a host name"))?;
        let connector = Connector::new(&upstream, tls, timeouts.connect)?;
        if tls.is_insecure && matches!(upstream.endpoint, Endpoint::Tls(_)) {
            tracing::warn!(
                %upstream,
                "upstream_insecure is on: whoever is in between can read and change what goes to the upstream and back"
            );
        }
        let transport = match upstream.protocol {
            Protocol::Http1 => Transport::Http1(http1::Pool::new(connector.clone())),
            Protocol::Http2 => Transport::Http2(http2::Shared::new(connector.clone())),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                upstream,
                host,
                transport,
                connector,
                warnings: Limiter::default(),
            }),
        })
    }

    /// The address, for logs.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.inner.upstream
    }

    /// Limits what is logged of its failures.
    pub(crate) fn warnings(&self) -> &Limiter {
        &self.inner.warnings
    }

    /// Whether requests travel over HTTP/2, which knows neither `Connection` nor upgrades.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.inner.transport, Transport::Http2(_))
    }

    /// The `Host` of a request whose client sent none.
    pub(crate) fn host(&self) -> &HeaderValue {
        &self.inner.host
    }

    /// Opens a connection, and closes it: whether the upstream is there.
    ///
    /// # Errors
    ///
    /// When it is not, or cannot prove to be the one.
    pub(crate) async fn reach(&self) -> Result<(), Failure> {
        self.inner.connector.connect(None).await.map(drop)
    }

    /// Sends one request and waits for its response head.
    ///
    /// The request's URI is a path and query alone (or `*`), its `Host` header is set. Dropping the future cancels the
    /// request, dropping the response's body does so too. `expected` is told once the request has its socket.
    pub(crate) async fn send(
        &self,
        request: Request<RequestBody>,
        expected: Option<Arc<Expected>>,
    ) -> Result<Response<UpstreamBody>, NoResponse> {
        match &self.inner.transport {
            Transport::Http1(pool) => pool.send(request, expected.as_deref()).await,
            Transport::Http2(shared) => {
                // It needs no socket of its own.
                if let Some(expected) = expected {
                    expected.came();
                }
                // Boxed, so that the other has no room for it.
                Box::pin(shared.send(with_authority(request)?)).await
            }
        }
    }
}

/// Moves `Host` into the URI, where HTTP/2 has it as `:authority`. Another upstream was asked if it is there.
fn with_authority(mut request: Request<RequestBody>) -> Result<Request<RequestBody>, Failure> {
    if request.uri().authority().is_some() {
        return Ok(request);
    }
    let authority = request
        .headers_mut()
        .remove(HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .ok_or_else(|| Failure::other("the host cannot be an HTTP/2 authority"))?;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|error| Failure::other(&error))?;
    Ok(request)
}

/// A copy for a second try: of a request that changes nothing and has no body (RFC 9110 section 9.2.2).
pub(in crate::proxy) fn copy_if_safe(
    request: &Request<RequestBody>,
) -> Option<Request<RequestBody>> {
    let safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if !safe || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
