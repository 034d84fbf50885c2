//! The task of a relay: it owns the upstream's response, and makes it again when it is lost.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tower_service::Service;

use super::config::{CleanEnd, Config};
use super::last_event_id::LAST_EVENT_ID;
use super::registry::Registry;
use super::shared::{Head, How, Phase, Refusal, Relay};
use super::upstream::Reading;
use super::{UpstreamState, random};
use crate::history::{History, Log};
use crate::stage;

/// What the client that leads gets.
pub(super) enum First<R, E> {
    /// The relay's stream is open.
    Opened,
    /// The upstream's answer is no event stream.
    Passed(Response<R>),
    Failed(E),
}

/// The upstream request, to be made as often as it takes.
pub(super) struct Template {
    parts: request::Parts,
    body: Bytes,
}

/// A wait doubles from here to there, behind the reconnection time of the upstream.
const LEAST_BACKOFF: Duration = Duration::from_secs(1);
const MOST_BACKOFF: Duration = Duration::from_secs(30);

/// An upstream that stayed for so long is tried again as if for the first time.
const STABLE: Duration = Duration::from_secs(10);

/// So much is taken together when it is there.
const BATCH_BYTES: usize = 64 * 1024;
const BATCH_CHUNKS: usize = 64;
const BATCH_EVENTS: usize = 128;

/// Old events are dropped in no shorter steps.
const LEAST_EXPIRY: Duration = Duration::from_secs(1);

/// What it leaves behind is cleaned up also when it is dropped before it has begun.
pub(super) fn run<S, B, R, H>(
    relay: Arc<Relay<H::Log>>,
    registry: Arc<Registry<H>>,
    service: S,
    template: Template,
    first: oneshot::Sender<First<R, S::Error>>,
) -> impl Future<Output = ()> + Send
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: From<Bytes> + Send,
    R: Body + Send + 'static,
    H: History,
{
    relay.config.metrics.relays(1.0);
    // Behind it the log may have events for those who still read, and no others.
    let cleanup = Cleanup { relay, registry };
    async move {
        let relay = cleanup.relay.clone();
        drive(relay, service, template, first).await;
        drop(cleanup);
    }
}

async fn drive<S, B, R, L>(
    relay: Arc<Relay<L>>,
    service: S,
    template: Template,
    first: oneshot::Sender<First<R, S::Error>>,
) where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: From<Bytes>,
    R: Body,
    L: Log,
{
    let config = relay.config.clone();
    let last_id = template.parts.headers.get(&LAST_EVENT_ID);
    let reading = Reading::new(last_id.map(|id| Bytes::copy_from_slice(id.as_bytes())));
    let how = {
        let drive = Drive {
            relay: relay.clone(),
            config: config.clone(),
            service,
            template,
            first: Some(first),
            head: None,
            reading,
            lost: None,
            attempts: 0,
            was_connected: false,
        };
        let drive = pin!(drive.drive());
        let left = pin!(relay.abandoned());
        either(drive, left).await.unwrap_or(How::Left)
    };
    relay.set_state(UpstreamState::Ended);
    let head = match relay.phase() {
        Phase::Open(head) => Some(head),
        Phase::Starting => None,
        Phase::Refused(_) | Phase::Ended(..) => return,
    };
    relay.set_phase(Phase::Ended(head, how));
    relay.log.close();
    if matches!(how, How::Finished | How::Failed | How::NoContent) {
        sleep(config.keep_finished).await;
    }
}

/// What must be done however the task ends, also when the service panics.
struct Cleanup<H: History> {
    relay: Arc<Relay<H::Log>>,
    registry: Arc<Registry<H>>,
}

impl<H: History> Drop for Cleanup<H> {
    fn drop(&mut self) {
        self.relay.close();
        self.registry.remove(&self.relay);
        self.relay.set_state(UpstreamState::Ended);
        match self.relay.phase() {
            Phase::Starting => self.relay.set_phase(Phase::Ended(None, How::Left)),
            Phase::Open(head) => self.relay.set_phase(Phase::Ended(Some(head), How::Left)),
            Phase::Refused(_) | Phase::Ended(..) => {}
        }
        self.relay.log.close();
        self.relay.count(true);
        self.relay.config.metrics.relays(-1.0);
    }
}

struct Drive<S, R, E, L> {
    relay: Arc<Relay<L>>,
    config: Arc<Config>,
    service: S,
    template: Template,
    /// Taken when the client that leads was answered.
    first: Option<oneshot::Sender<First<R, E>>>,
    /// What clients were given, once they were.
    head: Option<Arc<Head>>,
    reading: Reading,
    /// Since when there has been nothing of use from upstream.
    lost: Option<Instant>,
    attempts: u32,
    was_connected: bool,
}

/// What came of a request.
enum Connected<R> {
    Stream(R),
    Retry(Option<Duration>),
    End(How),
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    Clean,
    Failed,
}

