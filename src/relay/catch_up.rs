//! Brings a client to where a relay is, by an upstream request of its own.
//!
//! A client may come with an id that the relay's history does not know: of another instance, of an earlier process, or made
//! up; or with one behind which some is not kept any more. What the upstream makes of that id is this client's own affair,
//! and must not decide what others are given. So the relay's request is left alone, and the upstream is asked once more,
//! for this client, from its id on. It is given what comes until an event comes that the history has: there it goes on as
//! all others do, once and in order.

use std::cmp::Ordering;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};
use tower_service::Service;

use super::UpstreamState;
use super::connect::Template;
use super::random;
use super::shared::Relay;
use super::task::either;
use crate::history::{Draft, Follow, Gap, Log, MAX_UPSTREAM_ID, Skip, Start, order};
use crate::stage;
use crate::wire::{Decoded, Decoder, Epoch, Event, LargeEvent, SequentialId};

/// A client that is not yet where the relay is.
pub(super) struct CatchUp {
    id: Vec<u8>,
    /// What of it is the upstream's.
    came_with: Bytes,
    from: mpsc::Receiver<Step>,
    /// The id of the upstream of what it was given last.
    given: Option<Bytes>,
    /// Whether nothing without an id came behind it.
    is_exact: bool,
    /// Whether it was given events, with an id of the upstream or not.
    has_given: bool,
    /// What it misses if nothing comes of this: its id is known, and what was behind it is not kept any more.
    missed: Option<Gap>,
    /// Nothing more comes. So long the relay may take to come to what was given last.
    over: Option<Pin<Box<Sleep>>>,
    turns_left: u32,
}

/// What a client came with.
pub(super) struct Came {
    /// Its own id, which the relay may still come to know.
    pub(super) id: Vec<u8>,
    /// What of it is the upstream's.
    pub(super) upstream: Vec<u8>,
    /// Where it would go on in the relay's log.
    pub(super) place: u64,
    /// What it misses there, if its id is known.
    pub(super) missed: Option<Gap>,
}

/// What became of a client that catches up.
pub(super) enum Caught {
    /// It is given these events.
    Events(Bytes),
    /// It goes on with the relay, and has missed nothing.
    Up,
    /// It may have missed something, and goes on with the relay where it came in.
    Not,
    /// It may have missed something, and goes on with what is newer than what it was given, or with some of what it was
    /// given again, where that has no ids.
    Past(Gap),
}

enum Step {
    /// Events, the last id of the upstream among them, and whether it is that of the last one.
    Events(Bytes, Option<Bytes>, bool),
    /// The relay has the last of them too.
    Met,
    /// Nothing came, neither here nor to the relay.
    Nothing,
}

/// How much one client may be given in this way.
const MAX_EVENTS: u64 = 100_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long it may take.
const MAX_TIME: Duration = Duration::from_secs(120);
/// When no event came for so long, neither here nor to the relay, both are at the same place.
const QUIET: Duration = Duration::from_secs(5);
/// So many steps of a connected relay, and in all, the first event is waited for in its log.
const SOON: u32 = 20;
const PATIENCE: u32 = 200;
const STEP: Duration = Duration::from_millis(25);
/// So long a client that was given some waits for its relay to come to the last of it, and so often anew while the relay
/// is seen to be behind.
const BEHIND: Duration = Duration::from_secs(2);
const BEHIND_TURNS: u32 = 30;
/// So long a client waits for its turn.
const TURN: Duration = Duration::from_secs(10);

