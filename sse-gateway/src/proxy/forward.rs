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
use crate::coding::Decoded;
use crate::descriptors::Expected;
use crate::log::limiter;
use crate::log::shown_path::ShownPath;
use crate::proxy::expect::{self, Gate};
use crate::proxy::failure::{Failure, FailureKind};
use crate::proxy::headers::{self, Hop};
use crate::proxy::no_answer;
use crate::proxy::request_body::{RequestBody, Upload};
use crate::proxy::upgrade::{self, Wish};
use crate::proxy::upstream::{NoResponse, UpstreamBody, UpstreamClient, copy_if_safe};
use crate::proxy::upstreams::{AnsweredBy, Asked, Upstreams};
use crate::shutdown::Shutdown;

/// The upstream's body, as it came or decoded, or a short text of the proxy's own.
pub(crate) type ProxyBody = Either<UpstreamBody, Either<Decoded, Full<Bytes>>>;

/// A `tower` service in front of the upstreams of a route. Clones share their connections.
///
/// Requests have been through [`target::settle`](crate::proxy::target::settle) and [`claims::judge`](crate::client::claims::judge).
///
/// A response that the proxy made itself because there was none carries its [`FailureKind`] as an extension.
#[derive(Clone)]
pub(crate) struct Proxy {
    inner: Arc<Inner>,
}

struct Inner {
    upstreams: Upstreams,
    head_timeout: Duration,
    retry_statuses: Vec<StatusCode>,
    shutdown: Shutdown,
}

impl Proxy {
    /// `head_timeout` is how long an upstream may take for a response head, once it has all of the request. An answer with
    /// one of `retry_statuses` to a request that is [retried](no_answer::is_retried) counts as none.
    pub(crate) fn new(
        upstreams: Upstreams,
        head_timeout: Duration,
        retry_statuses: Vec<StatusCode>,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                upstreams,
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
        } = Forward::prepare(request, self.upstreams.first());
        let (asked, answer) = self.ask(request, expected, upload.as_ref()).await;
        let response = match answer {
            Ok(response) => response,
            Err(failure) => return failed(&failure, &asked, path.as_ref()),
        };
        let status = response.status();
        let counts_as_none = is_retried && self.retry_statuses.contains(&status);
        match counts_as_none && self.upstreams.are_several() {
            true => asked.failed(&Failure::status(status)),
            false => asked.answered(),
        }
        if let Some(gate) = &gate {
            gate.answered();
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return match switch(response, wish, asked, &self.shutdown) {
                Ok(response) => response,
                Err((failure, asked)) => failed(&failure, &asked, path.as_ref()),
            };
        }
        if counts_as_none {
            tell_none(status, &asked, path.as_ref());
        }
        let answered_by = self.upstreams.are_several().then(|| asked.member().name());
        let mut response = to_client(response, gate, asked);
        if let Some(name) = answered_by {
            response.extensions_mut().insert(AnsweredBy(name));
        }
        if counts_as_none {
            response.extensions_mut().insert(FailureKind::Status);
            response.extensions_mut().insert(NoUpstream);
        }
        response
    }

    /// Asks one of the upstreams, and the next where that one cannot be reached and no more than a connection is lost.
    async fn ask(
        &self,
        mut request: Request<RequestBody>,
        expected: Option<Arc<Expected>>,
        upload: Option<&Arc<Upload>>,
    ) -> (Asked, Result<Response<UpstreamBody>, Failure>) {
        // There is one: none was asked.
        let mut asked = self.upstreams.pick(&[]).expect("a route has an upstream");
        let mut away = Vec::new();
        loop {
            let copy = match self.upstreams.are_several() {
                true => copy_if_safe(&request).map(Box::new),
                false => None,
            };
            let head = self.head(asked.client(), request, expected.clone(), upload);
            let NoResponse { failure, unsent } = match head.await {
                Ok(response) => return (asked, Ok(response)),
                Err(none) => none,
            };
            if failure.kind() != FailureKind::Client {
                asked.not_answered();
            }
            if !failure.is_away() || !self.upstreams.are_several() {
                return (asked, Err(failure));
            }
            asked.failed(&failure);
            away.push(asked.member().clone());
            let Some(again) = unsent.or(copy) else {
                return (asked, Err(failure));
            };
            match self.upstreams.pick(&away) {
                None => return (asked, Err(failure)),
                Some(next) => (request, asked) = (*again, next),
            }
        }
    }

    /// Waits for the response head, as long as the upload moves and then for the timeout.
    async fn head(
        &self,
        client: &UpstreamClient,
        request: Request<RequestBody>,
        expected: Option<Arc<Expected>>,
        upload: Option<&Arc<Upload>>,
    ) -> Result<Response<UpstreamBody>, NoResponse> {
        let mut sent = std::pin::pin!(client.send(request, expected));
        let mut deadline = Instant::now() + self.head_timeout;
        loop {
            if let Ok(result) = tokio::time::timeout_at(deadline, &mut sent).await {
                return result;
            }
            let later = upload.map(|upload| upload.moved() + self.head_timeout);
            match later {
                Some(later) if later > deadline => deadline = later,
                _ if upload.is_some_and(|upload| upload.is_starved()) => {
                    return Err(Failure::client("the client stopped sending the body").into());
                }
                _ => return Err(Failure::head_timeout(self.head_timeout).into()),
            }
        }
    }
}

