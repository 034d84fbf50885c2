//! What does a stream hold on the heap?
//!
//! `cargo bench --bench heap --features metrics`
//!
//! Bytes as requested of the allocator, in the layer alone: the response and its body are made before, and
//! no recorder of metrics is installed, which would keep samples of its own.

mod streams;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use http_body::Body;
use streams::Chunks;

fn main() {
    let runtime = streams::runtime();
    let _in_runtime = runtime.enter();
    let plain = size_of::<Chunks>();
    let layered = size_of_val(&streams::layered(
        Chunks::new(Vec::new()),
        "text/event-stream",
        streams::five_of_ours(),
    ));
    println!("| `Metrics`, `Retry`, `EventIds`, `IdleTimeout`, `Heartbeat` | target | seen |");
    println!("|---|---:|---:|");
    for (name, events) in [
        ("idle since it opened", 0),
        ("idle after 1,000 events", 1000),
    ] {
        let (bytes, _) = held(events, "text/event-stream");
        println!("| event stream, {name}: bytes on the heap | ≤ 1024 | {bytes} |");
    }
    let (_, count) = held(1000, "application/json");
    println!("| no event stream, 1,000 chunks: allocations | 0 | {count} |");
    println!(
        "| the body type, beside that inside: bytes | | {} |",
        layered - plain
    );
}

/// Bytes held while the stream is silent, and allocations until then.
fn held(events: usize, content_type: &'static str) -> (i64, u64) {
    let chunks = streams::chunks(&streams::event(200), events, 1);
    let source = Chunks::new(chunks.clone()).open_ended();
    let stages = streams::five_of_ours();
    let mut service = streams::service(source, content_type, stages);
    let mut body = None;
    let info = measure(|| body = Some(streams::call(&mut service)));
    let mut response = body.expect("the response is there at once");
    let polls = measure(|| read_until_silent(response.body_mut()));
    // Until here, so that the source's own are not freed while the layer's are counted.
    drop(chunks);
    (
        info.bytes_current + polls.bytes_current,
        info.count_total + polls.count_total,
    )
}

/// The source has nothing ready after each chunk, so it is silent when that happens twice.
fn read_until_silent(body: &mut (impl Body<Data = Bytes> + Unpin)) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut pending = 0;
    while pending < 2 {
        match Pin::new(&mut *body).poll_frame(&mut cx) {
            Poll::Ready(_) => pending = 0,
            Poll::Pending => pending += 1,
        }
    }
}
