//! A span of OpenTelemetry for each request, by OTLP over HTTP: where the build has it, and it is on.
//!
//! A span begins in front of the routes and ends with the answer: an event stream's with the stream. What it says is what the
//! log says, and nothing is done for an event but the first. The fields that go upstream name it as their parent.
//!
//! A build without it has the same types, of which there are no values.

#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod counted;
#[cfg(not(feature = "otel"))]
mod none;
#[cfg(feature = "otel")]
mod span;
#[cfg(feature = "otel")]
mod tracer;
#[cfg(feature = "otel")]
mod variables;

use std::time::Duration;

#[cfg(not(feature = "otel"))]
pub(crate) use none::{RelaySpan, RequestSpan, Tracer};
#[cfg(feature = "otel")]
pub(crate) use span::{RelaySpan, RequestSpan};
#[cfg(feature = "otel")]
pub(crate) use tracer::Tracer;

/// So long the end of the process waits for its last spans to be taken.
pub(crate) const LAST_SPANS: Duration = Duration::from_secs(3);

/// What the routes of requests are known by.
#[derive(Clone, Debug)]
pub(crate) struct RouteName {
    /// That of metrics and the log.
    pub(crate) name: Box<str>,
    /// Which paths it takes, unless these are all that are left.
    #[cfg_attr(
        not(feature = "otel"),
        expect(dead_code, reason = "it is for spans alone")
    )]
    pub(crate) path: Option<Box<str>>,
}
