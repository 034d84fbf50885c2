//! Begins spans, and exports them.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, request};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanKind, TraceFlags, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider,
};
use tokio::task::spawn_blocking;

use super::collector::Collector;
use super::counted::{Counted, CountedExporter, Queue};
use super::span::{RelaySpan, RequestSpan, describe, describe_client, method};
use super::variables::Variables;
use super::{LAST_SPANS, RouteName};
use crate::config::Error;
use crate::log::trace;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Makes spans and exports them. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Tracer(Arc<Exporting>);

#[derive(Debug)]
struct Exporting {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl Tracer {
    /// None unless it is to be on. To be called in the runtime that is to speak to the collector.
    ///
    /// # Errors
    ///
    /// When a variable of OpenTelemetry has a value that it cannot have, or a certificate cannot be read.
    pub(crate) fn start(is_on: bool) -> Result<Option<Self>, Error> {
        let counted = Arc::new(Counted::default());
        if !is_on {
            return Ok(None);
        }
        let Some(variables) = Variables::read(|name| std::env::var(name).ok())? else {
            tracing::info!(
                "OpenTelemetry is off, as OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER says"
            );
            return Ok(None);
        };
        let at_endpoint = |error: &dyn std::fmt::Display| Error::at(variables.place, error);
        let collector =
            Collector::new(&variables, counted.clone()).map_err(|error| at_endpoint(&error))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(&variables.endpoint)
            .with_timeout(variables.timeout)
            .with_http_client(collector)
            .build()
            .map_err(|error| at_endpoint(&error))?;
        tracing::info!(collector = variables.endpoint, "spans are exported");
        let exporter = CountedExporter::new(exporter, counted.clone());
        let config = BatchConfigBuilder::default().with_max_queue_size(variables.queue);
        let batches = BatchSpanProcessor::builder(exporter);
        let batches = batches.with_batch_config(config.build()).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_span_processor(Queue::new(batches, variables.queue, counted))
            .build();
        Ok(Some(Self::of(provider)))
    }

    fn of(provider: SdkTracerProvider) -> Self {
        let tracer = provider.tracer("sse-gateway");
        Tracer(Arc::new(Exporting { tracer, provider }))
    }

    /// Begins the span of a request, which is the parent of what is told upstream from now on. None if nobody is to see it.
    pub(crate) fn request(
        &self,
        route: &RouteName,
        parts: &mut request::Parts,
    ) -> Option<RequestSpan> {
        let parent = parent(&mut parts.headers);
        let builder = SpanBuilder::from_name(method(&parts.method)).with_kind(SpanKind::Server);
        let mut span = self.0.tracer.build_with_context(builder, &parent);
        name_as_parent(&mut parts.headers, span.span_context());
        if !span.is_recording() {
            return None;
        }
        describe(&mut span, route, &parts.method, &parts.extensions);
        describe_client(&mut span, parts);
        let span = RequestSpan::new(span);
        parts.extensions.insert(span.clone());
        Some(span)
    }

    /// Begins the span of a request that a relay makes for all of its clients: a trace of its own, since it outlives whoever
    /// came first, with a link to that one's.
    pub(crate) fn relay<B>(&self, route: &RouteName, request: &mut Request<B>) -> RelaySpan {
        let opener: Option<RequestSpan> = request.extensions_mut().remove();
        let link = opener.map(|span| Link::with_context(span.context().clone()));
        let builder = SpanBuilder::from_name(method(request.method()))
            .with_kind(SpanKind::Client)
            .with_links(link.into_iter().collect());
        let mut span = self.0.tracer.build_with_context(builder, &Context::new());
        request.headers_mut().remove(TRACESTATE);
        name_as_parent(request.headers_mut(), span.span_context());
        if span.is_recording() {
            describe(&mut span, route, request.method(), request.extensions());
        }
        RelaySpan(span)
    }

    /// Exports what is left, if the collector takes it in time.
    pub(crate) async fn finish(self) {
        let provider = self.0.provider.clone();
        // It waits for a thread that needs this runtime.
        let finished = spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS)).await;
        if !matches!(finished, Ok(Ok(()))) {
            tracing::warn!("the last spans were not exported");
        }
    }
}

