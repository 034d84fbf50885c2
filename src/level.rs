//! Streams that have given all that their log has, and what their server has written for them meanwhile.
//!
//! No part of the public API: it may change in any version, and is here for `sse-gateway`.
//!
//! There may be any body between a relay, the layer around it and the server, so what they have to say goes past it, as in
//! `whole.rs`: the server polls a body with a [`Turn`]; the relay says that it has nothing more to give; and the layer,
//! whether its stages would let the next events pass unseen.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::Instant;

use crate::history::seam::Place;
pub use crate::history::seam::{Batch, Next, Reader, Reading};
use crate::relay::Progress;

/// A body of a relay that has nothing more to give. Until it is polled again the server may write what its [`Reader`] reads.
///
/// It has to go before the body is polled or dropped.
#[derive(Debug)]
pub struct Level {
    place: Place,
    progress: Option<Arc<Progress>>,
}

/// What came of a poll, and what the server may do while it waits.
type Polled<B> = (
    Poll<Option<Result<Frame<Bytes>, <B as Body>::Error>>>,
    Option<Level>,
);

/// What a server keeps of a body between two polls, in order to write the events of its relay itself.
#[derive(Debug, Default)]
pub struct Turn {
    /// Whether the last poll brought what the relay gave, soon behind what was before it.
    passes: bool,
    /// What the body has yet to be told. Boxed, since most of the time there is nothing.
    given: Option<Box<Given>>,
}

/// Events that a server has written for a body. From one to the next, and from the last that the body gave to the first of them,
/// less than [`PAUSE`] has passed.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    /// How many, at least one.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the last of them was written.
    pub last: Instant,
}

/// A stream sees by itself each pause between two events that is as long as this.
pub const PAUSE: Duration = Duration::from_millis(900);
/// Where events come less often, each stream may as well read them by itself.
const SOON: Duration = Duration::from_millis(500);

thread_local! {
    /// What is to be looked at in each poll of each stream.
    static FLAGS: Cell<u8> = const { Cell::new(0) };
    static LEVEL: Cell<Option<Level>> = const { Cell::new(None) };
    /// How many layers would let events pass.
    static LAYERS: Cell<u32> = const { Cell::new(0) };
    /// What a layer let pass.
    static PASSED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    static GIVEN: Cell<Option<Given>> = const { Cell::new(None) };
}

/// A server polls a body with its turn,
const IS_TURN: u8 = 1;
/// wants to know whether there is nothing more to give,
const IS_ASKED: u8 = 2;
/// and has written something for it.
const HAS_GIVEN: u8 = 4;

impl Turn {
    /// Polls a body. If it has to wait, there may be a [`Level`].
    pub fn poll_frame<B: Body<Data = Bytes>>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Polled<B> {
        let is_asked = std::mem::take(&mut self.passes);
        FLAGS.set(IS_TURN | if is_asked { IS_ASKED } else { 0 });
        let has_given = self.given.is_some();
        if has_given {
            lay_out(self.given.as_deref().copied());
        }
        let polled = body.poll_frame(cx);
        if has_given && take_given().is_none() {
            self.given = None;
        }
        FLAGS.set(0);
        let mut level = None;
        if is_asked {
            // Which of several layers would be told what was given?
            level = LEVEL.take().filter(|_| LAYERS.replace(0) == 1);
        }
        if let Poll::Ready(frame) = &polled {
            level = None;
            let passed = PASSED.replace((0, 0));
            let data = frame
                .as_ref()
                .and_then(|frame| frame.as_ref().ok()?.data_ref());
            self.passes = data.is_some_and(|data| passed == place(data));
        }
        (polled, level)
    }

    /// Tells the body of these events at its next poll, or when it is [dropped](Self::drop_body).
    pub fn give(&mut self, given: Option<Given>) {
        if given.is_some() {
            self.given = given.map(Box::new);
        }
    }

    /// Drops a body that is to be told of what was given.
    pub fn drop_body<B>(&mut self, body: B) {
        lay_out(self.given.take().map(|given| *given));
        drop(body);
        lay_out(None);
    }
}

impl Level {
    pub(crate) fn new(place: Place, progress: Option<Arc<Progress>>) -> Self {
        if let Some(progress) = &progress {
            // Whatever is dropped from the history meanwhile, it has read.
            progress.set(u64::MAX);
        }
        Level { place, progress }
    }

    /// The same number for all that follow the same log.
    pub fn log(&self) -> usize {
        self.place.log()
    }

    /// Nobody wakes the body any more. False when it was woken already, and is about to read by itself.
    pub fn rests(&self) -> bool {
        self.place.rests()
    }

    /// Reads for this one and all that follow the same log and are as far.
    pub fn reader(&self) -> Reader {
        self.place.reader()
    }

    /// Whether these are the events that come next. If so they count as read.
    #[inline]
    pub fn reads(&mut self, batch: &Batch) -> Next {
        self.place.reads(batch)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.set(self.place.read_up_to());
        }
    }
}

/// Whether a server wants to know that there is nothing more to give.
#[inline]
pub(crate) fn is_asked() -> bool {
    has(IS_ASKED)
}

/// Whether it wants to know what a layer lets pass.
#[inline]
pub(crate) fn is_turn() -> bool {
    has(IS_TURN)
}

#[inline]
fn has(flag: u8) -> bool {
    FLAGS.get() & flag != 0
}

/// Says that there is nothing more to give.
pub(crate) fn say(level: Option<Level>) {
    LEVEL.set(level);
    LAYERS.set(0);
}

/// A layer says whether it would let the next events pass.
#[cold]
pub(crate) fn layer(passes: bool) {
    if passes {
        LAYERS.set(LAYERS.get() + 1);
    } else {
        LEVEL.set(None);
    }
}

/// A layer has let this data pass, so long behind what was before it.
#[cold]
pub(crate) fn passed(data: &[u8], behind: Duration) {
    if behind <= SOON {
        PASSED.set(place(data));
    }
}

/// Whether a server has written something for this body.
#[inline]
pub(crate) fn is_given() -> bool {
    has(HAS_GIVEN)
}

/// What it was.
#[cold]
pub(crate) fn take_given() -> Option<Given> {
    FLAGS.set(FLAGS.get() & !HAS_GIVEN);
    GIVEN.take()
}

fn lay_out(given: Option<Given>) {
    let others = FLAGS.get() & !HAS_GIVEN;
    FLAGS.set(others | if given.is_some() { HAS_GIVEN } else { 0 });
    GIVEN.set(given);
}

fn place(data: &[u8]) -> (usize, usize) {
    (data.as_ptr().addr(), data.len())
}
