//! The proxy: a request of a client becomes one of the upstream, its response becomes the client's.
//!
//! Method, request target, `Host`, header fields, body and trailers pass as they are, except for what belongs to one
//! connection. Nothing is buffered and nothing is detached: when the client leaves, hyper drops the future or the body
//! in here, and with it the upstream's request.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use tower_service::Service;
use tower_sse::relay::NoUpstream;

use crate::answer::{TEXT, answer};
use crate::client::address::ClientAddress;
use crate::descriptors::Expected;
use crate::log::limiter;
use crate::log::shown_path::ShownPath;
use crate::proxy::expect::{self, Gate};
use crate::proxy::failure::{Failure, FailureKind};
use crate::proxy::headers::{self, Hop};
use crate::proxy::no_answer;
use crate::proxy::request_body::{RequestBody, Upload};
use crate::proxy::upgrade::{self, Wish};
use crate::proxy::upstream::{UpstreamBody, UpstreamClient};
use crate::shutdown::Shutdown;

/// The upstream's body, or a short text of the proxy's own.
pub(crate) type ProxyBody = Either<UpstreamBody, Full<Bytes>>;

/// A `tower` service in front of one upstream. Clones share its connections.
///
/// Requests have been through [`target::settle`](crate::proxy::target::settle) and [`claims::judge`](crate::client::claims::judge).
///
/// A response that the proxy made itself because there was none carries its [`FailureKind`] as an extension.
#[derive(Clone)]
pub(crate) struct Proxy {
    inner: Arc<Inner>,
}

struct Inner {
    client: UpstreamClient,
    head_timeout: Duration,
    retry_statuses: Vec<StatusCode>,
    shutdown: Shutdown,
}

impl Proxy {
    /// `head_timeout` is how long the upstream may take for a response head, once it has all of the request. An answer with
    /// one of `retry_statuses` to a request that is [retried](no_answer::is_retried) counts as none.
    pub(crate) fn new(
        client: UpstreamClient,
        head_timeout: Duration,
        retry_statuses: Vec<StatusCode>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                client,
                head_timeout,
                retry_statuses,
                shutdown,
            }),
        }
    }
}

impl Service<Request<RequestBody>> for Proxy {
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    // Boxed: hyper keeps room for the future as long as the connection lives.
    type Future = Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Ok(inner.forward(request).await) })
    }
}

impl Inner {
    async fn forward(&self, request: Request<RequestBody>) -> Response<ProxyBody> {
        let path = request.extensions().get().cloned();
        let Forward {
            request,
            expected,
            gate,
            upload,
            wish,
            is_retried,
        } = Forward::prepare(request, &self.client);
        let response = match self.head(request, expected, upload).await {
            Ok(response) => response,
            Err(failure) => return self.failed(&failure, path.as_ref()),
        };
        if let Some(gate) = &gate {
            gate.answered();
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return match switch(response, wish, &self.shutdown) {
                Ok(response) => response,
                Err(failure) => self.failed(&failure, path.as_ref()),
            };
        }
        let counts_as_none = is_retried && self.retry_statuses.contains(&response.status());
        let mut response = to_client(response, gate, &self.client);
        if counts_as_none {
            self.mark_as_none(&mut response, path.as_ref());
        }
        response
    }

    fn mark_as_none(&self, response: &mut Response<ProxyBody>, path: Option<&ShownPath>) {
        let kind = FailureKind::Status;
        if let Some(suppressed) = self.client.warnings().pass(kind.label()) {
            let (upstream, status) = (self.client.upstream(), response.status().as_u16());
            let (path, suppressed) = (path.map(|path| &*path.0), limiter::told(suppressed));
            tracing::warn!(status, %upstream, path, suppressed, "the upstream's answer counts as none");
        }
        response.extensions_mut().insert(kind);
        response.extensions_mut().insert(NoUpstream);
    }

    /// Waits for the response head, as long as the upload moves and then for the timeout.
    async fn head(
        &self,
        request: Request<RequestBody>,
        expected: Option<Arc<Expected>>,
        upload: Option<Arc<Upload>>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let mut sent = std::pin::pin!(self.client.send(request, expected));
        let mut deadline = Instant::now() + self.head_timeout;
        loop {
            if let Ok(result) = tokio::time::timeout_at(deadline, &mut sent).await {
                return result;
            }
            let later = upload
                .as_ref()
                .map(|upload| upload.moved() + self.head_timeout);
            match later {
                Some(later) if later > deadline => deadline = later,
                _ if upload.is_some_and(|upload| upload.is_starved()) => {
                    return Err(Failure::client("the client stopped sending the body"));
                }
                _ => return Err(Failure::head_timeout(self.head_timeout)),
            }
        }
    }