/// Whose the request is a part, as it says itself. What cannot be told is taken out.
fn parent(headers: &mut HeaderMap) -> Context {
    if trace::id(headers).is_none() {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
        return Context::new();
    }
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

/// `tracestate` stays as it came: nothing is added to it.
fn name_as_parent(headers: &mut HeaderMap, span: &SpanContext) {
    let flags = span.trace_flags() & TraceFlags::SAMPLED;
    let text = format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id());
    if let Ok(value) = HeaderValue::try_from(text) {
        if span.is_valid() {
            headers.insert(TRACEPARENT, value);
        }
    }
}

/// What the variables say of the gateway, and what they need not say.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let is_said = |key| said.get(&Key::from_static_str(key)).is_some();
    let has_name = said
        .get(&Key::from_static_str("service.name"))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let own = [
        (!has_name).then(|| KeyValue::new("service.name", "sse-gateway")),
        (!is_said("service.version"))
            .then(|| KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))),
    ];
    Resource::builder()
        .with_attributes(own.into_iter().flatten())
        .build()
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::Sampler;

    use super::*;
    use crate::otel::counted::tests::Taken;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn route() -> RouteName {
        RouteName {
            name: "news".into(),
            path: Some("/news".into()),
        }
    }

    fn tracer() -> (Tracer, Taken) {
        let taken = Taken::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_span_processor(taken.clone());
        (Tracer::of(provider.build()), taken)
    }

    fn asked(fields: &[(&str, &str)]) -> request::Parts {
        let request = Request::get("/news?token=hush");
        let request = fields.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.body(()).expect("a request").into_parts().0
    }

    /// The one line of it: trace, parent and flags.
    fn told(headers: &HeaderMap) -> [&str; 3] {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            panic!("not one line");
        };
        let parts: Vec<_> = line.to_str().expect("text").split('-').collect();
        let [version, trace, parent, flags] = parts[..] else {
            panic!("{line:?}");
        };
        assert_eq!(version, "00");
        [trace, parent, flags]
    }

    #[test]
    fn what_goes_upstream_has_the_span_as_its_parent_in_the_trace_of_the_client() {
        for (flags, passed, exported) in [("01", "01", 1), ("03", "01", 1), ("00", "00", 0)] {
            let (tracer, taken) = tracer();
            let came = format!("00-{TRACE}-{PARENT}-{flags}");
            let states = ["a=1, b==x", "c=3"];
            let mut parts = asked(&[
                ("traceparent", &came),
                ("tracestate", states[0]),
                ("tracestate", states[1]),
            ]);
            drop(tracer.request(&route(), &mut parts));
            drop(RequestSpan::of(&std::mem::take(&mut parts.extensions)));
            let [trace, parent, flags] = told(&parts.headers);
            assert_eq!((trace, flags), (TRACE, passed));
            assert_ne!(parent, PARENT);
            assert!(parts.headers.get_all(TRACESTATE).iter().eq(states));
            let spans = std::mem::take(&mut *taken.0.lock().expect("no panic"));
            assert_eq!(spans.len(), exported);
            for span in spans {
                assert_eq!(span.parent_span_id.to_string(), PARENT);
                assert_eq!(span.span_context.span_id().to_string(), parent);
                assert_eq!(span.name, "GET /news");
            }
        }
    }

    #[test]
    fn what_is_no_trace_is_not_passed_on() {
        let twice = format!("00-{TRACE}-{PARENT}-01");
        for lines in [
            vec![],
            vec!["nonsense"],
            vec!["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            vec![&*twice, &*twice],
        ] {
            let (tracer, _) = tracer();
            let mut fields: Vec<_> = lines.iter().map(|line| ("traceparent", *line)).collect();
            fields.push(("tracestate", "a=1"));
            let mut parts = asked(&fields);
            let span = tracer.request(&route(), &mut parts).expect("a span");
            let [trace, parent, flags] = told(&parts.headers);
            assert_eq!(trace, span.context().trace_id().to_string());
            assert_eq!(parent, span.context().span_id().to_string());
            assert_eq!(flags, "01");
            assert_ne!(trace, TRACE);
            assert!(!parts.headers.contains_key(TRACESTATE));
        }
    }

    #[test]
    fn a_span_behind_the_end_leaves_what_the_client_said() {
        let (tracer, _) = tracer();
        tracer.0.provider.shutdown().expect("it ends");
        let came = format!("00-{TRACE}-{PARENT}-01");
        let mut parts = asked(&[("traceparent", &came)]);
        drop(tracer.request(&route(), &mut parts));
        assert_eq!(told(&parts.headers)[0], TRACE);
    }
}
