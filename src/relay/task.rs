//! The task of a relay: it owns the upstream's response, and makes it again when it is lost.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::StatusCode;
use http_body::Body;
use tokio::time::{Instant, sleep, timeout_at};

use super::UpstreamState;
use super::asked::Asked;
use super::backoff::Lost;
use super::config::{CleanEnd, Config};
use super::document;
use super::head::Head;
use super::inside::Inside;
use super::pace;
use super::reading::Reading;
use super::registry::Registry;
use super::shared::{Ended, Phase, Relay};
use super::template::{Template, header_value};
use super::upstream::{Connected, Source, Upstream};
use crate::history::{Draft, History, Log};

pub(super) mod terms;

/// So much is taken together when it is there.
const BATCH_BYTES: usize = 64 * 1024;
const BATCH_CHUNKS: usize = 64;

/// Old events are dropped in no shorter steps.
const LEAST_EXPIRY: Duration = Duration::from_secs(1);

/// What it leaves behind is cleaned up also when it is dropped before it has begun.
pub(super) fn run<S, B, R, H>(
    relay: Arc<Relay>,
    log: H::Log,
    registry: Arc<Registry<H>>,
    service: S,
    template: Option<Template>,
    source: Source<R, S::Error>,
) -> impl Future<Output = ()> + Send
where
    S: Inside<B, R>,
    B: From<Bytes> + Send + 'static,
    R: Body + Send + 'static,
    H: History,
{
    relay.config.metrics.relays(1.0);
    // Behind it the log may have events for those who still read, and no others.
    let cleanup = Cleanup {
        relay,
        log,
        registry,
    };
    async move {
        let registry = cleanup.registry.clone();
        let upstream = Upstream::new(cleanup.relay.clone(), registry, service, template, source);
        drive(upstream, &cleanup.log).await;
        drop(cleanup);
    }
}

async fn drive<S, B, R, H>(upstream: Upstream<S, R, S::Error, H>, log: &H::Log)
where
    S: Inside<B, R>,
    B: From<Bytes> + Send + 'static,
    R: Body + Send + 'static,
    H: History,
{
    let relay = upstream.relay.clone();
    let config = relay.config.clone();
    let last_id = upstream.template.as_ref().and_then(Template::last_id);
    let how = {
        let mut drive = Drive {
            relay: relay.clone(),
            log,
            config: config.clone(),
            upstream,
            reading: Reading::new(last_id, !relay.is_asked_again),
            was_connected: false,
            is_gap_told: false,
        };
        let drive = pin!(async {
            match relay.outside().cloned() {
                Some(stream) => drive.terms(&stream).await,
                None => drive.drive().await,
            }
        });
        let left = pin!(async {
            let abandoned = pin!(relay.abandoned());
            either(pin!(relay.hang_up_on_slow()), abandoned).await;
        });
        either(drive, left).await.unwrap_or(Ended::Left)
    };
    terms::end(&relay, how).await;
    relay.set_state(UpstreamState::Ended);
    let head = match relay.phase() {
        Phase::Open(head) => Some(head),
        Phase::Ended(head, _) => head,
        Phase::Starting => None,
        Phase::Refused(_) => return,
    };
    relay.set_phase(Phase::Ended(head, how));
    log.close();
    if matches!(how, Ended::Finished | Ended::Failed | Ended::NoContent) {
        relay.idle.finished(&relay.epoch);
        relay.kept(config.keep_finished).await;
    }
}

/// What must be done however the task ends, also when the service panics.
struct Cleanup<H: History> {
    relay: Arc<Relay>,
    log: H::Log,
    registry: Arc<Registry<H>>,
}

impl<H: History> Drop for Cleanup<H> {
    fn drop(&mut self) {
        self.relay.close();
        self.registry.remove(&self.relay);
        self.relay.set_state(UpstreamState::Ended);
        match self.relay.phase() {
            Phase::Starting => self.relay.set_phase(Phase::Ended(None, Ended::Left)),
            Phase::Open(head) => self.relay.set_phase(Phase::Ended(Some(head), Ended::Left)),
            Phase::Refused(_) | Phase::Ended(..) => {}
        }
        if let Some(stream) = self.relay.outside() {
            stream.detach();
        }
        self.log.close();
        self.relay.count(true);
        self.relay.config.metrics.relays(-1.0);
    }
}

