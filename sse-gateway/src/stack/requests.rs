//! Requests of all kinds: counted by their answers, timed, and each a line of the log where that is wanted.
//!
//! Event streams are counted and not timed, and have lines of their own (`state/streams`).

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Response, StatusCode, request};
use http_body::{Body, Frame, SizeHint};
use metrics::{Counter, Histogram, counter, histogram};
use pin_project_lite::pin_project;
use tower_sse::stage::{self, Bypass};

use crate::body::{StackBody, boxed};
use crate::client::address::ClientAddress;
use crate::log::shown_path::ShownPath;
use crate::log::{time_value, trace};
use crate::otel::{RequestSpan, RouteName, Tracer};
use crate::proxy::no_answer::Unanswered;
use crate::proxy::upstreams::AnsweredBy;

pub(crate) const REQUESTS: &str = "sse_requests_total";
pub(crate) const SECONDS: &str = "sse_request_seconds";

/// The route of a request that none takes.
pub(crate) const NO_ROUTE: &str = "";

/// What is counted of the requests of a route. Clones are the same.
#[derive(Clone)]
pub(crate) struct Requests(Arc<Counted>);

struct Counted {
    route: RouteName,
    /// By status from 100 on, made when there is one.
    answered: Box<[OnceLock<Counter>]>,
    unanswered: Counter,
    left: Counter,
    seconds: Histogram,
    /// Whether each is a line of the log.
    is_logged: bool,
    /// None where they have no spans.
    tracer: Option<Tracer>,
}

const LEAST: u16 = 100;
const STATUSES: usize = 900;

impl Requests {
    pub(crate) fn of(route: RouteName, is_logged: bool, tracer: Option<Tracer>) -> Self {
        let name = || route.name.to_string();
        let of = |status: &'static str| counter!(REQUESTS, "route" => name(), "status" => status);
        let requests = Requests(Arc::new(Counted {
            answered: (0..STATUSES).map(|_| OnceLock::new()).collect(),
            unanswered: of("none"),
            left: of("left"),
            seconds: histogram!(SECONDS, "route" => name()),
            route,
            is_logged,
            tracer,
        }));
        for counter in [
            &requests.0.unanswered,
            &requests.0.left,
            requests.0.answered(StatusCode::OK),
        ] {
            // A rate needs a value from before the first time.
            counter.increment(0);
        }
        requests
    }

    /// A request that has come. What it says of its trace is, from then on, for the upstream.
    pub(crate) fn asked(&self, parts: &mut request::Parts) -> Asked {
        let tracer = self.0.tracer.as_ref();
        Asked {
            requests: self.0.clone(),
            came: Instant::now(),
            span: tracer.and_then(|tracer| tracer.request(&self.0.route, parts)),
            line: self.0.is_logged.then(|| Box::new(Line::of(parts))),
            is_answered: false,
        }
    }
}

impl Counted {
    fn answered(&self, status: StatusCode) -> &Counter {
        let at = usize::from(status.as_u16().saturating_sub(LEAST)).min(STATUSES - 1);
        self.answered[at].get_or_init(|| {
            let status = status.as_str().to_owned();
            counter!(REQUESTS, "route" => self.route.name.to_string(), "status" => status)
        })
    }

    fn tell(&self, line: &Line, status: &str, bytes: u64, came: Instant) {
        tracing::info!(
            route = &*self.route.name,
            client = line.client.map(tracing::field::display),
            method = %line.method,
            path = line.path.as_ref().map(|path| &*path.0),
            status,
            bytes,
            duration = time_value(came.elapsed()),
            upstream = line.upstream.as_deref(),
            trace = line.trace.as_deref(),
            "request"
        );
    }
}

/// What a line of the log says of a request.
struct Line {
    client: Option<ClientAddress>,
    method: Method,
    path: Option<ShownPath>,
    /// The one of several that has answered.
    upstream: Option<Arc<str>>,
    trace: Option<Box<str>>,
}

impl Line {
    fn of(parts: &request::Parts) -> Self {
        Line {
            client: parts.extensions.get().copied(),
            method: parts.method.clone(),
            path: parts.extensions.get().cloned(),
            upstream: None,
            trace: trace::id(&parts.headers).map(Into::into),
        }
    }
}

/// A request that is yet to be answered. Its client has left if it is dropped before.
pub(crate) struct Asked {
    requests: Arc<Counted>,
    came: Instant,
    line: Option<Box<Line>>,
    span: Option<RequestSpan>,
    is_answered: bool,
}

impl Asked {
    /// Counts the answer, and what is not a stream until its end.
    pub(crate) fn answered(
        mut self,
        answer: Result<Response<StackBody>, Unanswered>,
    ) -> Result<Response<StackBody>, Unanswered> {
        self.is_answered = true;
        let response = match answer {
            Ok(response) => response,
            Err(unanswered) => {
                self.requests.unanswered.increment(1);
                if let Some(span) = &self.span {
                    span.unanswered(unanswered.0);
                }
                if let Some(line) = &self.line {
                    self.requests.tell(line, "none", 0, self.came);
                }
                return Err(unanswered);
            }
        };
        let status = response.status();
        self.requests.answered(status).increment(1);
        let (head, body) = response.into_parts();
        if let Some(line) = &mut self.line {
            let answered_by: Option<&AnsweredBy> = head.extensions.get();
            line.upstream = answered_by.map(|by| Arc::clone(&by.0));
        }
        if let Some(span) = &self.span {
            span.answered(status, &head.extensions);
        }
        // One with a content coding is one too.
        let is_stream = stage::bypass(&head, false) != Some(Bypass::NotAnEventStream);
        let ends_by_itself = self.span.as_ref().is_none_or(RequestSpan::is_of_stream);
        let body = match is_stream && ends_by_itself {
            true => body,
            false => boxed(Timed {
                body,
                bytes: 0,
                status,
                is_stream,
                asked: self,
            }),
        };
        Ok(Response::from_parts(head, body))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        self.requests.left.increment(1);
        if let Some(span) = &self.span {
            span.left();
        }
        if let Some(line) = &self.line {
            self.requests.tell(line, "left", 0, self.came);
        }
    }
}

pin_project! {
    /// A body that is no stream, until its end; or one in which no event can be found, where it has a span.
    struct Timed {
        #[pin]
        body: StackBody,
        bytes: u64,
        status: StatusCode,
        is_stream: bool,
        asked: Asked,
    }

    impl PinnedDrop for Timed {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            let Asked { requests, came, line, span, .. } = &*this.asked;
            if let Some(span) = span {
                span.ended(*this.bytes);
            }
            if *this.is_stream {
                return;
            }
            requests.seconds.record(came.elapsed());
            if let Some(line) = line {
                requests.tell(line, this.status.as_str(), *this.bytes, *came);
            }
        }
    }
}

impl Body for Timed {
    type Data = Bytes;
    type Error = <StackBody as Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            *this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
