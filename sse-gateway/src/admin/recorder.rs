//! The recorder behind the `metrics` facade, rendered as Prometheus text.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::config::Error;
use crate::stack::requests::SECONDS;

/// From a token's pause to a stream that is open all day.
const DURATIONS: &[f64] = &[
    0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0,
];
/// How long somebody waits for something to begin.
const WAITS: &[f64] = &[
    0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Silences; shorter ones are not recorded.
const GAPS: &[f64] = &[1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// The exporter keeps every sample of a histogram until it is told to sum them up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder. To be called before the first metric is made, in the runtime.
///
/// # Errors
///
/// When there is one already.
pub(crate) fn install() -> Result<PrometheusHandle, Error> {
    let handle = builder()
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Error::at("metrics", error))?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, metrics_exporter_prometheus::BuildError> {
    [
        ("sse_stream_duration_seconds", DURATIONS),
        ("sse_head_seconds", WAITS),
        (SECONDS, WAITS),
        ("sse_first_event_seconds", WAITS),
        ("sse_event_gap_seconds", GAPS),
    ]
    .into_iter()
    .try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
    })
}