struct Drive<'a, S, R, E, H: History> {
    relay: Arc<Relay>,
    log: &'a H::Log,
    config: Arc<Config>,
    upstream: Upstream<S, R, E, H>,
    reading: Reading,
    was_connected: bool,
    /// Whether the log has an event for what may be lost in front of this connection.
    is_gap_told: bool,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    Clean,
    Failed,
}

impl<S, R, E, H> Drive<'_, S, R, E, H>
where
    H: History,
    R: Body,
{
    async fn drive<B>(&mut self) -> Ended
    where
        S: Inside<B, R, Error = E>,
        B: From<Bytes> + Send + 'static,
        R: Send + 'static,
    {
        if self.config.hold && self.relay.outside().is_none() {
            self.upstream.open(Head::own(), None);
        }
        loop {
            self.relay.set_state(UpstreamState::Connecting);
            let mut lost = Lost::Answered(None);
            let last_id = self.reading.last_id.as_deref();
            match self.upstream.connect(last_id).await {
                Connected::End(how) => {
                    let has_no_answer = matches!(how, Ended::GaveUp | Ended::NotForAll);
                    if has_no_answer && !self.upstream.can_be_repeated {
                        // Its client may take the end for that of the answer.
                        self.tell_gap().await;
                    }
                    return how;
                }
                Connected::Retry(why) => {
                    lost = why;
                    if !self.upstream.can_be_repeated {
                        self.tell_gap().await;
                        return Ended::Failed;
                    }
                }
                Connected::Document(status, body) => return self.document(status, body).await,
                Connected::Stream(body) => {
                    if let Some(how) = self.stream(body).await {
                        return how;
                    }
                }
            }
            self.relay.set_state(UpstreamState::Waiting);
            let upstream = &mut self.upstream;
            let left = upstream
                .give_up_at()
                .saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ended::GaveUp;
            }
            let wait = upstream.backoff.next(self.reading.retry, lost);
            // Who is to wait for longer than that is asked once more before all is given up.
            sleep(wait.min(left)).await;
        }
    }

    /// Reads one response. `None` when it was lost and is to be made again.
    async fn stream(&mut self, body: R) -> Option<Ended> {
        let opened = Instant::now();
        self.relay.set_state(UpstreamState::Connected);
        let resumes = header_value(self.reading.last_id.as_deref()).is_some();
        let mut before = None;
        if self.was_connected {
            if !resumes && !std::mem::take(&mut self.is_gap_told) {
                self.tell_gap().await;
            }
            before = Some(self.append(Vec::new()).await);
        }
        self.was_connected = true;
        let asked = self.upstream.asked.as_mut();
        let stages = asked.and_then(Asked::pipeline);
        self.reading.begin(stages, before, resumes);
        let connected = ConnectedGauge::new(&self.config);
        let loss = match self.read(body).await {
            // To a client it would be that all was said.
            Loss::Clean if self.is_ended_by_stage() => Loss::Failed,
            loss => loss,
        };
        drop(connected);

        // What is left of an event is none (HTML standard, 9.2.6), and would be a whole one for who reads it from the log.
        if loss == Loss::Clean && self.ends_cleanly() && !self.reading.has_untold_gap {
            self.reading.end(true);
            return Some(Ended::Finished);
        }
        let retry = self.reading.lost(&self.config);
        self.reading.end(loss == Loss::Clean);
        if let Some(retry) = retry {
            self.relay.set_retry(self.reading.retry);
            self.append(vec![retry]).await;
        }
        if !self.upstream.can_be_repeated {
            self.tell_gap().await;
            return Some(Ended::Failed);
        }
        let had_events = self.reading.events > 0;
        self.upstream.backoff.lost(opened, had_events);
        None
    }

    /// Appends whatever room there is. Gives the position of the first.
    async fn append(&mut self, events: Vec<Draft>) -> u64 {
        let appended = match self.relay.outside() {
            Some(stream) => stream.append(events).await,
            None => self.log.append(events, Instant::now()).await,
        };
        appended.position
    }

    async fn read(&mut self, body: R) -> Loss {
        let mut body = pin!(body);
        loop {
            let mut chunks = Vec::new();
            let now = Instant::now();
            let expiry = self.relay.log.expire(now);
            let expiry = expiry.map(|at| at.max(now + LEAST_EXPIRY));
            self.relay.count(false);
            let due = self.reading.deadline();
            let reading = &mut self.reading;
            let batch = poll_fn(|cx| {
                let batch = poll_gather(body.as_mut(), &mut chunks, cx);
                if batch.is_pending() {
                    reading.on_wait(cx.waker());
                    // What has woken this may have moved the deadline.
                    if reading.deadline() != due {
                        return Poll::Ready(Came::Due);
                    }
                }
                batch.map(Came::Batch)
            });
            let until = [expiry, due].into_iter().flatten().min();
            let came = match until {
                // The batch is not lost with the future: what it has taken is ready at once.
                Some(at) => timeout_at(at, batch).await.unwrap_or(Came::Due),
                None => batch.await,
            };
            let loss = match came {
                Came::Batch(loss) => loss,
                Came::Due
                    if due.is_some_and(|due| due <= Instant::now()) && self.reading.tick() =>
                {
                    return Loss::Failed;
                }
                Came::Due => continue,
            };
            let full = is_full(&chunks);
            if !chunks.is_empty() {
                let log = &self.relay.log;
                let drafts = self.reading.read(chunks, &self.config, log);
                self.relay.set_retry(self.reading.retry);
                if self.reading.events > 0 {
                    self.relay.saw_events(self.reading.has_ids());
                }
                if !drafts.is_empty() {
                    let written = pace::write(&self.relay, self.log, drafts).await;
                    if std::mem::take(&mut self.reading.has_begun_anew) {
                        self.relay.begins_anew();
                        self.reading.counted_from = written.first;
                    }
                    if let Some(position) = written.last_id {
                        self.reading.behind_last_id = Some(position + 1);
                    }
                }
            }
            if let Some(loss) = loss {
                self.relay.count(false);
                return loss;
            }
            if full {
                // An upstream that has always more would keep all others on this thread from their turn.
                tokio::task::yield_now().await;
            }
        }
    }

    fn is_ended_by_stage(&self) -> bool {
        let asked = self.upstream.asked.as_ref();
        asked.is_some_and(Asked::is_ended_by_stage)
    }

    /// Gives what is no event stream as one event: its clients were told that there would be some.
    async fn document(&mut self, status: StatusCode, body: R) -> Ended {
        if let Some(draft) = document::draft(body, &self.config).await {
            pace::write(&self.relay, self.log, vec![draft]).await;
            if status.is_success() {
                return Ended::Finished;
            }
        }
        self.tell_gap().await;
        Ended::Failed
    }

    async fn tell_gap(&mut self) {
        if let Some(gap) = self.reading.gap(&self.config, None) {
            pace::write(&self.relay, self.log, vec![gap]).await;
        }
    }

    fn ends_cleanly(&self) -> bool {
        match self.config.clean_end {
            Some(end) => end == CleanEnd::Finished,
            None => !self.upstream.can_be_repeated || self.config.key.is_none(),
        }
    }
}