impl<S, R, E, L> Drive<S, R, E, L>
where
    L: Log,
    R: Body,
{
    async fn drive<B>(mut self) -> How
    where
        S: Service<Request<B>, Response = Response<R>, Error = E> + Clone,
        B: From<Bytes>,
    {
        if self.config.hold {
            self.open(Head::own());
        }
        self.lost = Some(Instant::now());
        loop {
            self.relay.set_state(UpstreamState::Connecting);
            let mut retry_after = None;
            match self.connect().await {
                Connected::End(how) => return how,
                Connected::Retry(after) => {
                    retry_after = after;
                    if !self.can_be_repeated() {
                        self.tell_gap().await;
                        return How::Failed;
                    }
                }
                Connected::Stream(body) => {
                    if let Some(how) = self.stream(body).await {
                        return how;
                    }
                }
            }
            self.relay.set_state(UpstreamState::Waiting);
            let wait = self.backoff(retry_after);
            let left = self.give_up_at().saturating_duration_since(Instant::now());
            sleep(wait.min(left)).await;
            if wait >= left {
                return How::GaveUp;
            }
        }
    }

    /// Reads one response. `None` when it was lost and is to be made again.
    async fn stream(&mut self, body: R) -> Option<How> {
        let opened = Instant::now();
        self.relay.set_state(UpstreamState::Connected);
        let resumes = header_value(self.reading.last_id.as_deref()).is_some();
        let mut before = None;
        if self.was_connected {
            if !resumes {
                self.tell_gap().await;
            }
            let appended = self.relay.log.append(Vec::new(), opened).await;
            before = Some(appended.position);
        }
        self.was_connected = true;
        self.reading.begin(&self.config, before);
        let connected = ConnectedGauge::new(&self.config);
        let loss = self.read(body).await;
        drop(connected);

        if loss == Loss::Clean && self.ends_cleanly() {
            if let Some(rest) = self.reading.finish(&self.config) {
                self.relay.log.append(vec![rest], Instant::now()).await;
            }
            return Some(How::Finished);
        }
        if !self.can_be_repeated() {
            self.tell_gap().await;
            return Some(How::Failed);
        }
        let had_events = self.reading.events > 0;
        if opened.elapsed() >= STABLE || (loss == Loss::Clean && had_events) {
            self.attempts = 0;
        }
        if self.attempts == 0 || had_events {
            self.lost = Some(Instant::now());
        }
        None
    }

    async fn read(&mut self, body: R) -> Loss {
        let mut body = pin!(body);
        loop {
            let mut chunks = Vec::new();
            let now = Instant::now();
            let expiry = self.relay.log.expire(now);
            self.relay.count(false);
            let batch = gather(body.as_mut(), &mut chunks);
            let loss = match expiry {
                // The batch is not lost with the future: what it has taken is ready at once.
                Some(at) => match timeout_at(at.max(now + LEAST_EXPIRY), batch).await {
                    Ok(loss) => loss,
                    Err(_) => continue,
                },
                None => batch.await,
            };
            let full = is_full(&chunks);
            if !chunks.is_empty() {
                let log = &self.relay.log;
                let drafts = self.reading.read(chunks, &self.config, log).await;
                self.relay.set_retry(self.reading.retry);
                let mut drafts = drafts.into_iter().peekable();
                while drafts.peek().is_some() {
                    let some = drafts.by_ref().take(BATCH_EVENTS).collect();
                    log.append(some, Instant::now()).await;
                    if drafts.peek().is_some() {
                        // Clients read what there is before it is too much for the history.
                        tokio::task::yield_now().await;
                    }
                }
            }
            if let Some(loss) = loss {
                self.relay.count(false);
                return loss;
            }
            if full {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn connect<B>(&mut self) -> Connected<R>
    where
        S: Service<Request<B>, Response = Response<R>, Error = E> + Clone,
        B: From<Bytes>,
    {
        let request = self.template.request(self.reading.last_id.as_deref());
        let mut service = self.service.clone();
        std::mem::swap(&mut service, &mut self.service);
        let mut answer = pin!(async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        });
        if self.head.is_none() {
            let result = match self.config.open_after {
                None => Ok(answer.as_mut().await),
                Some(time) => timeout(time, answer.as_mut()).await,
            };
            match result {
                Ok(result) => return self.first_answer(result),
                Err(_) => self.open(Head::own()),
            }
        }
        let Ok(result) = timeout_at(self.give_up_at(), answer).await else {
            return Connected::End(How::GaveUp);
        };
        let Ok(response) = result else {
            return Connected::Retry(None);
        };
        let (head, body) = response.into_parts();
        if stage::bypass(&head, false).is_none() {
            return Connected::Stream(body);
        }
        match head.status {
            StatusCode::NO_CONTENT => Connected::End(How::NoContent),
            status if is_final(status) => Connected::End(How::GaveUp),
            _ => Connected::Retry(retry_after(&head.headers)),
        }
    }

    /// Before anything was promised to clients, an answer is passed on as it is.
    fn first_answer(&mut self, result: Result<Response<R>, E>) -> Connected<R> {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let head = Arc::new(Head::status(StatusCode::BAD_GATEWAY));
                self.refuse(Refusal::Same(head), First::Failed(error));
                return Connected::End(How::Refused);
            }
        };
        let (head, body) = response.into_parts();
        if stage::bypass(&head, false).is_none() {
            self.open(Head::of(&head));
            return Connected::Stream(body);
        }
        let is_error = head.status.is_client_error() || head.status.is_server_error();
        let refusal = if is_error || head.status == StatusCode::NO_CONTENT {
            Refusal::Same(Arc::new(Head::of_error(&head)))
        } else {
            Refusal::Own
        };
        let response = Response::from_parts(head, body);
        self.refuse(refusal, First::Passed(response));
        Connected::End(How::Refused)
    }

    fn open(&mut self, head: Head) {
        let head = Arc::new(head);
        self.head = Some(head.clone());
        self.relay.set_phase(Phase::Open(head));
        if let Some(first) = self.first.take() {
            // It may have left.
            let _ = first.send(First::Opened);
        }
    }

    fn refuse(&mut self, refusal: Refusal, answer: First<R, E>) {
        self.relay.set_phase(Phase::Refused(refusal));
        if let Some(first) = self.first.take() {
            let _ = first.send(answer);
        }
    }

    async fn tell_gap(&mut self) {
        if let Some(gap) = self.reading.gap(&self.config, None) {
            self.relay.log.append(vec![gap], Instant::now()).await;
        }
    }

    fn can_be_repeated(&self) -> bool {
        self.template.parts.method == Method::GET
    }

    fn ends_cleanly(&self) -> bool {
        match self.config.clean_end {
            Some(end) => end == CleanEnd::Finished,
            None => !self.can_be_repeated() || self.config.key.is_none(),
        }
    }

    fn give_up_at(&self) -> Instant {
        let lost = self.lost.unwrap_or_else(Instant::now);
        lost.checked_add(self.config.give_up)
            .unwrap_or_else(|| lost + Duration::from_secs(86_400 * 365))
    }

    fn backoff(&mut self, retry_after: Option<Duration>) -> Duration {
        let most = LEAST_BACKOFF
            .saturating_mul(1 << self.attempts.min(16))
            .min(MOST_BACKOFF);
        self.attempts = self.attempts.saturating_add(1);
        let jitter = most.mul_f64(random::fraction());
        let retry = self.reading.retry.unwrap_or_default();
        retry
            .saturating_add(jitter)
            .max(retry_after.unwrap_or_default())
    }
}

