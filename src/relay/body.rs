//! The body of a response: a place in a history, or untouched.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::shared::Client;
use super::{SlowClient, gap};
use crate::history::{Follow, Log, MemoryLog, Read, Skip};

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
    pub(super) fn relayed(first: Vec<u8>, follower: Option<(L::Follower, Client<L>)>) -> Self {
        RelayBody {
            untouched: None,
            relayed: Some(Box::new(Relayed {
                follower,
                first,
                sent: false,
            })),
        }
    }
}

impl<L: Log> Relayed<L> {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
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
                    return Poll::Ready(Some(self.guarded(bytes)));
                }
                Read::End => {
                    self.follower = None;
                    continue;
                }
                Read::Lost => match client.config.slow_client {
                    SlowClient::Disconnect => {
                        client.config.metrics.slow(SlowClient::Disconnect);
                        self.follower = None;
                        continue;
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
