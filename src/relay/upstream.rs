//! Makes the upstream request, and says what its answer means.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response, StatusCode, response};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::NoUpstream;
use super::asked::Asked;
use super::backoff::{Backoff, Lost};
use super::config::Config;
use super::document;
use super::head::{self, Head};
use super::inside::Inside;
use super::late::{Leader, is_nobodys_own};
use super::passed::Known;
use super::registry::Registry;
use super::retry_after;
use super::shared::{Ended, Phase, Refusal, Relay};
use super::template::Template;
use super::vary::Vary;
use crate::history::History;
use crate::stage;

mod outside;
mod whom;

/// So long the answer to an attempt is waited for at least, also when it is the last one.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// An answer that is the same for all who wait is given to them with its body up to this length.
const SAME_BODY: usize = 64 * 1024;

/// So long such a body is waited for.
const BODY_TIME: Duration = Duration::from_secs(5);

/// What the client that leads gets.
pub(super) enum First<R, E> {
    /// The relay's stream is open. What of the head is of this client alone is not for the others; none where it is ours, and
    /// there is no answer yet.
    Opened(Option<response::Parts>),
    /// Others have it already, in other processes.
    There,
    /// The upstream's answer is no event stream: its head, what was read of its body, and the rest.
    Passed(response::Parts, Bytes, Option<Pin<Box<R>>>),
    Failed(E),
}

/// An answer that is waited for.
pub(super) type Answer<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;

/// Where the first stream of a relay comes from.
pub(super) enum Source<R, E> {
    /// The upstream is yet to be asked.
    Ask(oneshot::Sender<First<R, E>>, Leader),
    /// A client has asked for itself, and was given a stream before there is an answer.
    Pending(Answer<R, E>, Asked),
    /// A client has asked for itself, and this is the answer.
    Body(Box<R>, Asked),
    /// Another process has asked. The upstream may have to be asked again here.
    Elsewhere,
}

/// What came of a request.
pub(super) enum Connected<R> {
    Stream(R),
    Retry(Lost),
    /// What is no event stream, behind a head that was given early.
    Document(StatusCode, R),
    End(Ended),
}