    fn failed(&self, failure: &Failure, path: Option<&ShownPath>) -> Response<ProxyBody> {
        let path = path.map(|path| &*path.0);
        let kind = failure.kind();
        let upstream = self.client.upstream();
        let reason = kind.label();
        if kind == FailureKind::Client {
            tracing::debug!(reason, %upstream, path, error = %failure, "request not completed by the client");
        } else if let Some(suppressed) = self.client.warnings().pass(reason) {
            let suppressed = limiter::told(suppressed);
            tracing::warn!(reason, %upstream, path, error = %failure, suppressed, "no response from the upstream");
        }
        let mut response = answer(kind.status(), TEXT, kind.message()).map(Either::Right);
        response.extensions_mut().insert(kind);
        if kind != FailureKind::Client {
            response.extensions_mut().insert(NoUpstream);
        }
        response
    }
}

/// A request on its way, and what is to be done when its response comes.
struct Forward {
    request: Request<RequestBody>,
    /// Until there is a socket for it: dropped before, it would be in neither count for a moment.
    expected: Option<Arc<Expected>>,
    gate: Option<Arc<Gate>>,
    upload: Option<Arc<Upload>>,
    wish: Option<Wish>,
    is_retried: bool,
}

impl Forward {
    fn prepare(request: Request<RequestBody>, client: &UpstreamClient) -> Self {
        let (mut parts, mut body) = request.into_parts();
        let is_retried = no_answer::is_retried(&parts);
        let client_host = parts.headers.get(HOST).cloned();
        if client_host.is_none() {
            parts.headers.insert(HOST, client.host().clone());
        }
        let address = parts.extensions.get::<ClientAddress>();
        let hop = Hop {
            peer: address
                .and_then(|address| address.peer)
                .map(|peer| peer.ip()),
            from: parts.version,
            to_http2: client.is_http2(),
        };
        let wish = upgrade::requested(&mut parts).filter(|_| !hop.to_http2);
        let gate = expect::gate(parts.version, &mut parts.headers);
        headers::to_upstream(&mut parts.headers, client_host.as_ref(), hop);
        if let Some(wish) = &wish {
            wish.ask(&mut parts.headers);
        }

        let upload = body.send(gate.as_ref().map(Gate::waiting));
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = parts.uri;
        *request.headers_mut() = parts.headers;
        let unknown_length = upload.is_some() && request.body().size_hint().exact().is_none();
        if unknown_length && !hop.to_http2 && !request.headers().contains_key(CONTENT_LENGTH) {
            // hyper sends no body with a GET unless it is told to.
            request
                .headers_mut()
                .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if let Some(gate) = &gate {
            gate.listen(&mut request);
        }
        Self {
            request,
            expected: parts.extensions.remove(),
            gate,
            upload,
            wish,
            is_retried,
        }
    }
}

fn to_client(
    response: Response<UpstreamBody>,
    gate: Option<Arc<Gate>>,
    client: &UpstreamClient,
) -> Response<ProxyBody> {
    let (mut parts, body) = response.into_parts();
    headers::to_client(&mut parts.headers);
    let mut response = Response::new(Either::Left(body.for_client(client, gate)));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    if let Some(reason) = parts.extensions.remove::<ReasonPhrase>() {
        response.extensions_mut().insert(reason);
    }
    response
}

/// Passes a 101 on and joins the connections behind it.
fn switch(
    response: Response<UpstreamBody>,
    wish: Option<Wish>,
    shutdown: &Shutdown,
) -> Result<Response<ProxyBody>, Failure> {
    let (mut parts, _) = response.into_parts();
    let upstream = parts.extensions.remove::<OnUpgrade>();
    let (Some(wish), Some(upstream)) = (wish, upstream) else {
        return Err(Failure::other("the upstream switched protocols unasked"));
    };
    let protocol = parts.headers.get(http::header::UPGRADE).cloned();
    headers::to_client(&mut parts.headers);
    if let Some(protocol) = protocol {
        upgrade::set(&mut parts.headers, protocol);
    }
    wish.join(upstream, shutdown);
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    Ok(response)
}
