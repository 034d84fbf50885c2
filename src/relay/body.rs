//! The body of a response: a place in a history, or untouched.

use std::cmp::Ordering;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::catch_up::{CatchUp, Caught};
use super::config::Config;
use super::hangup::Place;
use super::shared::Client;
use super::{Hangup, SlowClient, gap};
use crate::history::{Follower, Gap, Read, Skip, order};
use crate::stage::{CleanEnds, Ends, LAST_WORDS, Reason};
use crate::wire::{
    Decoded, Decoder, Kinds, LineEnding, SequentialId, first_block, millis, write_line,
};

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

/// A body of which some was read already.
struct Begun<B> {
    before: Bytes,
    rest: Option<Pin<Box<B>>>,
}

/// What a client of a relay reads.
pub(super) struct Relayed {
    follower: Option<(Follower, Client)>,
    /// What goes in front of it. Boxed, since most who wait for the next event have nothing left of it.
    ahead: Option<Box<Ahead>>,
    /// Whether the client was given all that stands at the beginning.
    has_given: bool,
    /// Whether it was given anything.
    has_sent: bool,
    /// The id of the upstream that the client came with, while it may have had some of what has no id behind it.
    about: Option<Box<[u8]>>,
    /// Where its relay sees how far it has read, if its server can be asked to let it go.
    place: Option<Arc<Place>>,
}

/// What goes in front of what a follower reads, in this order.
#[derive(Default)]
struct Ahead {
    /// The reconnection time that the upstream has set before the client came.
    retry: Option<Duration>,
    /// While its place is not known.
    catch_up: Option<CatchUp>,
    told: Vec<u8>,
    /// Why the body fails behind that.
    broken: Option<Reason>,
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
        let has_ahead = catch_up.is_some() || !told.is_empty();
        let ahead = has_ahead.then(|| {
            Box::new(Ahead {
                retry: None,
                catch_up,
                told,
                broken: None,
            })
        });
        let relayed = Box::new(Relayed {
            follower,
            ahead,
            has_given: false,
            has_sent: false,
            about: None,
            place: None,
        });
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
        if let (Content::Relayed { relayed }, Some(_)) = (&mut self.content, retry) {
            relayed.ahead.get_or_insert_default().retry = retry;
        }
        self
    }

    /// Tells the client of a gap where it goes on with an event that has no id of its own behind this one of the upstream: it
    /// may have had it, and more.
    pub(super) fn with_place_about(mut self, upstream: Option<Vec<u8>>) -> Self {
        if let Content::Relayed { relayed } = &mut self.content {
            relayed.about = upstream.map(Vec::into_boxed_slice);
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
            if let Some((follower, client)) = &relayed.follower {
                let known = (!relayed.is_catching_up()).then(|| follower.read_up_to());
                relayed.place = Some(client.places.enter(hangup, known.unwrap_or(u64::MAX)));
            }
        }
        self
    }
}

impl Drop for Relayed {
    /// Who does not read is not told, but counted.
    fn drop(&mut self) {
        let is_catching_up = self.is_catching_up();
        let Some((follower, client)) = self.follower.as_ref().filter(|_| !is_catching_up) else {
            return;
        };
        let Config {
            metrics,
            slow_client,
            ..
        } = &*client.config;
        let is_hung_up = || self.place.as_ref().is_some_and(|place| place.is_hung_up());
        if metrics.is_on()
            && *slow_client == SlowClient::Disconnect
            && (is_hung_up() || follower.read_up_to() < client.log.stats().dropped_up_to)
        {
            metrics.slow(*slow_client);
        }
    }
}

impl Relayed {
    /// Who catches up has no place yet.
    fn is_catching_up(&self) -> bool {
        self.ahead
            .as_ref()
            .is_some_and(|ahead| ahead.catch_up.is_some())
    }