fn tell_none(status: StatusCode, asked: &Asked, path: Option<&ShownPath>) {
    let client = asked.client();
    if let Some(suppressed) = client.warnings().pass(FailureKind::Status.label()) {
        let (upstream, status) = (client.upstream(), status.as_u16());
        let (path, suppressed) = (path.map(|path| &*path.0), limiter::told(suppressed));
        tracing::warn!(status, %upstream, path, suppressed, "the upstream's answer counts as none");
    }
}

fn failed(failure: &Failure, asked: &Asked, path: Option<&ShownPath>) -> Response<ProxyBody> {
    let path = path.map(|path| &*path.0);
    let kind = failure.kind();
    let upstream = asked.client().upstream();
    let reason = kind.label();
    if kind == FailureKind::Client {
        tracing::debug!(reason, %upstream, path, error = %failure, "request not completed by the client");
    } else if let Some(suppressed) = asked.client().warnings().pass(reason) {
        let suppressed = limiter::told(suppressed);
        tracing::warn!(reason, %upstream, path, error = %failure, suppressed, "no response from the upstream");
    }
    let response = answer(kind.status(), TEXT, kind.message());
    let mut response = response.map(|text| Either::Right(Either::Right(text)));
    response.extensions_mut().insert(kind);
    if kind != FailureKind::Client {
        response.extensions_mut().insert(NoUpstream);
    }
    response
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
    asked: Asked,
) -> Response<ProxyBody> {
    let (mut parts, body) = response.into_parts();
    let coding = Decoded::coding(&parts);
    headers::to_client(&mut parts.headers);
    let mut response = Response::new(body.for_client(asked, gate));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    if let Some(reason) = parts.extensions.remove::<ReasonPhrase>() {
        response.extensions_mut().insert(reason);
    }
    match coding {
        None => response.map(Either::Left),
        Some(coding) => {
            Decoded::response(response, coding).map(|body| Either::Right(Either::Left(body)))
        }
    }
}

/// Passes a 101 on and joins the connections behind it.
fn switch(
    response: Response<UpstreamBody>,
    wish: Option<Wish>,
    asked: Asked,
    shutdown: &Shutdown,
) -> Result<Response<ProxyBody>, (Failure, Asked)> {
    let (mut parts, _) = response.into_parts();
    let upstream = parts.extensions.remove::<OnUpgrade>();
    let (Some(wish), Some(upstream)) = (wish, upstream) else {
        let failure = Failure::other("the upstream switched protocols unasked");
        return Err((failure, asked));
    };
    let protocol = parts.headers.get(http::header::UPGRADE).cloned();
    headers::to_client(&mut parts.headers);
    if let Some(protocol) = protocol {
        upgrade::set(&mut parts.headers, protocol);
    }
    wish.join(upstream, asked, shutdown);
    let mut response = Response::new(Either::Right(Either::Right(Full::default())));
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    Ok(response)
}
