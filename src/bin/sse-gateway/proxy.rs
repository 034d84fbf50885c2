//! The proxy: a request of a client becomes one of the upstream, its response becomes the client's.
//!
//! Method, request target, `Host`, header fields, body and trailers pass as they are, except for what belongs to one
//! connection. Nothing is buffered and nothing is detached: when the client leaves, hyper drops the future or the body
//! in here, and with it the upstream's request.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use http_body::Body;
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use tower_service::Service;
use tower_sse::relay::ForAll;

use crate::expect::{self, Gate};
use crate::failure::{Failure, FailureKind};
use crate::headers::{self, Hop};
use crate::limiter;
use crate::request_body::{RequestBody, Upload};
use crate::response_body::{BoxError, ProxyBody};
use crate::shutdown::Shutdown;
use crate::upgrade::{self, Wish};
use crate::upstream::{UpstreamBody, UpstreamClient};

/// A `tower` service in front of one upstream. Clones share its connections.
///
/// A response that the proxy made itself because there was none carries its [`FailureKind`] as an extension.
#[derive(Clone)]
pub(crate) struct Proxy {
    inner: Arc<Inner>,
}

struct Inner {
    client: UpstreamClient,
    head_timeout: Duration,
    shutdown: Shutdown,
}

impl Proxy {
    /// `head_timeout` is how long the upstream may take for a response head, once it has all of the request.
    pub(crate) fn new(client: UpstreamClient, head_timeout: Duration, shutdown: Shutdown) -> Self {
        Self {
            inner: Arc::new(Inner {
                client,
                head_timeout,
                shutdown,
            }),
        }
    }
}

impl<B> Service<Request<B>> for Proxy
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    // Boxed: hyper keeps room for the future as long as the connection lives.
    type Future = Pin<Box<dyn Future<Output = Result<Response<ProxyBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Ok(inner.forward(request).await) })
    }
}

impl Inner {
    async fn forward<B>(&self, request: Request<B>) -> Response<ProxyBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let uri = request.uri().clone();
        let forward = match Forward::prepare(request, &self.client) {
            Ok(forward) => forward,
            Err(refusal) => return plain(refusal.status, refusal.message),
        };
        let Forward {
            request,
            gate,
            upload,
            wish,
        } = forward;
        let response = match self.head(request, upload).await {
            Ok(response) => response,
            Err(failure) => return self.failed(&failure, uri.path()),
        };
        if let Some(gate) = &gate {
            gate.answered();
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return match switch(response, wish, &self.shutdown) {
                Ok(response) => response,
                Err(failure) => self.failed(&failure, uri.path()),
            };
        }
        to_client(response, gate, &self.client)
    }

    /// Waits for the response head, as long as the upload moves and then for the timeout.
    async fn head(
        &self,
        request: Request<RequestBody>,
        upload: Option<Arc<Upload>>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let mut sent = std::pin::pin!(self.client.send(request));
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

    fn failed(&self, failure: &Failure, path: &str) -> Response<ProxyBody> {
        let kind = failure.kind();
        let upstream = self.client.upstream();
        let reason = kind.label();
        if kind == FailureKind::Client {
            tracing::debug!(reason, %upstream, path, error = %failure, "request not completed by the client");
        } else if let Some(suppressed) = self.client.warnings().pass(reason) {
            let suppressed = limiter::told(suppressed);
            tracing::warn!(reason, %upstream, path, error = %failure, suppressed, "no response from the upstream");
        }
        let mut response = plain(kind.status(), kind.message());
        response.extensions_mut().insert(kind);
        response
    }
}

/// A request on its way, and what is to be done when its response comes.
struct Forward {
    request: Request<RequestBody>,
    gate: Option<Arc<Gate>>,
    upload: Option<Arc<Upload>>,
    wish: Option<Wish>,
}

struct Refusal {
    status: StatusCode,
    message: &'static str,
}

impl Forward {
    fn prepare<B>(request: Request<B>, client: &UpstreamClient) -> Result<Self, Refusal>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        if parts.method == Method::CONNECT {
            return Err(Refusal {
                status: StatusCode::NOT_IMPLEMENTED,
                message: "CONNECT is not supported, this is a reverse proxy.\n",
            });
        }
        let client_host = client_host(&parts)?;
        let host = client_host.as_ref().unwrap_or_else(|| client.host());
        if parts.headers.get(HOST) != Some(host) {
            parts.headers.insert(HOST, host.clone());
        }
        let hop = Hop {
            peer: parts.extensions.get::<SocketAddr>().map(SocketAddr::ip),
            from_http2: parts.version == Version::HTTP_2,
            to_http2: client.is_http2(),
        };
        let wish = upgrade::requested(&mut parts).filter(|_| !hop.to_http2);
        let gate = expect::gate(parts.version, &mut parts.headers);
        headers::to_upstream(&mut parts.headers, client_host.as_ref(), hop);
        if let Some(wish) = &wish {
            wish.ask(&mut parts.headers);
        }

        let (body, upload) = RequestBody::new(body, gate.as_ref().map(Gate::waiting));
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = target(&parts.uri);
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
        Ok(Self {
            request,
            gate,
            upload,
            wish,
        })
    }
}

/// The host the client asked for: the authority of its request target if there is one, else `Host` (RFC 9112
/// section 3.2.2). Only an HTTP/1.0 client may leave it out.
fn client_host(parts: &request::Parts) -> Result<Option<HeaderValue>, Refusal> {
    let refusal = |message| Refusal {
        status: StatusCode::BAD_REQUEST,
        message,
    };
    if let Some(authority) = parts.uri.authority() {
        if authority.as_str().contains('@') {
            return Err(refusal("The request target has a user in it.\n"));
        }
        return HeaderValue::from_str(authority.as_str())
            .map(Some)
            .map_err(|_| refusal("The host of the request target is not valid.\n"));
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(refusal("There is more than one Host.\n")),
        (Some(host), None) => Ok(Some(host.clone())),
        (None, _) if parts.version == Version::HTTP_10 => Ok(None),
        // One that is made for the clients of many hosts has none.
        (None, _) if parts.extensions.get::<ForAll>().is_some() => Ok(None),
        (None, _) => Err(refusal("There is no Host.\n")),
    }
}

/// The path and query, byte for byte; `*` for `OPTIONS *`.
fn target(uri: &Uri) -> Uri {
    let path_and_query = uri
        .path_and_query()
        .filter(|path| !path.as_str().is_empty());
    match path_and_query {
        Some(path) if path.as_str().starts_with('?') => {
            // `GET http://host?query`: the path is empty, which means `/`.
            format!("/{path}")
                .parse::<PathAndQuery>()
                .map_or_else(|_| Uri::default(), Uri::from)
        }
        Some(path) => Uri::from(path.clone()),
        None => Uri::default(),
    }
}

fn to_client(
    response: Response<UpstreamBody>,
    gate: Option<Arc<Gate>>,
    client: &UpstreamClient,
) -> Response<ProxyBody> {
    let (mut parts, body) = response.into_parts();
    headers::to_client(&mut parts.headers);
    let mut response = Response::new(ProxyBody::upstream(body, gate, client.clone()));
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
    let mut response = Response::new(ProxyBody::empty());
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    Ok(response)
}

/// A response of the proxy's own.
fn plain(status: StatusCode, message: &'static str) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::text(message));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        http::header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    response
}