/// What is to be looked after.
enum Came {
    /// Chunks, and how the body ended if it did.
    Batch(Option<Loss>),
    /// Some time is over.
    Due,
}

/// Counts a connection for as long as it is there, also when the task is dropped.
struct ConnectedGauge(Arc<Config>);

impl ConnectedGauge {
    fn new(config: &Arc<Config>) -> Self {
        config.metrics.connected(1.0);
        ConnectedGauge(config.clone())
    }
}

impl Drop for ConnectedGauge {
    fn drop(&mut self) {
        self.0.metrics.connected(-1.0);
    }
}

/// Takes all chunks that are there, and waits for one if there are none. Gives how the body ended, if it did.
fn poll_gather<R: Body>(
    mut body: Pin<&mut R>,
    chunks: &mut Vec<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Option<Loss>> {
    loop {
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Ok(mut data) = frame.into_data() {
                    chunks.push(data.copy_to_bytes(data.remaining()));
                }
                if is_full(chunks) {
                    return Poll::Ready(None);
                }
            }
            Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Loss::Failed)),
            Poll::Ready(None) => return Poll::Ready(Some(Loss::Clean)),
            Poll::Pending if chunks.is_empty() => return Poll::Pending,
            Poll::Pending => return Poll::Ready(None),
        }
    }
}

/// Whether there may be more than was taken together.
fn is_full(chunks: &[Bytes]) -> bool {
    chunks.len() >= BATCH_CHUNKS || chunks.iter().map(Bytes::len).sum::<usize>() >= BATCH_BYTES
}

/// The first one's result, unless the second is done before.
pub(super) async fn either<T>(
    mut one: Pin<&mut impl Future<Output = T>>,
    mut other: Pin<&mut impl Future<Output = ()>>,
) -> Option<T> {
    poll_fn(|cx| {
        if other.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        one.as_mut().poll(cx).map(Some)
    })
    .await
}
