//! What a stream costs in memory is a promise: an idle one at most a kibibyte, and a response that is no event
//! stream nothing at all.
//!
//! Allocations are counted for each thread, so tests do not see those of others.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tower_layer::Layer;
use tower_service::Service;
use tower_sse::EventLayer;
use tower_sse::stage::{EventIds, Heartbeat, IdleTimeout, Lifetime, Retry, Stage};

/// Gives what it has and then has nothing ready, ever.
struct Silent(Option<Bytes>);

impl Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None => Poll::Pending,
        }
    }
}

/// Calls a service through the layer, polls the body until it has nothing ready, and tells what was allocated
/// while the body is still there.
fn allocated<S: Stage + Clone>(
    stages: S,
    content_type: &str,
    chunk: Option<Bytes>,
) -> AllocationInfo {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _in_runtime = runtime.enter();
    let response = Response::builder().header("content-type", content_type);
    let mut response = Some(response.body(Silent(chunk)).unwrap());
    let inner = tower::service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(response.take().unwrap()))
    });
    let mut service = EventLayer::new(stages).layer(inner);
    let request = Request::new(());
    let mut held = None;
    let info = measure(|| {
        let mut cx = Context::from_waker(Waker::noop());
        let mut call = std::pin::pin!(service.call(request));
        let Poll::Ready(Ok(mut response)) = call.as_mut().poll(&mut cx) else {
            panic!("the response is there at once");
        };
        while Pin::new(response.body_mut()).poll_frame(&mut cx).is_ready() {}
        held = Some(response);
    });
    drop(held);
    info
}

fn five() -> (Retry, EventIds, IdleTimeout, Lifetime, Heartbeat) {
    (
        Retry::after(Duration::from_secs(3)),
        EventIds::sequential(),
        IdleTimeout::after(Duration::from_secs(60)),
        Lifetime::at_most(Duration::from_secs(3600)),
        Heartbeat::every(Duration::from_secs(15)),
    )
}

#[test]
fn an_idle_event_stream_holds_at_most_a_kibibyte() {
    let info = allocated(five(), "text/event-stream", None);
    assert!((1..=1024).contains(&info.bytes_current), "{info:?}");
}

#[test]
fn so_does_one_that_had_an_event() {
    let chunk = Bytes::from_static(b"data: hello\n\n");
    let info = allocated(five(), "text/event-stream", Some(chunk));
    assert!((1..=1024).contains(&info.bytes_current), "{info:?}");
}

#[cfg(feature = "metrics")]
#[test]
fn metrics_hold_no_more() {
    let (retry, ids, idle, _, heartbeat) = five();
    let stages = (
        tower_sse::stage::Metrics::new("/"),
        retry,
        ids,
        idle,
        heartbeat,
    );
    let info = allocated(stages, "text/event-stream", None);
    assert!((1..=1024).contains(&info.bytes_current), "{info:?}");
}

#[test]
fn a_response_that_is_no_event_stream_costs_no_allocation() {
    let chunk = Bytes::from_static(b"{\"hello\":1}");
    let info = allocated(five(), "application/json", Some(chunk));
    assert_eq!(info.count_total, 0, "{info:?}");
}
