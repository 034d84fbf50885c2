//! Makes the upstream request, and says what its answer means.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request, response};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use super::backoff::Backoff;
use super::config::Config;
use super::document;
use super::head::{self, Head};
use super::keyed::{copied, value};
use super::last_event_id::LAST_EVENT_ID;
use super::registry::Registry;
use super::retry_after;
use super::shared::{How, Of, Phase, Refusal, Relay};
use super::vary::{Vary, has_directive};
use crate::history::{History, Reserved};
use crate::stage::{self, EndNote};

/// So long the answer to an attempt is waited for at least, also when it is the last one.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// An answer that is the same for all who wait is given to them with its body up to this length.
const SAME_BODY: usize = 64 * 1024;

/// So long such a body is waited for.
const BODY_TIME: Duration = Duration::from_secs(5);

/// What the client that leads gets.
pub(super) enum First<R, E> {
    /// The relay's stream is open. What of the head is of this client alone is not for the others; none where it is ours.
    Opened(Option<response::Parts>),
    /// The upstream's answer is no event stream: its head, what was read of its body, and the rest.
    Passed(response::Parts, Bytes, Option<Pin<Box<R>>>),
    Failed(E),
}

/// An answer that is waited for.
pub(super) type Answer<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;

/// Where the first stream of a relay comes from.
pub(super) enum Source<R, E> {
    /// The upstream is yet to be asked.
    Ask(oneshot::Sender<First<R, E>>),
    /// A client has asked for itself, and was given a stream before there is an answer.
    Pending(Answer<R, E>, EndNote),
    /// A client has asked for itself, and this is the answer.
    Body(Box<R>, EndNote),
}

/// The upstream request, to be made as often as it takes.
pub(super) struct Template {
    parts: request::Parts,
    body: Bytes,
    /// What the body takes of the budget, until there is an answer.
    held: Reserved,
}

/// What came of a request.
pub(super) enum Connected<R> {
    Stream(R),
    Retry(Option<Duration>),
    /// What is no event stream, behind a head that was given early.
    Document(StatusCode, R),
    End(How),
}

/// The upstream of a relay, which can be asked again and again.
pub(super) struct Upstream<S, R, E, H: History> {
    pub(super) relay: Arc<Relay<H::Log>>,
    pub(super) registry: Arc<Registry<H>>,
    pub(super) config: Arc<Config>,
    pub(super) service: S,
    /// None when the request cannot be made again.
    pub(super) template: Option<Template>,
    pub(super) can_be_repeated: bool,
    pending: Option<Answer<R, E>>,
    body: Option<Box<R>>,
    /// How the answer's stream ended, if a stage has ended it.
    pub(super) note: EndNote,
    /// Taken when the client that leads was answered.
    first: Option<oneshot::Sender<First<R, E>>>,
    /// Whether clients were given a head.
    is_open: bool,
    /// Whether there was a stream already.
    had_stream: bool,
    pub(super) backoff: Backoff,
}