    /// Inlined into the body's poll, which is another crate's: it is done for each event and client.
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.ahead.is_some() {
                if let Some(bytes) = ready!(self.poll_ahead(cx)) {
                    return Poll::Ready(Some(bytes));
                }
            }
            let Some((follower, client)) = &mut self.follower else {
                let retry = self.ahead.as_mut().and_then(|ahead| ahead.retry.take());
                return Poll::Ready(retry.map(|time| retry_line(time, LineEnding::Lf).into()));
            };
            let to = match ready!(follower.poll_read(cx)) {
                Read::Events { bytes, replayed } => {
                    client.config.metrics.replayed(replayed);
                    if let Some(place) = &self.place {
                        place.set(follower.read_up_to());
                    }
                    return Poll::Ready(Some(self.given(bytes)));
                }
                Read::End => {
                    let is_broken = client.is_broken();
                    self.follower = None;
                    if is_broken {
                        self.break_off(Reason::UPSTREAM);
                    }
                    continue;
                }
                Read::Lost => match client.config.slow_client {
                    SlowClient::Disconnect => {
                        client.config.metrics.slow(SlowClient::Disconnect);
                        let is_finite = !client.is_asked_again;
                        let breaks = client.config.breaks;
                        if is_finite {
                            // Its client may take the end for that of the answer.
                            let gap = follower.skip(Skip::ToOldest);
                            let told = gap::event(client, &gap);
                            self.ahead.get_or_insert_default().told = told;
                        }
                        self.follower = None;
                        self.place = None;
                        if is_finite && breaks {
                            self.break_off(Reason::SLOW);
                        }
                        continue;
                    }
                    SlowClient::Skip => Skip::ToOldest,
                    SlowClient::Latest => Skip::ToLatest,
                },
            };
            client.config.metrics.slow(client.config.slow_client);
            let gap = follower.skip(to);
            let told = gap::event(client, &gap);
            if !told.is_empty() {
                return Poll::Ready(Some(self.given(told.into())));
            }
        }
    }

    /// Ends with this reason as its last words, and fails.
    fn break_off(&mut self, reason: Reason) {
        let ahead = self.ahead.get_or_insert_default();
        ahead
            .told
            .extend_from_slice(format!(": closing: {reason}\n").as_bytes());
        ahead.broken = Some(reason);
    }

    fn broken(&self) -> Option<Reason> {
        self.ahead.as_ref()?.broken
    }

    /// None when nothing goes in front any more.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(ahead) = &mut self.ahead else {
            return Poll::Ready(None);
        };
        if let (Some(catch_up), Some((follower, client))) =
            (&mut ahead.catch_up, &mut self.follower)
        {
            match ready!(catch_up.poll(cx, client, follower)) {
                Caught::Events(bytes) => return Poll::Ready(Some(self.given(bytes))),
                Caught::Up => ahead.told.clear(),
                Caught::Not => {}
                Caught::Past(gap) => ahead.told = gap::event(client, &gap),
            }
            if let Some(place) = &self.place {
                place.set(follower.read_up_to());
            }
        }
        let told = std::mem::take(&mut ahead.told);
        if !told.is_empty() {
            self.about = None;
        }
        ahead.catch_up = None;
        if ahead.broken.is_none() && ahead.retry.is_none() {
            self.ahead = None;
        }
        Poll::Ready((!told.is_empty()).then(|| self.given(told.into())))
    }

    #[inline]
    fn given(&mut self, bytes: Bytes) -> Bytes {
        if self.has_given && self.about.is_none() {
            return bytes;
        }
        self.given_first(bytes)
    }

    /// What tells the client that the first of these events may be one that it has had.
    fn may_be_had(&mut self, bytes: &Bytes) -> Option<Vec<u8>> {
        let (about, (_, client)) = (self.about.as_ref()?, self.follower.as_ref()?);
        let mut decoder = Decoder::new();
        decoder.push(bytes.clone());
        let first = loop {
            match decoder.next()? {
                Decoded::Event(event) if event.has_data() => break event,
                _ => {}
            }
        };
        let id = SequentialId::parse(first.id().unwrap_or_default());
        // Or the upstream has set none yet on this stream, or is a gateway that has counted anew behind the same of its own.
        let is_there = |id: &[u8]| id == &**about || order(id, about) == Some(Ordering::Equal);
        let id = id.filter(|id| id.upstream.is_none_or(is_there));
        self.about = None;
        let id = SequentialId {
            sequence: id?.sequence.saturating_sub(1),
            ..id?
        };
        let gap = Gap {
            missed: None,
            id: client.seal.write(&id),
            ending: first.line_ending(),
        };
        Some(gap::event(client, &gap))
    }

    /// Puts in front of the first block with data what stands at the beginning.
    #[cold]
    fn given_first(&mut self, bytes: Bytes) -> Bytes {
        let told = self.may_be_had(&bytes).unwrap_or_default();
        let bytes = match told.is_empty() {
            true => bytes,
            false => [&told[..], &bytes[..]].concat().into(),
        };
        if let Some((_, client)) = &self.follower {
            client.gives_ids();
        }
        let retry = self.ahead.as_ref().and_then(|ahead| ahead.retry);
        let Some(time) = retry else {
            self.has_given = true;
            return self.guarded(bytes);
        };
        // A reconnection time that has come since is to be read behind ours.
        let Some((place, ending)) = first_block(&bytes, Kinds::DATA.or(Kinds::RETRY)) else {
            return self.guarded(bytes);
        };
        if let Some(ahead) = &mut self.ahead {
            ahead.retry = None;
        }
        self.has_given = true;
        let before = self.guarded(bytes.slice(..place));
        [&before[..], &retry_line(time, ending), &bytes[place..]]
            .concat()
            .into()
    }

    /// Keeps a client from taking what its stream begins with for a byte order mark.
    fn guarded(&mut self, bytes: Bytes) -> Bytes {
        if bytes.is_empty()
            || std::mem::replace(&mut self.has_sent, true)
            || bytes.first() != Some(&0xef)
        {
            return bytes;
        }
        [b":\n", &bytes[..]].concat().into()
    }
}

fn retry_line(time: Duration, ending: LineEnding) -> Vec<u8> {
    let mut line = Vec::new();
    write_line(b"retry", millis(time).as_bytes(), ending, &mut line);
    line
}

impl<B: Body, X: Ends> Body for RelayBody<B, X> {
    type Data = Bytes;
    type Error = X::Error<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut content = self.project().content;
        if let ContentProjection::Relayed { relayed } = content.as_mut().project() {
            if let Some(bytes) = ready!(relayed.poll_read(cx)) {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
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