impl CatchUp {
    /// Asks the upstream for what is behind an id of it.
    pub(super) fn begin<S, B, R, L>(
        relay: Arc<Relay<L>>,
        came: Came,
        service: S,
        template: Template,
        turns: Arc<Semaphore>,
    ) -> Self
    where
        S: Service<Request<B>, Response = Response<R>> + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        B: From<Bytes> + Send + 'static,
        R: Body + Send + 'static,
        L: Log,
    {
        let Came {
            place,
            id,
            upstream,
            missed,
        } = came;
        let is_known = missed.is_some();
        let came_with = Bytes::from(upstream);
        let asked_with = came_with.clone();
        let (to, from) = mpsc::channel(1);
        tokio::spawn(async move {
            let closed = to.clone();
            let asking = async move {
                let turn = timeout(TURN, turns.acquire_owned()).await;
                let Ok(Ok(turn)) = turn else { return };
                let request = template.request(Some(&asked_with));
                let ask = Asking {
                    relay,
                    place,
                    is_known,
                    came_with: asked_with,
                    to,
                    _turn: turn,
                    events: 0,
                    bytes: 0,
                };
                let _ = timeout(MAX_TIME, ask.run(service, request)).await;
            };
            // Whoever has left has no use for it.
            either(pin!(asking), pin!(closed.closed())).await;
        });
        CatchUp {
            id,
            came_with,
            from,
            given: None,
            is_exact: true,
            has_given: false,
            missed,
            over: None,
            turns_left: BEHIND_TURNS,
        }
    }

    pub(super) fn poll<L: Log>(
        &mut self,
        cx: &mut Context<'_>,
        relay: &Relay<L>,
        follower: &mut impl Follow,
    ) -> Poll<Caught> {
        // Either the client was served by somebody who was ahead, and the relay has come to where that was, or it was given
        // the last that the relay has. Its own stream may be ahead at each event, and would never meet the relay's.
        let id = self.given.as_deref().unwrap_or(&self.id);
        if self.is_exact || self.over.is_some() {
            if let Poll::Ready(gap) = follower.poll_seek(cx, id) {
                return Poll::Ready(self.there(gap));
            }
        }
        loop {
            if self.over.is_some() {
                return self.poll_over(cx, relay, follower);
            }
            match ready!(self.from.poll_recv(cx)) {
                Some(Step::Events(bytes, id, is_exact)) => {
                    self.has_given = true;
                    self.is_exact = is_exact;
                    self.given = id.or(self.given.take());
                    return Poll::Ready(Caught::Events(bytes));
                }
                Some(Step::Nothing) => return Poll::Ready(Caught::Up),
                Some(Step::Met) => {}
                None if self.given.is_none() => {
                    // It was given that much already, when it was here before.
                    if self.missed.is_some() || !relay.has_given_ahead(&self.came_with) {
                        return Poll::Ready(self.given_up(follower));
                    }
                    self.given = Some(self.came_with.clone());
                }
                None => {}
            }
            let given = self.given.as_deref().unwrap_or(&self.id);
            if let Poll::Ready(gap) = follower.poll_seek(cx, given) {
                return Poll::Ready(self.there(gap));
            }
            self.over = Some(Box::pin(sleep(BEHIND)));
        }
    }

    /// The relay has what the client was given last, or the last of it that had an id: what is behind that comes again.
    fn there(&self, gap: Gap) -> Caught {
        match self.is_exact {
            true => Caught::Up,
            false => Caught::Past(gap),
        }
    }

    /// It goes on with what is kept, as it would have without an attempt. More may have gone meanwhile.
    fn given_up(&mut self, follower: &mut impl Follow) -> Caught {
        let Some(before) = self.missed.take() else {
            return Caught::Not;
        };
        let gap = follower.skip(Skip::ToOldest);
        let missed = before.missed.zip(gap.missed).filter(|_| !self.has_given);
        Caught::Past(Gap {
            missed: missed.map(|(before, since)| before + since),
            ..gap
        })
    }

