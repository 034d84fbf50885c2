//! How many spans were exported, and how many were not, and a bound for those that wait.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, counter, describe_counter};
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};

use crate::log::limiter::{self, Limiter};

const SPANS: &str = "sse_spans_total";
/// A collector that is away is told of so often.
const WARNINGS: Duration = Duration::from_secs(60);

pub(super) struct Counted {
    exported: Counter,
    failed: Counter,
    dropped: Counter,
    /// Spans that have ended and are yet to be exported.
    waiting: AtomicUsize,
    /// Why the collector has not taken what it was sent last.
    why: Mutex<Option<String>>,
    warnings: Limiter,
}

impl Default for Counted {
    fn default() -> Self {
        describe_counter!(
            SPANS,
            "Spans of OpenTelemetry that have ended, by result: exported, failed or dropped."
        );
        let of = |result: &'static str| {
            let counter = counter!(SPANS, "result" => result);
            counter.increment(0);
            counter
        };
        Counted {
            exported: of("exported"),
            failed: of("failed"),
            dropped: of("dropped"),
            waiting: AtomicUsize::new(0),
            why: Mutex::default(),
            warnings: Limiter::every(WARNINGS),
        }
    }
}

impl Counted {
    /// What came of what was sent last; the library does not tell.
    pub(super) fn note(&self, why: Option<String>) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    fn tell_failed(&self, spans: usize, error: &dyn fmt::Display) {
        self.failed.increment(spans as u64);
        if let Some(suppressed) = self.warnings.pass("failed") {
            let why = self
                .why
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let (error, suppressed) = (
                why.unwrap_or_else(|| error.to_string()),
                limiter::told(suppressed),
            );
            tracing::warn!(
                spans,
                error,
                suppressed,
                "the collector of OpenTelemetry has not taken spans, which are lost"
            );
        }
    }

    fn tell_dropped(&self, most: usize) {
        self.dropped.increment(1);
        if let Some(suppressed) = self.warnings.pass("dropped") {
            let suppressed = limiter::told(suppressed);
            tracing::warn!(
                waiting = most,
                suppressed,
                "a span is dropped: too many wait for the collector of OpenTelemetry"
            );
        }
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counted").finish_non_exhaustive()
    }
}

/// Drops what would be too much for the processor behind it.
#[derive(Debug)]
pub(super) struct Queue<P> {
    inner: P,
    most: usize,
    counted: Arc<Counted>,
}

impl<P> Queue<P> {
    pub(super) fn new(inner: P, most: usize, counted: Arc<Counted>) -> Self {
        Queue {
            inner,
            most,
            counted,
        }
    }
}

impl<P: SpanProcessor> SpanProcessor for Queue<P> {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.inner.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        if self.counted.waiting.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.counted.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counted.tell_dropped(self.most);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what becomes of the spans that another exports.
#[derive(Debug)]
pub(super) struct CountedExporter<E> {
    inner: E,
    counted: Arc<Counted>,
}

impl<E> CountedExporter<E> {
    pub(super) fn new(inner: E, counted: Arc<Counted>) -> Self {
        CountedExporter { inner, counted }
    }
}

impl<E: SpanExporter> SpanExporter for CountedExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.counted.waiting.fetch_sub(spans, Ordering::Relaxed);
        let exported = self.inner.export(batch).await;
        match &exported {
            Ok(()) => self.counted.exported.increment(spans as u64),
            Err(error) => self.counted.tell_failed(spans, error),
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// Takes spans and does nothing with them.
    #[derive(Clone, Debug, Default)]
    pub(in crate::otel) struct Taken(pub(in crate::otel) Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Taken {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().expect("no panic").push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    impl SpanExporter for Taken {
        async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
            Ok(())
        }
    }

    #[tokio::test]
    async fn more_than_may_wait_are_dropped_until_some_are_exported() {
        let (taken, counted) = (Taken::default(), Arc::new(Counted::default()));
        let queue = Queue::new(taken.clone(), 3, counted.clone());
        let provider = SdkTracerProvider::builder().with_span_processor(queue);
        let tracer = provider.build().tracer("test");
        let waiting = || taken.0.lock().expect("no panic").len();
        for expected in [1, 2, 3, 3, 3] {
            drop(tracer.start("span"));
            assert_eq!(waiting(), expected);
        }
        let exporter = CountedExporter::new(taken.clone(), counted);
        let batch = std::mem::take(&mut *taken.0.lock().expect("no panic"));
        exporter.export(batch).await.expect("it is exported");
        drop(tracer.start("span"));
        assert_eq!(waiting(), 1);
    }
}
