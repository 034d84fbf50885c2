//! An upstream that keeps to a timetable, in seconds since it was made or became a response.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

/// A body that does what was planned, and then nothing for ever. It panics when it is polled after its
/// end, as a body is allowed to.
pub(crate) struct Upstream {
    start: Instant,
    steps: VecDeque<(u64, Step)>,
    sleep: Option<Pin<Box<Sleep>>>,
    over: bool,
}

enum Step {
    Frame(Frame<Bytes>),
    Fail,
    End,
}

/// The failure of an [`Upstream`].
#[derive(Debug)]
pub(crate) struct Broken;

pub(crate) fn upstream() -> Upstream {
    Upstream {
        start: Instant::now(),
        steps: VecDeque::new(),
        sleep: None,
        over: false,
    }
}

impl Upstream {
    pub(crate) fn chunk(self, at: u64, chunk: impl Into<Bytes>) -> Self {
        self.step(at, Step::Frame(Frame::data(chunk.into())))
    }

    /// Ends it with one trailer.
    pub(crate) fn trailer(self, at: u64, name: &'static str, value: &'static str) -> Self {
        let fields = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        let trailers: HeaderMap = [fields].into_iter().collect();
        self.step(at, Step::Frame(Frame::trailers(trailers)))
    }

    pub(crate) fn fail(self, at: u64) -> Self {
        self.step(at, Step::Fail)
    }

    pub(crate) fn end(self, at: u64) -> Self {
        self.step(at, Step::End)
    }

    /// It as the response of an event stream, which begins now.
    pub(crate) fn response(mut self) -> Response<Self> {
        self.start = Instant::now();
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(self)
            .unwrap()
    }

    fn step(mut self, at: u64, step: Step) -> Self {
        self.steps.push_back((at, step));
        self
    }
}

impl Body for Upstream {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        assert!(!self.over, "it was polled after its end");
        let Some((at, _)) = self.steps.front() else {
            return Poll::Pending;
        };
        let at = self.start + Duration::from_secs(*at);
        if at > Instant::now() {
            let sleep = self.sleep.insert(Box::pin(sleep_until(at)));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let (_, step) = self.steps.pop_front().unwrap();
        Poll::Ready(match step {
            Step::Frame(frame) => {
                if frame.is_trailers() {
                    self.steps.push_front((0, Step::End));
                }
                Some(Ok(frame))
            }
            Step::Fail => {
                self.over = true;
                Some(Err(Broken))
            }
            Step::End => {
                self.over = true;
                None
            }
        })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream is broken")
    }
}

impl std::error::Error for Broken {}