    /// Waits for the relay to come to what the client was given last.
    fn poll_over<L: Log>(
        &mut self,
        cx: &mut Context<'_>,
        relay: &Relay<L>,
        follower: &mut impl Follow,
    ) -> Poll<Caught> {
        let (Some(given), Some(sleep)) = (&self.given, &mut self.over) else {
            return Poll::Ready(Caught::Not);
        };
        if let Some(gap) = follower.seek_past(given) {
            return Poll::Ready(Caught::Past(gap));
        }
        if order(given, given).is_some() {
            // All that the relay has is older, and need not be held for it.
            follower.skip(Skip::ToLatest);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if self.turns_left == 0 || !is_behind(relay, given) {
                // What is kept may be older.
                let gap = follower.skip(Skip::ToLatest);
                return Poll::Ready(Caught::Past(Gap {
                    missed: None,
                    ..gap
                }));
            }
            self.turns_left -= 1;
            sleep.as_mut().reset(Instant::now() + BEHIND);
        }
        Poll::Pending
    }
}

/// Whether the last event of a relay is seen to come before the one with this id of the upstream, or is yet to come.
fn is_behind<L: Log>(relay: &Relay<L>, given: &[u8]) -> bool {
    let Some(last) = relay.log.stats().last_id else {
        return order(given, given).is_some();
    };
    let last = match SequentialId::parse(last.as_bytes()) {
        Some(ours) => ours.upstream,
        None => Some(last.as_bytes()),
    };
    last.and_then(|last| order(last, given)) == Some(Ordering::Less)
}

struct Asking<L> {
    relay: Arc<Relay<L>>,
    place: u64,
    /// Whether the client's id is, so that some is missing in front of all that the log has.
    is_known: bool,
    /// What the client says that it had of the upstream.
    came_with: Bytes,
    to: mpsc::Sender<Step>,
    _turn: OwnedSemaphorePermit,
    events: u64,
    bytes: usize,
}

