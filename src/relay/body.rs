//! The body of a response: a place in a history, or untouched.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::catch_up::{CatchUp, Caught};
use super::config::Config;
use super::hangup::Place;
use super::shared::Client;
use super::{Hangup, SlowClient, gap};
use crate::history::{Follow, Log, MemoryLog, Read, Skip};
use crate::wire::{Kinds, LineEnding, first_block, millis, write_line};

pin_project! {
    /// The body of a response that went through a [`RelayService`](super::RelayService).
    ///
    /// Its data is [`Bytes`], its error that of the body inside. An event stream of a relay ends cleanly only.
    pub struct RelayBody<B, L: Log = MemoryLog> {
        // What was read of a body already, and what is left of it.
        before: Bytes,
        rest: Option<Pin<Box<B>>>,
        // None when it has ended, or is of a relay.
        #[pin]
        untouched: Option<B>,
        // None when it has ended, or is of none.
        relayed: Option<Box<Relayed<L>>>,
    }
}

/// What a client of a relay reads.
pub(super) struct Relayed<L: Log> {
    follower: Option<(L::Follower, Client<L>)>,
    /// What goes in front of it.
    first: Vec<u8>,
    sent: bool,
    /// While its place is not known.
    catch_up: Option<Box<CatchUp>>,
    /// The reconnection time that the upstream has set before the client came.
    retry: Option<Duration>,
    /// Where its relay sees how far it has read, if its server can be asked to let it go.
    place: Option<Arc<Place>>,
}

impl<B, L: Log> RelayBody<B, L> {
    pub(super) fn untouched(inner: B) -> Self {
        RelayBody {
            untouched: Some(inner),
            ..Self::empty()
        }
    }

    pub(super) fn empty() -> Self {
        Self::behind(Bytes::new(), None)
    }

    /// These bytes, and then what is left of another body.
    pub(super) fn behind(before: Bytes, rest: Option<Pin<Box<B>>>) -> Self {
        RelayBody {
            before,
            rest,
            untouched: None,
            relayed: None,
        }
    }

    /// These bytes, and then what the follower reads.
    pub(super) fn relayed(
        first: Vec<u8>,
        catch_up: Option<CatchUp>,
        follower: Option<(L::Follower, Client<L>)>,
    ) -> Self {
        RelayBody {
            before: Bytes::new(),
            rest: None,
            untouched: None,
            relayed: Some(Box::new(Relayed {
                follower,
                first,
                sent: false,
                catch_up: catch_up.map(Box::new),
                retry: None,
                place: None,
            })),
        }
    }
}

impl<B, L: Log> RelayBody<B, L> {
    /// Begins with the reconnection time: a line without a blank line, which clients apply when they read it.
    pub(super) fn with_retry(mut self, retry: Option<Duration>) -> Self {
        if let Some(relayed) = &mut self.relayed {
            relayed.retry = retry;
        }
        self
    }

    /// Lets the relay ask for the end of the connection, should its client not read.
    pub(super) fn with_hangup(mut self, hangup: Option<Hangup>) -> Self {
        if let (Some(relayed), Some(hangup)) = (&mut self.relayed, hangup) {
            if let Some((follower, client)) = &relayed.follower {
                // Who waits for his place has none yet.
                let known = relayed.catch_up.is_none().then(|| follower.read_up_to());
                relayed.place = Some(client.places.enter(hangup, known.unwrap_or(u64::MAX)));
            }
        }
        self
    }
}

impl<L: Log> Drop for Relayed<L> {
    /// Who does not read is not told, but counted.
    fn drop(&mut self) {
        let Some((follower, client)) = self.follower.as_ref().filter(|_| self.catch_up.is_none())
        else {
            return;
        };
        let Config {
            metrics,
            slow_client,
            ..
        } = &*client.config;
        if metrics.is_on()
            && *slow_client == SlowClient::Disconnect
            && follower.read_up_to() < client.log.stats().dropped_up_to
        {
            metrics.slow(*slow_client);
        }
    }
}

