//! Brings requests to their relays.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_service::Service;

use super::body::Seek;
use super::config::Config;
use super::connect::{First, Template};
use super::last_event_id::LastEventId;
use super::metrics::Replay;
use super::registry::{Entry, Registry};
use super::shared::{Client, Head, How, Phase, Refusal};
use super::task;
use super::{Begin, Hangup, RelayBody, gap};
use crate::history::{Found, Gap, History, Log, MemoryHistory, Start};
use crate::wire::{Epoch, LineEnding, SequentialId};

/// The service that a [`RelayLayer`](super::RelayLayer) makes.
pub struct RelayService<S, H: History = MemoryHistory> {
    inner: S,
    config: Arc<Config>,
    registry: Arc<Registry<H>>,
}

pin_project! {
    /// The response of a [`RelayService`], to come.
    pub struct RelayFuture<F, R, E, L: Log> {
        #[pin]
        passing: Option<F>,
        relaying: Option<Relaying<R, E, L>>,
    }
}

type Relaying<R, E, L> = Pin<Box<dyn Future<Output = Result<Response<RelayBody<R, L>>, E>> + Send>>;

impl<S, H: History> RelayService<S, H> {
    pub(super) fn new(inner: S, config: Arc<Config>, registry: Arc<Registry<H>>) -> Self {
        RelayService {
            inner,
            config,
            registry,
        }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R, H> Service<Request<B>> for RelayService<S, H>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    R: Body + Send + 'static,
    H: History,
{
    type Response = Response<RelayBody<R, H::Log>>;
    type Error = S::Error;
    type Future = RelayFuture<S::Future, R, S::Error, H::Log>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !may_be_relayed(&request, &self.config) {
            return RelayFuture {
                passing: Some(self.inner.call(request)),
                relaying: None,
            };
        }
        // The one that is ready is taken, another stays.
        let other = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, other);
        let relaying = relayed(self.config.clone(), self.registry.clone(), inner, request);
        RelayFuture {
            passing: None,
            relaying: Some(Box::pin(relaying)),
        }
    }
}

impl<F, R, E, L> Future for RelayFuture<F, R, E, L>
where
    F: Future<Output = Result<Response<R>, E>>,
    L: Log,
{
    type Output = Result<Response<RelayBody<R, L>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.passing.as_pin_mut(), this.relaying) {
            (Some(passing), _) => passing
                .poll(cx)
                .map(|result| result.map(|response| response.map(RelayBody::untouched))),
            (None, Some(relaying)) => relaying.as_mut().poll(cx),
            (None, None) => Poll::Pending,
        }
    }
}

/// Whether the answer may be an event stream, and the request can be made by somebody else.
fn may_be_relayed<B: Body>(request: &Request<B>, config: &Config) -> bool {
    let method = request.method();
    (method == Method::GET || method == Method::POST)
        && !request.headers().contains_key(header::UPGRADE)
        && accepts_events(request.headers())
        && (request.body().is_end_stream()
            || request
                .body()
                .size_hint()
                .upper()
                .is_some_and(|len| len <= config.max_request_bytes))
}

/// Requests for pages and images are not worth to be waited for together.
fn accepts_events(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::ACCEPT).iter().peekable();
    given.peek().is_none()
        || given.any(|value| {
            let ranges = value.as_bytes().split(|byte| *byte == b',');
            let alone = ranges.clone().count() == 1;
            ranges
                .filter_map(|range| range.split(|byte| *byte == b';').next())
                .map(<[u8]>::trim_ascii)
                .any(|range| {
                    range.eq_ignore_ascii_case(b"text/event-stream") || alone && range == b"*/*"
                })
        })
}

/// A relay may go between the moment it is found and the moment it is joined. So often it is looked for anew.
const TRIES: usize = 4;