impl<L: Log> Asking<L> {
    /// Gives the client what comes until it meets the relay. When it returns without that, it may have missed something.
    async fn run<S, B, R>(mut self, mut service: S, request: Request<B>)
    where
        S: Service<Request<B>, Response = Response<R>>,
        R: Body,
    {
        if poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
            return;
        }
        let Ok(response) = service.call(request).await else {
            return;
        };
        let (head, body) = response.into_parts();
        if stage::bypass(&head, false).is_some() {
            return;
        }
        let mut body = pin!(body);
        let max_event_bytes = self.relay.config.max_event_bytes;
        let mut decoder = Decoder::new()
            .with_max_event_bytes(max_event_bytes)
            .completing_cr();
        let mut last = None;
        let mut has_met_first = false;
        let mut has_met_own = false;
        let epoch = Epoch::from_bits(random::bits() as u64);
        let epoch = self.relay.config.tagged(epoch);
        let mut quiet = Instant::now() + QUIET;
        loop {
            let Ok(chunk) = timeout_at(quiet, chunk(body.as_mut())).await else {
                if self.is_known && self.events == 0 {
                    return;
                }
                if self.ahead(Start::At(self.place)).await == 0 {
                    let _ = self.to.send(Step::Nothing).await;
                    return;
                }
                quiet = Instant::now() + QUIET;
                continue;
            };
            let Some(chunk) = chunk else { return };
            decoder.push(chunk);
            let before = self.events;
            let mut out = Vec::new();
            let mut met = false;
            let mut is_exact = false;
            while let Some(decoded) = decoder.next() {
                let event = match decoded {
                    Decoded::Event(event) => event,
                    Decoded::Oversize { .. } => {
                        if decoder.large_event().is_some_and(LargeEvent::has_effect) {
                            // It is missing.
                            return;
                        }
                        continue;
                    }
                    Decoded::LineFeed(_) => continue,
                };
                let sets_id = event.id().map(<[u8]>::to_vec);
                if let Some(id) = &sets_id {
                    last = (!id.is_empty()).then(|| Bytes::copy_from_slice(id));
                }
                let draft = Draft {
                    upstream: last.clone(),
                    sets_id: sets_id.is_some(),
                    keep_id: false,
                    event,
                };
                if draft.sets_id && draft.upstream.as_ref() == Some(&self.came_with) {
                    // The upstream begins with what was asked for behind, and the client has had that. More of it say that
                    // this upstream's ids tell nothing.
                    if self.events > 0 || std::mem::replace(&mut has_met_own, true) {
                        return;
                    }
                    continue;
                }
                if draft.sets_id && draft.upstream.is_some() {
                    let is_first = !std::mem::replace(&mut has_met_first, true) && self.events == 0;
                    let place = match is_first {
                        true => self.find_soon(&draft).await,
                        false => self.relay.log.find_same(&draft).await,
                    };
                    if let Some(place) = place.filter(|_| is_first) {
                        // Either nothing was missed, or the upstream has taken no notice of the id.
                        if self.is_known || !self.is_oldest(place).await {
                            return;
                        }
                    }
                    met = place.is_some();
                }
                is_exact = draft.sets_id;
                self.events += u64::from(draft.event.has_data());
                self.give(draft, epoch, &mut out);
                if met {
                    break;
                }
            }
            if self.events > before {
                quiet = Instant::now() + QUIET;
            }
            self.bytes += out.len();
            if let Some(last) = last.as_ref().filter(|_| !met) {
                self.relay.gave_ahead(last);
            }
            let events = Step::Events(out.into(), last.clone(), is_exact);
            if !matches!(&events, Step::Events(bytes, ..) if bytes.is_empty())
                && self.to.send(events).await.is_err()
            {
                return;
            }
            if met {
                let _ = self.to.send(Step::Met).await;
                return;
            }
            if self.events > MAX_EVENTS || self.bytes > MAX_BYTES {
                return;
            }
        }
    }

    /// Whether nothing that has data is kept in front of this position.
    async fn is_oldest(&self, place: u64) -> bool {
        self.ahead(Start::At(place)).await == self.ahead(Start::All).await
    }

    /// How many events with data the log has from here on.
    async fn ahead(&self, start: Start) -> u64 {
        let (_, joined) = self.relay.log.follow(start, Instant::now()).await;
        joined.ahead
    }

    /// Where the first event is in the relay's log. An upstream that takes no notice of ids begins with what is new, and the
    /// relay may come to have that a moment later.
    async fn find_soon(&self, draft: &Draft) -> Option<u64> {
        let mut left = SOON;
        for _ in 0..PATIENCE {
            let place = self.relay.log.find_same(draft).await;
            if place.is_some() || left == 0 {
                return place;
            }
            sleep(STEP).await;
            left -= u32::from(self.relay.state() == UpstreamState::Connected);
        }
        None
    }

    /// With an id of ours, so that the client can come back from here too.
    fn give(&self, draft: Draft, epoch: Epoch, out: &mut Vec<u8>) {
        let Draft {
            event, upstream, ..
        } = draft;
        if !event.has_data() && !draft.sets_id {
            return;
        }
        let keeps = self.relay.config.keep_ids && draft.sets_id;
        let event: Event = if keeps {
            event
        } else {
            let of = |upstream| SequentialId {
                epoch,
                sequence: self.events,
                upstream,
            };
            event.with_id(match upstream.as_deref() {
                Some(id) if id.len() > MAX_UPSTREAM_ID => of(None).to_event_id(),
                Some(id) => self.relay.seal.write(&of(Some(id))),
                // The upstream has set none yet. The client's own goes back to it as it came: it proves nothing.
                None => of(Some(&self.came_with)).to_event_id(),
            })
        };
        out.extend_from_slice(&event.to_bytes());
    }
}

/// What comes next of a body; none when it has ended or failed.
async fn chunk<R: Body>(mut body: Pin<&mut R>) -> Option<Bytes> {
    poll_fn(|cx| {
        loop {
            let Some(Ok(frame)) = ready!(body.as_mut().poll_frame(cx)) else {
                return Poll::Ready(None);
            };
            if let Ok(mut data) = frame.into_data() {
                return Poll::Ready(Some(data.copy_to_bytes(data.remaining())));
            }
        }
    })
    .await
}
