//! Makes the upstream request, and says what its answer means.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, request};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use super::backoff::Backoff;
use super::config::Config;
use super::last_event_id::LAST_EVENT_ID;
use super::retry_after;
use super::shared::{Head, How, Phase, Refusal, Relay};
use crate::stage;

/// So long the answer to an attempt is waited for at least, also when it is the last one.
const LAST_ANSWER: Duration = Duration::from_secs(10);

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

/// What came of a request.
pub(super) enum Connected<R> {
    Stream(R),
    Retry(Option<Duration>),
    End(How),
}

/// The upstream of a relay, which can be asked again and again.
pub(super) struct Upstream<S, R, E, L> {
    pub(super) relay: Arc<Relay<L>>,
    pub(super) config: Arc<Config>,
    pub(super) service: S,
    pub(super) template: Template,
    /// Taken when the client that leads was answered.
    pub(super) first: Option<oneshot::Sender<First<R, E>>>,
    /// What clients were given, once they were.
    pub(super) head: Option<Arc<Head>>,
    pub(super) backoff: Backoff,
}

impl<S, R, E, L> Upstream<S, R, E, L>
where
    R: Body,
{
    pub(super) async fn connect<B>(&mut self, last_id: Option<&[u8]>) -> Connected<R>
    where
        S: Service<Request<B>, Response = Response<R>, Error = E> + Clone,
        B: From<Bytes>,
    {
        let request = self.template.request(last_id);
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
        let until = self.give_up_at().max(Instant::now() + LAST_ANSWER);
        let Ok(result) = timeout_at(until, answer).await else {
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
            _ => Connected::Retry(retry_after::of(&head.headers, SystemTime::now())),
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

    pub(super) fn open(&mut self, head: Head) {
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

    pub(super) fn give_up_at(&self) -> Instant {
        self.backoff.give_up_at(self.config.give_up)
    }

    pub(super) fn can_be_repeated(&self) -> bool {
        self.template.parts.method == Method::GET
    }
}

impl Template {
    pub(super) fn new(parts: request::Parts, body: Bytes) -> Self {
        Template { parts, body }
    }

    /// What the client that leads has seen of the upstream's.
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
    HeaderValue::from_bytes(last_id?).ok()
}

fn is_final(status: StatusCode) -> bool {
    let again = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !again.contains(&status)
}