impl<S, R, E, H> Upstream<S, R, E, H>
where
    R: Body,
    H: History,
{
    pub(super) fn new(
        relay: Arc<Relay<H::Log>>,
        registry: Arc<Registry<H>>,
        service: S,
        template: Option<Template>,
        source: Source<R, E>,
    ) -> Self {
        let (mut pending, mut body, mut first) = (None, None, None);
        let note = match source {
            Source::Ask(sender) => {
                first = Some(sender);
                EndNote::default()
            }
            Source::Pending(answer, note) => {
                pending = Some(answer);
                note
            }
            Source::Body(inner, note) => {
                body = Some(inner);
                note
            }
        };
        Upstream {
            config: relay.config.clone(),
            can_be_repeated: template.is_some() && relay.is_asked_again,
            // Who asked for itself has a head by now.
            is_open: first.is_none(),
            had_stream: false,
            relay,
            registry,
            service,
            template,
            pending,
            body,
            note,
            first,
            backoff: Backoff::new(),
        }
    }

    pub(super) async fn connect<B>(&mut self, last_id: Option<&[u8]>) -> Connected<R>
    where
        S: Service<Request<B>, Response = Response<R>, Error = E> + Clone + Send + 'static,
        S::Future: Send,
        B: From<Bytes> + Send + 'static,
    {
        if let Some(body) = self.body.take() {
            self.had_stream = true;
            return Connected::Stream(*body);
        }
        let mut answer = match (self.pending.take(), &self.template) {
            (Some(pending), _) => pending,
            (None, Some(template)) => {
                let mut request = template.request(last_id);
                self.note = EndNote::default();
                request.extensions_mut().insert(self.note.clone());
                let mut service = self.service.clone();
                std::mem::swap(&mut service, &mut self.service);
                let asking = async move {
                    poll_fn(|cx| service.poll_ready(cx)).await?;
                    service.call(request).await
                };
                Box::pin(asking)
            }
            (None, None) => return Connected::End(How::Failed),
        };
        // The body of what is not asked again is held once, until it is answered.
        let once = self.template.as_mut().filter(|_| !self.can_be_repeated);
        let _held = once.map(Template::take_body);
        if !self.is_open {
            let result = match self.config.open_after {
                None => Ok(answer.as_mut().await),
                Some(time) => timeout(time, answer.as_mut()).await,
            };
            match result {
                Ok(result) => return self.first_answer(result).await,
                Err(_) => self.open(Head::own(), None),
            }
        }
        let until = self.give_up_at().max(Instant::now() + LAST_ANSWER);
        let Ok(result) = timeout_at(until, answer).await else {
            return Connected::End(How::GaveUp);
        };
        let Ok(response) = result else {
            return Connected::Retry(None);
        };
        let (head, body) = response.into_parts();
        if stage::bypass(&head, false).is_none() {
            self.now_varies(&head.headers);
            self.had_stream = true;
            return Connected::Stream(body);
        }
        match head.status {
            StatusCode::NO_CONTENT => Connected::End(How::NoContent),
            // It is the answer to what clients have asked for.
            status
                if !self.had_stream
                    && document::is_one(&head.headers)
                    && (status.is_success() || !self.can_be_repeated) =>
            {
                Connected::Document(status, body)
            }
            status if is_final(status) => Connected::End(How::GaveUp),
            _ => Connected::Retry(retry_after::of(&head.headers, SystemTime::now())),
        }
    }

    /// Before anything was promised to clients, an answer is passed on as it is.
    async fn first_answer(&mut self, result: Result<Response<R>, E>) -> Connected<R> {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let head = Arc::new(Head::status(StatusCode::BAD_GATEWAY));
                let refusal = Refusal::Same(head, Bytes::new());
                self.refuse(refusal, First::Failed(error));
                return Connected::End(How::Refused);
            }
        };
        let (head, body) = response.into_parts();
        self.now_varies(&head.headers);
        if stage::bypass(&head, false).is_none() {
            if self.relay.vary() == Some(&Vary::Private) {
                self.pass();
            }
            self.open(Head::for_all(&head), Some(head));
            self.had_stream = true;
            return Connected::Stream(body);
        }
        if !is_the_same_for_all(&head, &body) || self.relay.vary() == Some(&Vary::Private) {
            self.pass();
            self.refuse(
                Refusal::Own,
                First::Passed(head, Bytes::new(), Some(Box::pin(body))),
            );
            return Connected::End(How::Refused);
        }
        // What breaks off in the middle is shorter than its head says.
        let (bytes, whole, rest) = read(body).await;
        let refusal = match whole {
            true => Refusal::Same(Arc::new(Head::for_all(&head)), bytes.clone()),
            false => Refusal::Own,
        };
        self.refuse(refusal, First::Passed(head, bytes, rest));
        Connected::End(How::Refused)
    }

    /// The head of the first stream says for whom else it is.
    fn now_varies(&self, answer: &HeaderMap) {
        let none = HeaderMap::new();
        let sent = self
            .template
            .as_ref()
            .map_or(&none, |template| &template.parts.headers);
        self.relay
            .set_vary(Vary::of(answer, sent, self.config.insist));
    }

    /// Nobody is to wait for this key for a while.
    fn pass(&self) {
        if let Of::Key { key, .. } = &self.relay.of {
            self.registry.pass(*key);
        }
    }

    pub(super) fn open(&mut self, head: Head, own: Option<response::Parts>) {
        self.registry.hold(&self.relay, head.bytes());
        self.is_open = true;
        self.relay.set_phase(Phase::Open(Arc::new(head)));
        if let Some(first) = self.first.take() {
            // It may have left.
            let _ = first.send(First::Opened(own.map(head::of_who_asked)));
        }
    }

    fn refuse(&mut self, refusal: Refusal, answer: First<R, E>) {
        self.relay.set_phase(Phase::Refused(refusal));
        if let Some(first) = self.first.take() {
            let _ = first.send(answer);
        }
    }

    pub(super) fn give_up_at(&self) -> Instant {
        self.backoff.give_up_at(self.config.give_up)
    }
}