impl<L: Log> Relayed<L> {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let (Some(catch_up), Some((follower, client))) = (&mut self.catch_up, &mut self.follower)
        {
            match ready!(catch_up.poll(cx, client, follower)) {
                Caught::Events(bytes) => {
                    client.gives_ids();
                    return Poll::Ready(Some(self.begun(bytes)));
                }
                Caught::Up => self.first.clear(),
                Caught::Not => {}
                Caught::Past(gap) => self.first = gap::event(&client.config, &gap),
            }
            self.catch_up = None;
            if let Some(place) = &self.place {
                place.set(follower.read_up_to());
            }
        }
        if !self.first.is_empty() {
            if let Some((_, client)) = &self.follower {
                client.gives_ids();
            }
            let first = std::mem::take(&mut self.first);
            return Poll::Ready(Some(self.begun(first.into())));
        }
        loop {
            let Some((follower, client)) = &mut self.follower else {
                let retry = self.retry.take();
                return Poll::Ready(retry.map(|time| retry_line(time, LineEnding::Lf).into()));
            };
            let to = match ready!(follower.poll_read(cx)) {
                Read::Events { bytes, replayed } => {
                    client.gives_ids();
                    client.config.metrics.replayed(replayed);
                    if let Some(place) = &self.place {
                        place.set(follower.read_up_to());
                    }
                    return Poll::Ready(Some(self.begun(bytes)));
                }
                Read::End => {
                    self.follower = None;
                    continue;
                }
                Read::Lost => match client.config.slow_client {
                    SlowClient::Disconnect => {
                        client.config.metrics.slow(SlowClient::Disconnect);
                        if !client.is_asked_again {
                            // Its client may take the end for that of the answer.
                            let gap = follower.skip(Skip::ToOldest);
                            self.first = gap::event(&client.config, &gap);
                        }
                        self.follower = None;
                        self.place = None;
                        return self.poll_read(cx);
                    }
                    SlowClient::Skip => Skip::ToOldest,
                    SlowClient::Latest => Skip::ToLatest,
                },
            };
            client.config.metrics.slow(client.config.slow_client);
            let gap = follower.skip(to);
            let told = gap::event(&client.config, &gap);
            if !told.is_empty() {
                return Poll::Ready(Some(self.begun(told.into())));
            }
        }
    }

    /// Puts in front of the first block with data what stands at the beginning.
    fn begun(&mut self, bytes: Bytes) -> Bytes {
        let Some(time) = self.retry else {
            return self.guarded(bytes);
        };
        // A reconnection time that has come since is to be read behind ours.
        let Some((place, ending)) = first_block(&bytes, Kinds::DATA.or(Kinds::RETRY)) else {
            return self.guarded(bytes);
        };
        self.retry = None;
        let before = self.guarded(bytes.slice(..place));
        self.sent = true;
        [&before[..], &retry_line(time, ending), &bytes[place..]]
            .concat()
            .into()
    }

    /// Keeps a client from taking what its stream begins with for a byte order mark.
    fn guarded(&mut self, bytes: Bytes) -> Bytes {
        if bytes.is_empty()
            || std::mem::replace(&mut self.sent, true)
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

impl<B: Body, L: Log> Body for RelayBody<B, L> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        if let Some(relayed) = this.relayed {
            let bytes = ready!(relayed.poll_read(cx));
            if bytes.is_none() {
                *this.relayed = None;
            }
            return Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))));
        }
        if !this.before.is_empty() {
            let before = std::mem::take(this.before);
            return Poll::Ready(Some(Ok(Frame::data(before))));
        }
        let inner = match (this.untouched.as_mut().as_pin_mut(), this.rest.as_mut()) {
            (Some(inner), _) => inner,
            (None, Some(rest)) => rest.as_mut(),
            (None, None) => return Poll::Ready(None),
        };
        let frame = ready!(inner.poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            this.untouched.set(None);
            *this.rest = None;
        }
        let whole = |mut data: B::Data| data.copy_to_bytes(data.remaining());
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(whole))))
    }

    fn is_end_stream(&self) -> bool {
        self.before.is_empty()
            && self.relayed.is_none()
            && self.inner().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        if self.relayed.is_some() {
            return SizeHint::default();
        }
        let before = SizeHint::with_exact(self.before.len() as u64);
        let rest = self
            .inner()
            .map_or(SizeHint::with_exact(0), Body::size_hint);
        before + rest
    }
}

impl<B, L: Log> Default for RelayBody<B, L> {
    /// A body that has ended, for layers outside of this one that answer by themselves.
    fn default() -> Self {
        Self::empty()
    }
}

impl<B, L: Log> RelayBody<B, L> {
    fn inner(&self) -> Option<&B> {
        self.untouched.as_ref().or(self.rest.as_deref())
    }
}

impl<B, L: Log> fmt::Debug for RelayBody<B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBody")
            .field("is_relayed", &self.relayed.is_some())
            .finish_non_exhaustive()
    }
}
