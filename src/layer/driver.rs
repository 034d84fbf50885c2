//! A pipeline with a timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use tokio::time::{Instant, Sleep};

#[cfg(feature = "relay")]
use crate::level;
use crate::stage::{LAST_WORDS, Pipeline, Stage};

/// All that a body needs which is an event stream. Boxed, so that other bodies stay small.
#[derive(Debug)]
pub(super) struct Driver<St: Stage, E> {
    pub(super) pipeline: Pipeline<St>,
    /// Made at the first wait, since it needs a runtime. Moved when it fires, or for an earlier deadline.
    sleep: Option<Pin<Box<Sleep>>>,
    waker: Option<Waker>,
    /// The timer was polled with this waker, and has not been moved since.
    is_armed: bool,
    /// Chunks that came since the upstream last had none ready.
    ready: u32,
    /// What the upstream ended with, to be sent behind the last event. Boxed, since hardly any has some.
    pub(super) trailers: Option<Box<HeaderMap>>,
    /// Why the upstream failed, to be told behind what is left to be sent. Boxed for the same reason.
    pub(super) failed: Option<Box<E>>,
    /// Since it waits for the server to write the last words.
    pauses: bool,
}

/// An upstream that always has a chunk ready lets other tasks run after so many.
const READY_AT_MOST: u32 = 64;

impl<St: Stage, E> Driver<St, E> {
    pub(super) fn new(pipeline: Pipeline<St>) -> Self {
        Driver {
            pipeline,
            sleep: None,
            waker: None,
            is_armed: false,
            ready: 0,
            trailers: None,
            failed: None,
            pauses: false,
        }
    }

    /// Lets the server write what it was given before the body fails, since it drops what it has not written by then.
    pub(super) fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.pauses, true) {
            self.sleep = Some(Box::pin(tokio::time::sleep(LAST_WORDS)));
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }

    /// A chunk came.
    #[inline]
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.ready += 1;
        self.pipeline.push(chunk, Instant::now());
    }

    /// Whether this chunk, which came just now, goes out as it is. If not, it is to be pushed.
    #[cfg(feature = "relay")]
    #[inline]
    pub(super) fn passes(&mut self, chunk: &[u8]) -> bool {
        let Some(events) = crate::whole::said(chunk) else {
            return false;
        };
        let now = Instant::now();
        let before = self.pipeline.times().received;
        let passes = self.pipeline.pass_whole(chunk, events, now);
        self.ready += u32::from(passes);
        if passes && level::is_turn() {
            level::passed(chunk, now - before);
        }
        passes
    }

    /// Tells the stages what a server has written meanwhile.
    #[cfg(feature = "relay")]
    #[inline]
    pub(super) fn take_given(&mut self) {
        if level::is_given() {
            self.pass_given();
        }
    }

    #[cfg(feature = "relay")]
    #[cold]
    fn pass_given(&mut self) {
        if let Some(given) = level::take_given() {
            self.pipeline.pass_given(&given);
        }
    }

    /// Says whether a server may write what comes next.
    #[cfg(feature = "relay")]
    #[inline]
    pub(super) fn say_whether_it_passes(&self) {
        if level::is_asked() {
            level::layer(self.pipeline.would_pass_whole());
        }
    }

    /// The upstream has failed.
    pub(super) fn fail(&mut self, error: E) {
        self.pipeline.fail(Instant::now());
        self.failed = Some(Box::new(error));
    }

    /// Looks after the deadlines of an upstream that never lets anybody wait for the timer. Whether
    /// something came of it.
    ///
    /// The time is that of the last chunk, and what it brought was handed on. A client that did not read
    /// for a while is thus not taken for an upstream that was silent.
    #[inline]
    pub(super) fn tick_if_due(&mut self) -> bool {
        let now = self.pipeline.times().now;
        if self.ready < 2 || self.pipeline.deadline().is_none_or(|due| due > now) {
            return false;
        }
        self.pipeline.tick(now);
        self.pipeline.is_ended() || self.pipeline.has_output()
    }

    /// Whether it is time to let others run, with the waker called.
    #[inline]
    pub(super) fn has_had_its_share(&mut self, cx: &mut Context<'_>) -> bool {
        if self.ready < READY_AT_MOST {
            return false;
        }
        self.ready = 0;
        cx.waker().wake_by_ref();
        true
    }

    /// The upstream has nothing ready: waits for the next deadline. Ready when one has come.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.ready = 0;
        if !self
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(cx.waker()))
        {
            self.pipeline.on_wait(cx.waker());
            self.waker = Some(cx.waker().clone());
            self.is_armed = false;
        }
        let Some(deadline) = self.pipeline.deadline() else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        } else if self.is_armed && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        while sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.pipeline.deadline().is_some_and(|due| due <= now) {
                self.pipeline.tick(now);
            }
            if self.pipeline.is_ended() || self.pipeline.has_output() {
                return Poll::Ready(());
            }
            match self.pipeline.deadline() {
                Some(next) => sleep.as_mut().reset(next),
                None => {
                    self.sleep = None;
                    break;
                }
            }
        }
        self.is_armed = self.sleep.is_some();
        Poll::Pending
    }
}

impl<St: Stage, E> Drop for Driver<St, E> {
    fn drop(&mut self) {
        if !self.pipeline.is_ended() {
            #[cfg(feature = "relay")]
            self.take_given();
            self.pipeline.abandon(Instant::now());
        }
    }
}