impl Template {
    pub(super) fn new(parts: request::Parts, body: Bytes) -> Self {
        Template { parts, body }
    }

    fn request<B: From<Bytes>>(&self, last_id: Option<&[u8]>) -> Request<B> {
        let mut parts = self.parts.clone();
        parts.headers.remove(&LAST_EVENT_ID);
        if let Some(id) = header_value(last_id) {
            parts.headers.insert(LAST_EVENT_ID, id);
        }
        Request::from_parts(parts, self.body.clone().into())
    }
}

/// A last event ID may hold what a header field cannot: then nothing can be asked for with it.
fn header_value(last_id: Option<&[u8]>) -> Option<HeaderValue> {
    HeaderValue::from_bytes(last_id?).ok()
}

/// Counts a connection for as long as it is there, also when the task is dropped.
struct ConnectedGauge(Arc<Config>);

impl ConnectedGauge {
    fn new(config: &Arc<Config>) -> Self {
        config.metrics.connected(1.0);
        ConnectedGauge(config.clone())
    }
}

impl Drop for ConnectedGauge {
    fn drop(&mut self) {
        self.0.metrics.connected(-1.0);
    }
}

/// Takes all chunks that are there, and waits for one if there are none. Gives how the body ended, if it did.
async fn gather<R: Body>(mut body: Pin<&mut R>, chunks: &mut Vec<Bytes>) -> Option<Loss> {
    poll_fn(|cx| {
        loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(mut data) = frame.into_data() {
                        chunks.push(data.copy_to_bytes(data.remaining()));
                    }
                    if is_full(chunks) {
                        return Poll::Ready(None);
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Loss::Failed)),
                Poll::Ready(None) => return Poll::Ready(Some(Loss::Clean)),
                Poll::Pending if chunks.is_empty() => return Poll::Pending,
                Poll::Pending => return Poll::Ready(None),
            }
        }
    })
    .await
}

/// Whether there may be more than was taken together.
fn is_full(chunks: &[Bytes]) -> bool {
    chunks.len() >= BATCH_CHUNKS || chunks.iter().map(Bytes::len).sum::<usize>() >= BATCH_BYTES
}

/// The first one's result, unless the second is done before.
async fn either<T>(
    mut one: Pin<&mut impl Future<Output = T>>,
    mut other: Pin<&mut impl Future<Output = ()>>,
) -> Option<T> {
    poll_fn(|cx| {
        if other.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        one.as_mut().poll(cx).map(Some)
    })
    .await
}

fn is_final(status: StatusCode) -> bool {
    let again = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !again.contains(&status)
}

/// In seconds; a date says too little for its worth.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}
