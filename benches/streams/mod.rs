//! Event streams as hyper gives them, and sets of stages, for the benches of the library.

#![allow(dead_code)] // each bench uses its part of it

pub(crate) mod callgrind;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio::runtime::{Builder, Runtime};
use tower::service_fn;
use tower_layer::Layer;
use tower_service::Service;
use tower_sse::stage::{EventIds, Heartbeat, IdleTimeout, Metrics, Retry, Stage, Times};
use tower_sse::wire::Event;
use tower_sse::{EventBody, EventLayer};

/// An event of so many bytes: a name, and one line of JSON.
pub(crate) fn event(len: usize) -> Vec<u8> {
    padded("event: add\n", len)
}

/// The same with an id of the upstream's.
pub(crate) fn event_with_id(len: usize) -> Vec<u8> {
    padded("id: 1526919030474-55\nevent: add\n", len)
}

fn padded(fields: &str, len: usize) -> Vec<u8> {
    let begin = format!("{fields}data: {{\"id\":73857293,\"user_id\":42,\"text\":\"");
    let end = "\"}\n\n";
    let filling = len.checked_sub(begin.len() + end.len());
    let filling = filling.expect("an event is longer than its fields");
    let text = "the quick brown fox jumps over the lazy dog and ";
    let text: String = text.chars().cycle().take(filling).collect();
    [begin, text, end.to_owned()].concat().into()
}

/// Chunks of so many events each, cut off a shared buffer as hyper cuts them off its read buffer.
pub(crate) fn chunks(event: &[u8], events: usize, events_a_chunk: usize) -> Vec<Bytes> {
    let chunk_len = event.len() * events_a_chunk;
    let mut chunks = Vec::new();
    let mut buffer = BytesMut::new();
    for _ in 0..events / events_a_chunk {
        if buffer.capacity() < chunk_len {
            buffer = BytesMut::with_capacity(chunk_len.max(8 * 1024) + chunk_len);
        }
        for _ in 0..events_a_chunk {
            buffer.put_slice(event);
        }
        chunks.push(buffer.split_to(chunk_len).freeze());
    }
    chunks
}

/// A body that gives a chunk, has nothing ready the next time it is asked, and is woken.
pub(crate) struct Chunks {
    left: std::vec::IntoIter<Bytes>,
    pause: bool,
    ends: bool,
}

impl Chunks {
    pub(crate) fn new(chunks: Vec<Bytes>) -> Self {
        Chunks {
            left: chunks.into_iter(),
            pause: false,
            ends: true,
        }
    }