/// The upstream of a relay, which can be asked again and again.
pub(super) struct Upstream<S, R, E, H> {
    pub(super) relay: Arc<Relay>,
    pub(super) registry: Arc<Registry<H>>,
    pub(super) config: Arc<Config>,
    pub(super) service: S,
    /// None when the request cannot be made again.
    pub(super) template: Option<Template>,
    pub(super) can_be_repeated: bool,
    pending: Option<Answer<R, E>>,
    body: Option<Box<R>>,
    /// The request that was made last.
    pub(super) asked: Option<Asked>,
    /// Taken when the client that leads was answered.
    first: Option<oneshot::Sender<First<R, E>>>,
    /// Taken when it is known whom the answer is for.
    leader: Option<Leader>,
    /// Whether clients were given a head.
    pub(super) is_open: bool,
    /// Whether a request was made that is not made again.
    was_made: bool,
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
        relay: Arc<Relay>,
        registry: Arc<Registry<H>>,
        service: S,
        template: Option<Template>,
        source: Source<R, E>,
    ) -> Self {
        let (mut pending, mut body, mut first, mut leader) = (None, None, None, None);
        let asked = match source {
            Source::Ask(sender, leads) => {
                (first, leader) = (Some(sender), Some(leads));
                None
            }
            Source::Pending(answer, asked) => {
                pending = Some(answer);
                Some(asked)
            }
            Source::Body(inner, asked) => {
                body = Some(inner);
                Some(asked)
            }
            Source::Elsewhere => None,
        };
        Upstream {
            config: relay.config.clone(),
            can_be_repeated: template.is_some() && relay.is_asked_again,
            // Who asked for itself has a head by now.
            is_open: pending.is_some() || body.is_some(),
            was_made: false,
            had_stream: false,
            relay,
            registry,
            service,
            template,
            pending,
            body,
            asked,
            first,
            leader,
            backoff: Backoff::new(),
        }
    }

    pub(super) async fn connect<B>(&mut self, last_id: Option<&[u8]>) -> Connected<R>
    where
        S: Inside<B, R, Error = E>,
        B: From<Bytes> + Send + 'static,
    {
        if let Some(body) = self.body.take() {
            self.had_stream = true;
            self.tell();
            return Connected::Stream(*body);
        }
        let mut answer = match (self.pending.take(), &self.template) {
            (Some(pending), _) => pending,
            (None, Some(template)) => {
                let (mut parts, body) = template.request(last_id).into_parts();
                self.asked = Some(Asked::of(&self.config, &mut parts));
                self.was_made = true;
                let request = Request::from_parts(parts, body);
                let mut service = self.service.clone();
                std::mem::swap(&mut service, &mut self.service);
                let asking = async move {
                    poll_fn(|cx| service.poll_ready(cx)).await?;
                    service.call(request).await
                };
                Box::pin(asking)
            }
            (None, None) => return Connected::End(Ended::Failed),
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
            return Connected::End(Ended::GaveUp);
        };
        let Ok(response) = result else {
            return Connected::Retry(Lost::Unanswered);
        };
        let (mut head, body) = response.into_parts();
        self.answered(&mut head);
        if stage::bypass(&head, false).is_none() {
            if !self.is_for_all_here(self.whom_for(&head.headers)) {
                return Connected::End(Ended::NotForAll);
            }
            self.had_stream = true;
            self.tell();
            return Connected::Stream(body);
        }
        match head.status {
            StatusCode::NO_CONTENT => match self.may_give_all_of(&head) {
                true => Connected::End(Ended::NoContent),
                false => Connected::End(Ended::NotForAll),
            },
            // It is the answer to what clients have asked for.
            status
                if !self.had_stream
                    && document::is_one(&head.headers)
                    && (status.is_success() || !self.can_be_repeated) =>
            {
                match self.may_give_all_of(&head) {
                    true => Connected::Document(status, body),
                    false => Connected::End(Ended::NotForAll),
                }
            }
            status if is_final(status) => Connected::End(Ended::GaveUp),
            _ => Connected::Retry(lost(&head)),
        }
    }

    /// Before anything was promised to clients, an answer is passed on as it is.
    async fn first_answer(&mut self, result: Result<Response<R>, E>) -> Connected<R> {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let head = Arc::new(Head::no_upstream());
                let refusal = Refusal::Same(head, Bytes::new());
                self.refuse(refusal, First::Failed(error));
                return Connected::End(Ended::Refused);
            }
        };
        let (mut head, body) = response.into_parts();
        self.answered(&mut head);
        let template = self.template.as_ref().filter(|_| self.can_be_repeated);
        let is_held = template
            .is_some_and(|template| self.config.holds_without_upstream(&template.parts.headers));
        if is_held && is_none(&head) {
            self.open(Head::own(), None);
            return Connected::Retry(lost(&head));
        }
        self.leader = None;
        let vary = match is_none(&head) {
            true => Vary::Fields(Vec::new()),
            false => self.whom_for(&head.headers),
        };
        self.relay.set_vary(vary.clone());
        self.note(&vary);
        self.share_if(&vary);
        if stage::bypass(&head, false).is_none() {
            self.open(Head::for_all(&head), Some(head));
            self.had_stream = true;
            self.tell();
            return Connected::Stream(body);
        }
        let is_the_same = is_none(&head) || is_nobodys_own(&head) && vary != Vary::Private;
        if !is_the_same || !is_short_error(&head, &body) {
            if vary != Vary::Private {
                self.note_as(Known::NoStream);
            }
            self.refuse(
                Refusal::Own,
                First::Passed(head, Bytes::new(), Some(Box::pin(body))),
            );
            return Connected::End(Ended::Refused);
        }
        // What breaks off in the middle is shorter than its head says.
        let (bytes, whole, rest) = read(body).await;
        let refusal = match whole {
            true => Refusal::Same(Arc::new(Head::for_all(&head)), bytes.clone()),
            false => Refusal::Own,
        };
        self.refuse(refusal, First::Passed(head, bytes, rest));
        Connected::End(Ended::Refused)
    }

    fn answered(&mut self, head: &mut response::Parts) {
        if let Some(asked) = &mut self.asked {
            asked.answered(head);
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

/// Whether it says that there is no answer of the upstream.
pub(super) fn is_none(head: &response::Parts) -> bool {
    head.extensions.get::<NoUpstream>().is_some()
}

/// What an answer that is of no use says of when to ask again.
fn lost(head: &response::Parts) -> Lost {
    match retry_after::of(&head.headers, SystemTime::now()) {
        None if is_none(head) => Lost::Unanswered,
        after => Lost::Answered(after),
    }
}

/// Whether an answer that is no event stream can be given to many: an error, or 204, that is short.
fn is_short_error<R: Body>(head: &response::Parts, body: &R) -> bool {
    let is_error = head.status.is_client_error() || head.status.is_server_error();
    let is_short = body.is_end_stream()
        || body
            .size_hint()
            .upper()
            .is_some_and(|upper| upper <= SAME_BODY as u64);
    (is_error || head.status == StatusCode::NO_CONTENT) && is_short
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

fn is_final(status: StatusCode) -> bool {
    let again = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_client_error() && !again.contains(&status)
}
