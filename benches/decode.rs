//! How fast are events found, and what does the layer cost in time?
//!
//! `cargo bench --bench decode --features metrics`
//!
//! Other parsers build events for an application, with types and data as strings; [`Decoder`] only finds where
//! events begin and end and what fields they have. A bare `memchr` pass over the same bytes for both kinds of
//! line end is about as fast as any of them can be.

#![allow(missing_docs)] // of what the macros make

mod streams;

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use streams::{EVENTS, Set, Shape};
use tower_sse::wire::Decoder;

fn decode(c: &mut Criterion) {
    for (name, event_len, events_a_chunk) in [
        ("200 B, 1 a chunk", 200, 1),
        ("200 B, 80 in 16 KiB", 200, 80),
        ("16 KiB, 1 a chunk", 16 * 1024, 1),
        ("16 KiB, 4 in 64 KiB", 16 * 1024, 4),
    ] {
        let event = streams::event(event_len);
        let events = (4 << 20) / event_len / events_a_chunk * events_a_chunk;
        let chunks = streams::chunks(&event, events, events_a_chunk);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Bytes((events * event_len) as u64));
        group.bench_function("memchr", |b| b.iter(|| line_ends(&chunks)));
        group.bench_function("tower-sse", |b| {
            b.iter(|| assert_eq!(ours(&chunks), events))
        });
        group.bench_function("sse-stream", |b| {
            b.iter(|| assert_eq!(sse_stream(&chunks), events))
        });
        group.bench_function("eventsource-stream", |b| {
            b.iter(|| assert_eq!(eventsource_stream(&chunks), events));
        });
        group.finish();
    }
}

fn line_ends(chunks: &[Bytes]) -> usize {
    let ends = |chunk: &Bytes| memchr::memchr2_iter(b'\n', b'\r', chunk).count();
    chunks.iter().map(ends).sum()
}

fn ours(chunks: &[Bytes]) -> usize {
    let mut decoder = Decoder::new();
    let mut events = 0;
    for chunk in chunks {
        decoder.push(chunk.clone());
        while let Some(event) = decoder.next() {
            black_box(event);
            events += 1;
        }
    }
    events
}

fn sse_stream(chunks: &[Bytes]) -> usize {
    let chunks = stream::iter(chunks.iter().cloned().map(Ok::<_, Infallible>));
    let events = sse_stream::SseByteStream::new(chunks);
    events
        .map(black_box)
        .count()
        .now_or_never()
        .expect("all is ready")
}

fn eventsource_stream(chunks: &[Bytes]) -> usize {
    let chunks = stream::iter(chunks.iter().cloned().map(Ok::<_, Infallible>));
    let events = chunks.eventsource();
    events
        .map(black_box)
        .count()
        .now_or_never()
        .expect("all is ready")
}

/// The runs of the bench `cost`, in time: 10,000 events of 200 bytes from the source to the reader.
fn layer(c: &mut Criterion) {
    streams::record_metrics();
    let runtime = streams::runtime();
    for shape in [Shape::OneAChunk, Shape::EightyAChunk] {
        let mut group = c.benchmark_group(format!("layer, {shape:?}"));
        group.throughput(Throughput::Elements(EVENTS as u64));
        for set in Set::ALL {
            group.bench_function(format!("{set:?}"), |b| {
                b.iter_batched(
                    || set.reader(shape.chunks()),
                    |reader| streams::run_to_end(&runtime, reader),
                    BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = decode, layer
}
criterion_main!(benches);
