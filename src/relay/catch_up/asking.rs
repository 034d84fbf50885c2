//! The request that is made for a group.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::Body;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tower_service::Service;

use super::super::UpstreamState;
use super::super::late::is_for_all_of;
use super::super::random;
use super::super::shared::Relay;
use super::super::task::either;
use super::super::vary::Vary;
use super::Behind;
use super::group::{End, Group};
use super::window::Step;
use crate::history::{Draft, MAX_UPSTREAM_ID, Start};
use crate::stage;
use crate::wire::{Decoded, Decoder, Epoch, Event, LargeEvent, SequentialId};

/// How much one request may bring.
const MAX_EVENTS: u64 = 100_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long it may take.
const MAX_TIME: Duration = Duration::from_secs(120);
/// So long a group waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// So long what a group was given is kept when it has met the relay: after a restart clients come back one after another,
/// within their reconnection time.
const KEPT: Duration = Duration::from_secs(10);
/// When no event came for so long, neither here nor to the relay, both are at the same position.
const QUIET: Duration = Duration::from_secs(5);
/// So many steps of a connected relay, and in all, the first event is waited for in its log.
const SOON: u32 = 20;
const PATIENCE: u32 = 200;
const STEP: Duration = Duration::from_millis(25);

/// Asks the upstream for what is behind an id of it, for a group.
pub(super) async fn ask<S, B, R>(
    relay: Arc<Relay>,
    group: Arc<Group>,
    behind: Behind,
    service: S,
    request: Request<B>,
    turns: Arc<Semaphore>,
) where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    let ending = Ending(Arc::clone(&group));
    let asking = async move {
        let Ok(Ok(_turn)) = timeout(TURN, turns.acquire_owned()).await else {
            return End::OutOfTime;
        };
        let asking = Asking {
            relay,
            group,
            behind,
            events: 0,
            bytes: 0,
        };
        let run = timeout(MAX_TIME, asking.run(service, request)).await;
        run.unwrap_or(End::OutOfTime)
    };
    // Whoever has left has no use for it.
    let Some(end) = either(pin!(asking), pin!(ending.0.abandoned())).await else {
        return;
    };
    if ending.0.finish(end) {
        sleep(KEPT).await;
    }
}

/// Ends a group also when its task is lost, since the service panicked.
struct Ending(Arc<Group>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.finish(End::Failed);
    }
}

struct Asking {
    relay: Arc<Relay>,
    group: Arc<Group>,
    behind: Behind,
    events: u64,
    bytes: usize,
}

impl Asking {
    /// Gives the group what comes until it meets the relay. When it fails, something may be missing.
    async fn run<S, B, R>(mut self, mut service: S, request: Request<B>) -> End
    where
        S: Service<Request<B>, Response = Response<R>>,
        R: Body,
    {
        if poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
            return End::Failed;
        }
        let sent = request.headers().clone();
        let Ok(response) = service.call(request).await else {
            return End::Failed;
        };
        let (head, body) = response.into_parts();
        if stage::bypass(&head, false).is_some() {
            return End::Failed;
        }
        let vary = Vary::of(&head.headers, &sent, self.relay.config.insist);
        if !is_for_all_of(&self.relay, &vary) {
            self.group.leave_to_first();
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
                if self.behind.is_known && self.events == 0 {
                    return End::Failed;
                }
                let position = self.group.position();
                // One that is not connected is yet to be given what it lacks.
                let is_silent = self.relay.state() == UpstreamState::Connected
                    && self.ahead(Start::At(position)) == 0;
                if is_silent && self.group.close_at(position) {
                    return End::Nothing;
                }
                quiet = Instant::now() + QUIET;
                continue;
            };
            let Some(chunk) = chunk else {
                return End::Failed;
            };
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
                            return End::Failed;
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
                    is_gap: false,
                    event,
                };
                if draft.sets_id && draft.upstream.as_ref() == Some(&self.behind.id) {
                    // The upstream begins with what was asked for behind, and the client has had that. More of it say that
                    // this upstream's ids tell nothing.
                    if self.events > 0 || std::mem::replace(&mut has_met_own, true) {
                        return End::Failed;
                    }
                    continue;
                }
                if draft.sets_id && draft.upstream.is_some() {
                    let is_first = !std::mem::replace(&mut has_met_first, true) && self.events == 0;
                    let position = match is_first {
                        true => self.find_soon(&draft).await,
                        false => self.relay.log.find_same(&draft),
                    };
                    if let Some(position) = position.filter(|_| is_first) {
                        // Either nothing was missed, or the upstream has taken no notice of the id.
                        if self.behind.is_known || !self.is_oldest(position) {
                            return End::Failed;
                        }
                    }
                    met = position.is_some();
                }
                if draft.event.has_data() || draft.sets_id {
                    is_exact = draft.sets_id;
                }
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
            if !out.is_empty() {
                let step = Step {
                    bytes: out.into(),
                    id: last.clone(),
                    is_exact,
                };
                self.group.give(step).await;
            }
            if met {
                return End::Met;
            }
            if self.events > MAX_EVENTS || self.bytes > MAX_BYTES {
                return End::Failed;
            }
        }
    }

    /// Whether nothing that has data is kept in front of this position.
    fn is_oldest(&self, position: u64) -> bool {
        self.ahead(Start::At(position)) == self.ahead(Start::All)
    }

    /// How many events with data the log has from here on.
    fn ahead(&self, start: Start) -> u64 {
        let (_, joined) = self.relay.log.follow(&start, Instant::now());
        joined.ahead
    }

    /// Where the first event is in the relay's log. An upstream that takes no notice of ids begins with what is new, and the
    /// relay may come to have that a moment later.
    async fn find_soon(&self, draft: &Draft) -> Option<u64> {
        let mut left = SOON;
        for _ in 0..PATIENCE {
            let position = self.relay.log.find_same(draft);
            if position.is_some() || left == 0 {
                return position;
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
                None => of(Some(&self.behind.id)).to_event_id(),
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