async fn relayed<S, B, R, H>(
    config: Arc<Config>,
    registry: Arc<Registry<H>>,
    inner: S,
    request: Request<B>,
) -> Result<Response<RelayBody<R, H::Log>>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    R: Body + Send + 'static,
    H: History,
{
    let (mut parts, body) = request.into_parts();
    let Some(body) = collect(body, config.max_request_bytes).await else {
        return Ok(Head::status(StatusCode::BAD_REQUEST).response(false, RelayBody::empty()));
    };
    let last = LastEventId::take(&mut parts);
    // The upstream request is not this connection's alone.
    let hangup: Option<Hangup> = parts.extensions.remove();
    let mut ready = Some(inner.clone());
    let mut inner = inner;
    // The one that is ready goes to who leads; whoever waits must not keep it from others.
    if let Some(other) = &mut ready {
        std::mem::swap(other, &mut inner);
    }
    let mut anew = false;
    for _ in 0..TRIES {
        match registry.enter(&config, &parts, &body, last.as_ref(), anew) {
            Entry::Full => break,
            Entry::Gone => {
                config.metrics.replay(Replay::Unknown);
                return Ok(gone(&config));
            }
            Entry::Join(client) => {
                ready = None;
                match join(&config, client, last.as_ref(), anew).await {
                    Joining::Done(response) => {
                        return Ok(response.map(|body| body.with_hangup(hangup)));
                    }
                    Joining::Own => break,
                    Joining::Again => {}
                    Joining::Anew => anew = true,
                }
            }
            Entry::Lead(client) => {
                let service = ready.take().unwrap_or_else(|| inner.clone());
                let template = Template::new(parts.clone(), body.clone());
                let response = lead(&config, &registry, client, last.as_ref(), service, template);
                return Ok(response.await?.map(|body| body.with_hangup(hangup)));
            }
        }
    }
    let mut service = ready.unwrap_or(inner);
    poll_fn(|cx| service.poll_ready(cx)).await?;
    let response = service
        .call(Request::from_parts(parts, body.into()))
        .await?;
    Ok(response.map(RelayBody::untouched))
}

/// Makes the relay's upstream request, in a task of its own.
///
/// When the task is lost, since the service panicked, the request is not made again.
async fn lead<S, B, R, H>(
    config: &Arc<Config>,
    registry: &Arc<Registry<H>>,
    client: Client<H::Log>,
    last: Option<&LastEventId>,
    service: S,
    template: Template,
) -> Result<Response<RelayBody<R, H::Log>>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Body + From<Bytes> + Send + 'static,
    B::Data: Send,
    R: Body + Send + 'static,
    H: History,
{
    // Whoever leaves while the history is asked drops the task, and with it the relay.
    let (first, answer) = oneshot::channel();
    let task = task::run(client.clone(), registry.clone(), service, template, first);
    // Before the task begins, so that nothing can be missed.
    let (follower, _) = client.log.follow(Start::At(0), Instant::now()).await;
    tokio::spawn(task);
    let mut told = Vec::new();
    if let Some(last) = last {
        config.metrics.replay(Replay::Unknown);
        if last.upstream.is_none() {
            told = gap::event(config, &from_the_start(client.epoch));
        }
    }
    match answer.await {
        Ok(First::Passed(response)) => return Ok(response.map(RelayBody::untouched)),
        Ok(First::Failed(error)) => return Err(error),
        Ok(First::Opened) => {
            if let Phase::Open(head) | Phase::Ended(Some(head), _) = client.phase() {
                let with_cookies = config.key.is_none();
                let body = RelayBody::relayed(told, None, Some((follower, client)));
                return Ok(head.response(with_cookies, body));
            }
        }
        Err(_) => {}
    }
    Ok(Head::status(StatusCode::BAD_GATEWAY).response(false, RelayBody::empty()))
}

enum Joining<R, L: Log> {
    Done(Response<RelayBody<R, L>>),
    /// The request has to be made alone.
    Own,
    /// The relay has gone.
    Again,
    /// It has finished, and not with this client.
    Anew,
}

