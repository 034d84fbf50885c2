//! The log: one line an occurrence on standard error, as text or JSON.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::LogFormat;

/// Begins to log. `RUST_LOG` takes targets and levels such as `sse_gateway=debug,hyper=info`; without it,
/// what matters to an operator is logged.
pub(crate) fn init(format: LogFormat) {
    let chosen = std::env::var("RUST_LOG")
        .ok()
        .and_then(|text| text.parse::<Targets>().ok());
    let targets = chosen.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = match format {
        LogFormat::Text => fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .with_writer(io::stderr)
            .json()
            .flatten_event(true)
            .with_target(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(targets.and(filter_fn(is_discreet))))
        .init();
}

/// At its lower levels h2 repeats the path and query of a request that is malformed, and tokens come in these.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    let of_h2 = metadata.target() == "h2" || metadata.target().starts_with("h2::");
    !of_h2 || *metadata.level() <= Level::WARN
}
