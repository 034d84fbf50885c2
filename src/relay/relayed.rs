//! What a client of a relay reads: what goes in front, and then the history from its position on.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::catch_up::{CatchUp, Caught};
use super::config::Config;
use super::hangup::Progress;
use super::last_event_id::is_same;
use super::shared::Client;
use super::{Hangup, SlowClient, gap};
use crate::history::{Follower, Gap, Read, Skip};
use crate::level::{self, Level};
use crate::stage::Reason;
use crate::whole;
use crate::wire::{
    Decoded, Decoder, Kinds, LineEnding, SequentialId, first_block, millis, write_line,
};

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
    nearest_id: Option<Box<[u8]>>,
    /// Where its relay sees how far it has read, if its server can be asked to let it go.
    progress: Option<Arc<Progress>>,
}

/// What goes in front of what a follower reads, in this order.
#[derive(Default)]
struct Ahead {
    /// The reconnection time that the upstream has set before the client came.
    retry: Option<Duration>,
    /// While its position is not known.
    catch_up: Option<CatchUp>,
    told: Vec<u8>,
    /// Why the body fails behind that.
    broken: Option<Reason>,
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
        let is_hung_up = || {
            self.progress
                .as_ref()
                .is_some_and(|progress| progress.is_hung_up())
        };
        if metrics.is_on()
            && *slow_client == SlowClient::Disconnect
            && (is_hung_up() || follower.read_up_to() < client.log.stats().dropped_up_to)
        {
            metrics.slow(*slow_client);
        }
    }
}

impl Relayed {
    /// These bytes, and then what the follower reads.
    pub(super) fn new(
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
        Relayed {
            follower,
            ahead,
            has_given: false,
            has_sent: false,
            nearest_id: None,
            progress: None,
        }
    }

    /// Begins with this reconnection time.
    pub(super) fn set_retry(&mut self, retry: Duration) {
        self.ahead.get_or_insert_default().retry = Some(retry);
    }

    /// The client came with this id of the upstream, and may have had some of what has no id behind it.
    pub(super) fn set_nearest_id(&mut self, upstream: Option<Vec<u8>>) {
        self.nearest_id = upstream.map(Vec::into_boxed_slice);
    }

    /// Lets the relay ask for the end of the connection.
    pub(super) fn set_hangup(&mut self, hangup: Hangup) {
        if let Some((follower, client)) = &self.follower {
            let known = (!self.is_catching_up()).then(|| follower.read_up_to());
            self.progress = Some(client.watchdog.enter(hangup, known.unwrap_or(u64::MAX)));
        }
    }

    /// Who catches up has no position yet.
    fn is_catching_up(&self) -> bool {
        self.ahead
            .as_ref()
            .is_some_and(|ahead| ahead.catch_up.is_some())
    }

    /// Inlined into the body's poll, which is another crate's, as far as it is to see that there is nothing yet: that is asked
    /// behind each event.
    #[inline]
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match (&self.follower, &self.ahead) {
            (Some((follower, _)), None) if follower.waits(cx.waker()) => self.pending(),
            _ => self.poll_next(cx),
        }
    }

    /// There is nothing yet. The server may write what comes, if nothing is to be put in front of it.
    #[inline]
    fn pending<T>(&mut self) -> Poll<T> {
        if level::is_asked() {
            self.be_level();
        }
        Poll::Pending
    }

    #[cold]
    fn be_level(&mut self) {
        if !self.has_given || self.nearest_id.is_some() || self.ahead.is_some() {
            return;
        }
        let Some((follower, _)) = &mut self.follower else {
            return;
        };
        let place = follower.level();
        level::say(place.map(|place| Level::new(place, self.progress.clone())));
    }

    #[inline(never)]
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
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
            let Poll::Ready(read) = follower.poll_read(cx) else {
                return self.pending();
            };
            let to = match read {
                Read::Events {
                    bytes,
                    events,
                    with_data,
                    replayed,
                } => {
                    client.config.metrics.replayed(replayed);
                    if let Some(progress) = &self.progress {
                        progress.set(follower.read_up_to());
                    }
                    // Where something goes in front of them they are other bytes.
                    if events == with_data {
                        whole::say(&bytes, events);
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
                        self.progress = None;
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
    pub(super) fn break_off(&mut self, reason: Reason) {
        let ahead = self.ahead.get_or_insert_default();
        ahead
            .told
            .extend_from_slice(format!(": closing: {reason}\n").as_bytes());
        ahead.broken = Some(reason);
    }

    pub(super) fn broken(&self) -> Option<Reason> {
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
            if let Some(progress) = &self.progress {
                progress.set(follower.read_up_to());
            }
        }
        let told = std::mem::take(&mut ahead.told);
        if !told.is_empty() {
            self.nearest_id = None;
        }
        ahead.catch_up = None;
        if ahead.broken.is_none() && ahead.retry.is_none() {
            self.ahead = None;
        }
        Poll::Ready((!told.is_empty()).then(|| self.given(told.into())))
    }

    #[inline(always)]
    fn given(&mut self, bytes: Bytes) -> Bytes {
        if self.has_given && self.nearest_id.is_none() {
            return bytes;
        }
        self.given_first(bytes)
    }

    /// What tells the client that the first of these events may be one that it has had.
    fn may_be_had(&mut self, bytes: &Bytes) -> Option<Vec<u8>> {
        let (nearest, (_, client)) = (self.nearest_id.as_ref()?, self.follower.as_ref()?);
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
        let id = id.filter(|id| id.upstream.is_none_or(|id| is_same(id, nearest)));
        self.nearest_id = None;
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
        let Some((begin, ending)) = first_block(&bytes, Kinds::DATA.or(Kinds::RETRY)) else {
            return self.guarded(bytes);
        };
        if let Some(ahead) = &mut self.ahead {
            ahead.retry = None;
        }
        self.has_given = true;
        let before = self.guarded(bytes.slice(..begin));
        [&before[..], &retry_line(time, ending), &bytes[begin..]]
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