    /// Falls silent at its end, and is not woken any more.
    pub(crate) fn open_ended(mut self) -> Self {
        self.ends = false;
        self
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.pause, false) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.left.next() {
            Some(chunk) => {
                self.pause = true;
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// A user's stage that only looks.
#[derive(Clone, Default)]
pub(crate) struct Look {
    with_data: u64,
    bytes: usize,
}

impl Stage for Look {
    fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
        self.with_data += u64::from(event.has_data());
        self.bytes += event.len();
        Some(event)
    }

    fn on_end(&mut self, _: tower_sse::stage::End, _: &Times) {
        std::hint::black_box((self.with_data, self.bytes));
    }
}

pub(crate) fn four_that_look() -> (Look, Look, Look, Look) {
    Default::default()
}

/// Four of the library's that change no event, with two timers.
pub(crate) fn four_of_ours() -> (Metrics, Retry, IdleTimeout, Heartbeat) {
    (
        Metrics::new("/"),
        Retry::after(Duration::from_secs(3)),
        IdleTimeout::after(Duration::from_secs(60)),
        Heartbeat::every(Duration::from_secs(15)),
    )
}

pub(crate) fn five_of_ours() -> (Metrics, Retry, EventIds, IdleTimeout, Heartbeat) {
    let (metrics, retry, timeout, heartbeat) = four_of_ours();
    (metrics, retry, EventIds::sequential(), timeout, heartbeat)
}

/// A service behind the layer that answers one request with this body.
pub(crate) fn service<B, S>(
    body: B,
    content_type: &'static str,
    stages: S,
) -> impl Service<Request<()>, Response = Response<EventBody<B, S>>, Error = Infallible>
where
    B: Body,
    S: Stage + Clone,
{
    let response = Response::builder().header("content-type", content_type);
    let mut response = Some(response.body(body).expect("a valid head"));
    let inner = service_fn(move |_: Request<()>| {
        std::future::ready(Ok(response.take().expect("one request")))
    });
    EventLayer::new(stages).layer(inner)
}

/// Its response, which is there at once.
pub(crate) fn call<S, B>(service: &mut S) -> Response<B>
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    let response = service.call(Request::new(())).now_or_never();
    let Ok(response) = response.expect("the response is there at once");
    response
}

/// The body of a response that went through the layer.
pub(crate) fn layered<B, S>(body: B, content_type: &'static str, stages: S) -> EventBody<B, S>
where
    B: Body,
    S: Stage + Clone,
{
    call(&mut service(body, content_type, stages)).into_body()
}

/// Reads a body to its end as hyper's connection does, and counts its bytes.
pub(crate) fn read<B>(body: B) -> impl Future<Output = usize>
where
    B: Body<Data = Bytes>,
{
    let mut body = Box::pin(body);
    let mut len = 0;
    poll_fn(move |cx| {
        while let Some(Ok(frame)) = ready!(body.as_mut().poll_frame(cx)) {
            if let Ok(data) = frame.into_data() {
                len += data.len();
            }
        }
        Poll::Ready(len)
    })
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A stream that is ready to be read.
pub(crate) type Reader = Pin<Box<dyn Future<Output = usize> + Send>>;

/// What is between the source and the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Source,
    Look,
    LookAndIds,
    Ours,
    OursAndIds,
}

impl Set {
    pub(crate) const ALL: [Set; 5] = [
        Set::Source,
        Set::Look,
        Set::LookAndIds,
        Set::Ours,
        Set::OursAndIds,
    ];

    pub(crate) fn reader(self, chunks: Vec<Bytes>) -> Reader {
        let source = Chunks::new(chunks);
        let type_ = "text/event-stream";
        match self {
            Set::Source => Box::pin(read(source)),
            Set::Look => Box::pin(read(layered(source, type_, four_that_look()))),
            Set::LookAndIds => {
                let (a, b, c, d) = four_that_look();
                let stages = (a, b, c, d, EventIds::sequential());
                Box::pin(read(layered(source, type_, stages)))
            }
            Set::Ours => Box::pin(read(layered(source, type_, four_of_ours()))),
            Set::OursAndIds => Box::pin(read(layered(source, type_, five_of_ours()))),
        }
    }
}

/// What the source gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    OneAChunk,
    OneAChunkWithId,
    EightyAChunk,
}

impl Shape {
    pub(crate) const ALL: [Shape; 3] = [
        Shape::OneAChunk,
        Shape::OneAChunkWithId,
        Shape::EightyAChunk,
    ];

    /// 10,000 events of 200 bytes.
    pub(crate) fn chunks(self) -> Vec<Bytes> {
        match self {
            Shape::OneAChunk => chunks(&event(200), EVENTS, 1),
            Shape::OneAChunkWithId => chunks(&event_with_id(200), EVENTS, 1),
            Shape::EightyAChunk => chunks(&event(200), EVENTS, 80),
        }
    }
}

pub(crate) const EVENTS: usize = 10_000;

/// Installs a recorder that counts for real, as the gateway does.
pub(crate) fn record_metrics() {
    let builder = metrics_exporter_prometheus::PrometheusBuilder::new();
    builder.install_recorder().expect("the first recorder");
}

/// Runs a reader as a task of its own, as a server runs its connections.
///
/// The benches count instructions in here and nowhere else.
#[inline(never)]
pub(crate) fn run_to_end(runtime: &Runtime, reader: Reader) -> usize {
    let len = runtime.block_on(runtime.spawn(reader)).unwrap();
    assert!(
        len >= 200 * EVENTS,
        "all events come through, not {len} bytes"
    );
    len
}
