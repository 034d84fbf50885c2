//! `Expect: 100-continue`, end to end (RFC 9110 section 10.1.1).
//!
//! The expectation is forwarded, and the client's body is not read (so hyper sends it no `100 Continue`) until the
//! upstream has sent its own, or for a second at most: many upstreams ignore the field. When the upstream answers
//! without it, the body is never read and the client has its answer before it uploads anything.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::EXPECT;
use http::{HeaderMap, Request, StatusCode, Version};
use tokio::time::Sleep;

/// Takes the expectation of a request that has one. An HTTP/1.0 client cannot mean it, so it is dropped there.
pub(crate) fn gate(version: Version, headers: &mut HeaderMap) -> Option<Arc<Gate>> {
    let expected = headers
        .get_all(EXPECT)
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !expected {
        return None;
    }
    if version < Version::HTTP_11 {
        headers.remove(EXPECT);
        return None;
    }
    Some(Arc::default())
}

/// Stands between a client's body and the upstream.
#[derive(Default)]
pub(crate) struct Gate(Mutex<State>);

#[derive(Default)]
struct State {
    phase: Phase,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Waiting,
    /// The body flows.
    Open,
    /// The upstream answered without asking for the body.
    Answered,
    /// That answer has been delivered, nobody wants the body any more.
    Closed,
}

impl Gate {
    /// Opens the gate when the upstream's `100 Continue` to this request arrives.
    pub(crate) fn listen<B>(self: &Arc<Self>, request: &mut Request<B>) {
        let gate = Arc::clone(self);
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                gate.change(Phase::Waiting, Phase::Open);
            }
        });
    }

    /// A body that waits for this gate.
    pub(crate) fn waiting(self: &Arc<Self>) -> Waiting {
        Waiting {
            gate: Arc::clone(self),
            patience: None,
        }
    }

    /// The upstream has answered: a gate that is shut remains so.
    pub(crate) fn answered(&self) {
        self.change(Phase::Waiting, Phase::Answered);
    }

    /// The answer is delivered: the connection that still waits for the body may end.
    pub(crate) fn close(&self) {
        self.change(Phase::Answered, Phase::Closed);
    }

    fn change(&self, from: Phase, to: Phase) {
        let mut state = self.lock();
        if state.phase == from {
            state.phase = to;
            let waker = state.waker.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves when the body may be read, or to an error when it never will be.
pub(crate) struct Waiting {
    gate: Arc<Gate>,
    patience: Option<Pin<Box<Sleep>>>,
}

/// The body was not wanted.
#[derive(Debug)]
pub(crate) struct NotWanted;

impl Future for Waiting {
    type Output = Result<(), NotWanted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        {
            let mut state = this.gate.lock();
            match state.phase {
                Phase::Open => return Poll::Ready(Ok(())),
                Phase::Closed => return Poll::Ready(Err(NotWanted)),
                Phase::Waiting | Phase::Answered => state.waker = Some(cx.waker().clone()),
            }
            if state.phase == Phase::Answered {
                return Poll::Pending;
            }
        }
        let patience = this
            .patience
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        if patience.as_mut().poll(cx).is_ready() {
            this.gate.change(Phase::Waiting, Phase::Open);
            return Pin::new(this).poll_settled();
        }
        Poll::Pending
    }
}

impl Waiting {
    /// The answer may have come while the second passed.
    fn poll_settled(self: Pin<&mut Self>) -> Poll<Result<(), NotWanted>> {
        match self.gate.lock().phase {
            Phase::Open => Poll::Ready(Ok(())),
            Phase::Closed => Poll::Ready(Err(NotWanted)),
            Phase::Waiting | Phase::Answered => Poll::Pending,
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(1);

impl fmt::Display for NotWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the upstream answered without asking for the body")
    }
}

impl std::error::Error for NotWanted {}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn is_pending(waiting: &mut Waiting) -> bool {
        poll_fn(|cx| Poll::Ready(Pin::new(&mut *waiting).poll(cx).is_pending())).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_gate_opens_by_itself_after_a_second() {
        let gate = Arc::new(Gate::default());
        let began = tokio::time::Instant::now();
        assert!(gate.waiting().await.is_ok());
        assert_eq!(began.elapsed().as_millis() / 10, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_keeps_it_shut_and_its_end_gives_up() {
        let gate = Arc::new(Gate::default());
        let mut waiting = gate.waiting();
        assert!(is_pending(&mut waiting).await);
        gate.answered();
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(is_pending(&mut waiting).await);
        gate.close();
        assert!(waiting.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_is_open_stays_open() {
        let gate = Arc::new(Gate::default());
        gate.change(Phase::Waiting, Phase::Open);
        gate.answered();
        gate.close();
        assert!(gate.waiting().await.is_ok());
    }

    #[test]
    fn only_http_1_1_and_later_can_expect() {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECT, "100-Continue".parse().expect("a value"));
        assert!(gate(Version::HTTP_11, &mut headers).is_some());
        assert!(headers.contains_key(EXPECT));
        assert!(gate(Version::HTTP_10, &mut headers).is_none());
        assert!(!headers.contains_key(EXPECT));
    }
}