async fn join<R, L: Log>(
    config: &Arc<Config>,
    client: Client<L>,
    last: Option<&LastEventId>,
    anew: bool,
) -> Joining<R, L> {
    let start = match (last, config.begin) {
        (Some(last), _) => Start::After(last.id.clone()),
        (None, Begin::Live) => Start::Live,
        (None, Begin::Last(events)) => Start::Last(events),
        (None, Begin::All) => Start::All,
    };
    let (follower, joined) = client.log.follow(start, Instant::now()).await;
    let (head, ended) = match client.settled().await {
        Phase::Open(head) => (head, None),
        Phase::Ended(Some(head), how) => (head, Some(how)),
        Phase::Refused(Refusal::Same(head)) => {
            return Joining::Done(head.response(false, RelayBody::empty()));
        }
        Phase::Refused(Refusal::Own) => return Joining::Own,
        Phase::Starting | Phase::Ended(None, _) => return Joining::Again,
    };
    let unknown = matches!(joined.found, Found::Unknown(_));
    // Also when nothing behind it is kept: who is answered 204 believes to have had all.
    let lacks = joined.ahead > 0 || matches!(joined.found, Found::Some(_));
    match ended {
        None => {}
        Some(How::NoContent | How::Finished | How::Failed) if lacks => {}
        Some(How::Finished | How::Failed) if unknown && !anew && config.key.is_some() => {
            return Joining::Anew;
        }
        Some(How::NoContent | How::Finished | How::Failed) => {
            let no_content = Head::status(StatusCode::NO_CONTENT);
            return Joining::Done(no_content.response(false, RelayBody::empty()));
        }
        Some(How::Left | How::Refused | How::GaveUp) => return Joining::Again,
    }
    let retry = client.retry();
    let told = match &joined.found {
        Found::NotAsked => Vec::new(),
        Found::All => {
            config.metrics.replay(Replay::Hit);
            Vec::new()
        }
        Found::Some(gap) => {
            config.metrics.replay(Replay::Gap);
            gap::event(config, gap)
        }
        Found::Unknown(gap) => {
            config.metrics.replay(Replay::Unknown);
            gap::event(config, gap)
        }
    };
    let may_come = last.filter(|last| unknown && ended.is_none() && last.upstream.is_some());
    let seek = may_come.map(|last| Seek::new(last.id.clone()));
    let body = RelayBody::relayed(told, seek, Some((follower, client))).with_retry(retry);
    Joining::Done(head.response(false, body))
}

/// Tells a client that what it asks for is not there any more, and no more.
fn gone<R, L: Log>(config: &Config) -> Response<RelayBody<R, L>> {
    let told = gap::without_id(config, None).map_or(Vec::new(), |event| event.to_bytes().into());
    Head::own().response(false, RelayBody::relayed(told, None, None))
}

fn from_the_start(epoch: Epoch) -> Gap {
    let id = SequentialId {
        epoch,
        sequence: 0,
        upstream: None,
    };
    Gap {
        missed: None,
        id: id.to_event_id(),
        ending: LineEnding::default(),
    }
}

/// The body of a request, if it comes whole and is not too large.
async fn collect<B: Body>(body: B, limit: u64) -> Option<Bytes> {
    let mut body = pin!(body);
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            if (all.len() + data.remaining()) as u64 > limit {
                return None;
            }
            bytes::BufMut::put(&mut all, data);
        }
    }
    Some(all.freeze())
}

impl<S: Clone, H: History> Clone for RelayService<S, H> {
    fn clone(&self) -> Self {
        RelayService {
            inner: self.inner.clone(),
            config: self.config.clone(),
            registry: self.registry.clone(),
        }
    }
}

impl<S, H: History> fmt::Debug for RelayService<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayService").finish_non_exhaustive()
    }
}

impl<F, R, E, L: Log> fmt::Debug for RelayFuture<F, R, E, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayFuture").finish_non_exhaustive()
    }
}