/// Whether an answer that is no event stream is the same for all who asked for this: an error that is nobody's own.
fn is_the_same_for_all<R: Body>(head: &response::Parts, body: &R) -> bool {
    let is_error = head.status.is_client_error() || head.status.is_server_error();
    let is_short = body.is_end_stream()
        || body
            .size_hint()
            .upper()
            .is_some_and(|upper| upper <= SAME_BODY as u64);
    // That there is no answer to be had says nothing of who asked.
    let is_nobodys = matches!(
        head.status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    (is_error || head.status == StatusCode::NO_CONTENT)
        && is_short
        && !head.headers.contains_key(header::SET_COOKIE)
        && (is_nobodys || !has_directive(&head.headers, "no-store"))
}

/// A short body, whether it is whole, and what is left of it where it did not come in time.
async fn read<R: Body>(body: R) -> (Bytes, bool, Option<Pin<Box<R>>>) {
    let mut body = Box::pin(body);
    let mut all = BytesMut::new();
    let reading = timeout(BODY_TIME, async {
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let Ok(frame) = frame else { return false };
            if let Ok(mut data) = frame.into_data() {
                all.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
        }
        true
    });
    let whole = reading.await;
    let rest = whole.is_err().then_some(body);
    (all.freeze(), whole == Ok(true), rest)
}

impl Template {
    /// The head of the request is one that pins nothing, such as a copy.
    pub(super) fn new(parts: request::Parts, body: Bytes) -> Self {
        Template {
            parts,
            body,
            held: Reserved::nothing(),
        }
    }

    /// Takes so much of the budget for its body.
    pub(super) fn holding(self, held: Reserved) -> Self {
        Template { held, ..self }
    }

    /// A copy of a request without a body.
    pub(super) fn copy(request: &request::Parts) -> Self {
        Self::new(copied(request), Bytes::new())
    }

    fn take_body(&mut self) -> Reserved {
        self.body = Bytes::new();
        std::mem::take(&mut self.held)
    }

    /// What the upstream is asked to go on behind.
    pub(super) fn last_id(&self) -> Option<Bytes> {
        let id = self.parts.headers.get(&LAST_EVENT_ID)?;
        Some(Bytes::copy_from_slice(id.as_bytes()))
    }

    pub(super) fn request<B: From<Bytes>>(&self, last_id: Option<&[u8]>) -> Request<B> {
        let mut parts = self.parts.clone();
        parts.headers.remove(&LAST_EVENT_ID);
        if let Some(id) = header_value(last_id) {
            parts.headers.insert(LAST_EVENT_ID, id);
        }
        Request::from_parts(parts, self.body.clone().into())
    }
}

/// A last event ID may hold what a header field cannot: then nothing can be asked for with it.
pub(super) fn header_value(last_id: Option<&[u8]>) -> Option<HeaderValue> {
    value(last_id?)
}

fn is_final(status: StatusCode) -> bool {
    let again = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !again.contains(&status)
}
