//! The body of a response: a place in a history, or untouched.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use super::config::Config;
use super::hangup::Place;
use super::shared::Client;
use super::{Hangup, SlowClient, UpstreamState, gap};
use crate::history::{Follow, Log, MemoryLog, Read, Skip};
use crate::wire::millis;

pin_project! {
    /// The body of a response that went through a [`RelayService`](super::RelayService).
    ///
    /// Its data is [`Bytes`], its error that of the body inside. An event stream of a relay ends cleanly only.
    pub struct RelayBody<B, L: Log = MemoryLog> {
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
    seek: Option<Seek>,
    /// The reconnection time that the upstream has set before the client came.
    retry: Option<Duration>,
    /// Where its relay sees how far it has read, if its server can be asked to let it go.
    place: Option<Arc<Place>>,
}

/// A last event ID that is not known, but may be soon: the client was served by somebody who was ahead.
pub(super) struct Seek {
    id: Vec<u8>,
    sleep: Pin<Box<Sleep>>,
    /// Whether the upstream was there when it was last looked.
    was_connected: bool,
}

/// For so long to twice as long an unknown id is waited for before the client is told of a gap. Its events wait in the history.
const SEEK_FOR: Duration = Duration::from_secs(1);

impl Seek {
    pub(super) fn new(id: Vec<u8>) -> Self {
        Seek {
            id,
            sleep: Box::pin(sleep(SEEK_FOR)),
            was_connected: false,
        }
    }

    /// Waits until the upstream has been there for long enough: from one that is not nothing can come.
    fn poll_over(&mut self, cx: &mut Context<'_>, state: UpstreamState) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let connected = matches!(state, UpstreamState::Connected | UpstreamState::Ended);
            if std::mem::replace(&mut self.was_connected, connected) && connected {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(Instant::now() + SEEK_FOR);
        }
    }
}

impl<B, L: Log> RelayBody<B, L> {
    pub(super) fn untouched(inner: B) -> Self {
        RelayBody {
            untouched: Some(inner),
            relayed: None,
        }
    }

    pub(super) fn empty() -> Self {
        RelayBody {
            untouched: None,
            relayed: None,
        }
    }

    /// These bytes, and then what the follower reads.
    pub(super) fn relayed(
        first: Vec<u8>,
        seek: Option<Seek>,
        follower: Option<(L::Follower, Client<L>)>,
    ) -> Self {
        RelayBody {
            untouched: None,
            relayed: Some(Box::new(Relayed {
                follower,
                first,
                sent: false,
                seek,
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
                let known = relayed.seek.is_none().then(|| follower.read_up_to());
                relayed.place = Some(client.places.enter(hangup, known.unwrap_or(u64::MAX)));
            }
        }
        self
    }
}

impl<L: Log> Drop for Relayed<L> {
    /// Who does not read is not told, but counted.
    fn drop(&mut self) {
        let Some((follower, client)) = self.follower.as_ref().filter(|_| self.seek.is_none())
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
        if let Some(time) = self.retry.take() {
            self.sent = true;
            let line = format!("retry: {}\n", millis(time));
            return Poll::Ready(Some(line.into()));
        }
        if let (Some(seek), Some((follower, client))) = (&mut self.seek, &mut self.follower) {
            if follower.poll_seek(cx, &seek.id).is_ready() {
                self.first.clear();
            } else {
                ready!(seek.poll_over(cx, client.state()));
            }
            self.seek = None;
            if let Some(place) = &self.place {
                place.set(follower.read_up_to());
            }
        }
        if !self.first.is_empty() {
            self.sent = true;
            return Poll::Ready(Some(std::mem::take(&mut self.first).into()));
        }
        loop {
            let Some((follower, client)) = &mut self.follower else {
                return Poll::Ready(None);
            };
            let to = match ready!(follower.poll_read(cx)) {
                Read::Events { bytes, replayed } => {
                    client.config.metrics.replayed(replayed);
                    if let Some(place) = &self.place {
                        place.set(follower.read_up_to());
                    }
                    return Poll::Ready(Some(self.guarded(bytes)));
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
                self.sent = true;
                return Poll::Ready(Some(told.into()));
            }
        }
    }

    /// Keeps a client from taking what its stream begins with for a byte order mark.
    fn guarded(&mut self, bytes: Bytes) -> Bytes {
        if std::mem::replace(&mut self.sent, true) || bytes.first() != Some(&0xef) {
            return bytes;
        }
        [b":\n", &bytes[..]].concat().into()
    }
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
        let Some(inner) = this.untouched.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(inner.poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            this.untouched.set(None);
        }
        let whole = |mut data: B::Data| data.copy_to_bytes(data.remaining());
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(whole))))
    }

    fn is_end_stream(&self) -> bool {
        match (&self.untouched, &self.relayed) {
            (Some(inner), _) => inner.is_end_stream(),
            (None, relayed) => relayed.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.untouched, &self.relayed) {
            (Some(inner), _) => inner.size_hint(),
            (None, None) => SizeHint::with_exact(0),
            (None, Some(_)) => SizeHint::default(),
        }
    }
}

impl<B, L: Log> fmt::Debug for RelayBody<B, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBody")
            .field("is_relayed", &self.relayed.is_some())
            .finish_non_exhaustive()
    }
}
