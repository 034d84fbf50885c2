//! The body of a response: what a relay gives, or untouched.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::Hangup;
use super::catch_up::CatchUp;
use super::relayed::Relayed;
use super::shared::Client;
use crate::history::Follower;
use crate::stage::{CleanEnds, Ends, LAST_WORDS, Reason};

pin_project! {
    /// The body of a response that went through a [`RelayService`](super::RelayService).
    ///
    /// Its data is [`Bytes`], its error that of the body inside. An event stream of a relay ends cleanly,
    /// unless [broken ends](super::RelayLayer::with_broken_ends) were asked for.
    pub struct RelayBody<B, X = CleanEnds> {
        #[pin]
        content: Content<B>,
        ends: PhantomData<X>,
    }
}

pin_project! {
    #[project = ContentProjection]
    enum Content<B> {
        Untouched { #[pin] inner: B },
        Begun { begun: Box<Begun<B>> },
        Relayed { relayed: Box<Relayed> },
        Breaking { time: Pin<Box<Sleep>>, reason: Reason },
        Ended,
    }
}

type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

/// A body of which some was read already.
struct Begun<B> {
    before: Bytes,
    rest: Option<Pin<Box<B>>>,
}

impl<B> RelayBody<B> {
    pub(super) fn untouched(inner: B) -> Self {
        Content::Untouched { inner }.into()
    }

    pub(super) fn empty() -> Self {
        Content::Ended.into()
    }

    /// These bytes, and then what is left of another body.
    pub(super) fn behind(before: Bytes, rest: Option<Pin<Box<B>>>) -> Self {
        let begun = Box::new(Begun { before, rest });
        Content::Begun { begun }.into()
    }

    /// These bytes, and then what the follower reads.
    pub(super) fn relayed(
        told: Vec<u8>,
        catch_up: Option<CatchUp>,
        follower: Option<(Follower, Client)>,
    ) -> Self {
        let relayed = Box::new(Relayed::new(told, catch_up, follower));
        Content::Relayed { relayed }.into()
    }
}

impl<B> From<Content<B>> for RelayBody<B> {
    fn from(content: Content<B>) -> Self {
        RelayBody {
            content,
            ends: PhantomData,
        }
    }
}

impl<B> RelayBody<B> {
    /// Begins with the reconnection time: a line without a blank line, which clients apply when they read it.
    pub(super) fn with_retry(mut self, retry: Option<Duration>) -> Self {
        if let (Content::Relayed { relayed }, Some(retry)) = (&mut self.content, retry) {
            relayed.set_retry(retry);
        }
        self
    }

    /// Tells the client of a gap where it goes on with an event that has no id of its own behind this one of the upstream: it
    /// may have had it, and more.
    pub(super) fn with_nearest_id(mut self, upstream: Option<Vec<u8>>) -> Self {
        if let Content::Relayed { relayed } = &mut self.content {
            relayed.set_nearest_id(upstream);
        }
        self
    }

    /// Breaks off behind what goes in front.
    pub(super) fn with_broken(mut self, reason: Reason) -> Self {
        if let Content::Relayed { relayed } = &mut self.content {
            relayed.break_off(reason);
        }
        self
    }

    /// The same body, which fails where it is broken off if it ends so.
    pub(super) fn with_ends<X>(self) -> RelayBody<B, X> {
        RelayBody {
            content: self.content,
            ends: PhantomData,
        }
    }

    /// Lets the relay ask for the end of the connection, should its client not read.
    pub(super) fn with_hangup(mut self, hangup: Option<Hangup>) -> Self {
        if let (Content::Relayed { relayed }, Some(hangup)) = (&mut self.content, hangup) {
            relayed.set_hangup(hangup);
        }
        self
    }
}

impl<B: Body, X: Ends> Body for RelayBody<B, X> {
    type Data = Bytes;
    type Error = X::Error<B::Error>;

    /// Inlined into the layer's poll, which is done for each event and client.
    #[inline(always)]
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut content = self.project().content;
        if let ContentProjection::Relayed { relayed } = content.as_mut().project() {
            if let Some(bytes) = ready!(relayed.poll_read(cx)) {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        content.poll_rest::<X>(cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Untouched { inner } => inner.is_end_stream(),
            Content::Begun { begun } => {
                begun.before.is_empty()
                    && begun.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
            }
            Content::Relayed { .. } | Content::Breaking { .. } => false,
            Content::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let nothing = SizeHint::with_exact(0);
        match &self.content {
            Content::Untouched { inner } => inner.size_hint(),
            Content::Begun { begun } => {
                let before = SizeHint::with_exact(begun.before.len() as u64);
                before + begun.rest.as_ref().map_or(nothing, |rest| rest.size_hint())
            }
            Content::Relayed { .. } | Content::Breaking { .. } => SizeHint::default(),
            Content::Ended => nothing,
        }
    }
}

impl<B: Body> Content<B> {
    /// What is not read by a client of a relay, or is all read. Apart, so that what is done for each event is small.
    #[inline(never)]
    fn poll_rest<X: Ends>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Polled<X::Error<B::Error>> {
        let mut content = self;
        if let ContentProjection::Relayed { relayed } = content.as_mut().project() {
            let next = match relayed.broken() {
                Some(reason) => Content::Breaking {
                    time: Box::pin(sleep(LAST_WORDS)),
                    reason,
                },
                None => Content::Ended,
            };
            content.set(next);
        }
        if let ContentProjection::Breaking { time, reason } = content.as_mut().project() {
            let error = X::broken(*reason);
            if error.is_some() {
                ready!(time.as_mut().poll(cx));
            }
            content.set(Content::Ended);
            return Poll::Ready(error.map(Err));
        }
        let inner = match content.as_mut().project() {
            ContentProjection::Begun { begun } if !begun.before.is_empty() => {
                let before = std::mem::take(&mut begun.before);
                return Poll::Ready(Some(Ok(Frame::data(before))));
            }
            ContentProjection::Begun { begun } => begun.rest.as_mut().map(Pin::as_mut),
            ContentProjection::Untouched { inner } => Some(inner),
            ContentProjection::Relayed { .. }
            | ContentProjection::Breaking { .. }
            | ContentProjection::Ended => None,
        };
        let Some(inner) = inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(inner.poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            content.set(Content::Ended);
        }
        let whole = |mut data: B::Data| data.copy_to_bytes(data.remaining());
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(whole)).map_err(X::failed)))
    }
}

impl<B, X> Default for RelayBody<B, X> {
    /// A body that has ended, for layers outside of this one that answer by themselves.
    fn default() -> Self {
        RelayBody::empty().with_ends()
    }
}

impl<B, X> fmt::Debug for RelayBody<B, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBody")
            .field(
                "is_relayed",
                &matches!(self.content, Content::Relayed { .. }),
            )
            .finish_non_exhaustive()
    }
}
