//! The log: one line an occurrence on standard error, as text or JSON.
//!
//! Whoever logs leaves a line in a queue and goes on; a thread writes. So a standard error that nobody reads costs lines
//! and nothing else. Nothing may be written to it directly while the gateway serves.

pub(crate) mod limiter;
mod queue;
pub(crate) mod shown_path;
mod text;
pub(crate) mod trace;

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tracing::field::debug;
use tracing::{Level, Metadata, Value};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Error, LogFilter, LogFormat};
use crate::log::queue::Queue;
use crate::log::text::Text;

/// How long the end of the process waits for its last lines to be read.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Whether lines are JSON.
static IS_JSON: AtomicBool = AtomicBool::new(false);

static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::default);

/// The log, which is written out when this is dropped, if somebody reads it.
pub(crate) struct Log(());

/// Begins to log.
///
/// # Errors
///
/// When there can be no thread to write it.
pub(crate) fn init(format: LogFormat, filter: LogFilter) -> Result<Log, Error> {
    IS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    let lines = match format {
        LogFormat::Text if io::stderr().is_terminal() => fmt::layer()
            .with_timer(Now)
            .with_writer(Lines)
            .with_target(false)
            .boxed(),
        LogFormat::Text => Text(|line: &str| QUEUE.push(line.as_bytes())).boxed(),
        LogFormat::Json => fmt::layer()
            .with_timer(Now)
            .with_writer(Lines)
            .json()
            .flatten_event(true)
            .with_target(false)
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter.0.and(filter_fn(is_discreet))))
        .init();
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(|| QUEUE.write_to(io::stderr(), tell_of_lost))
        .map_err(|error| Error::at("log", error))?;
    // That of the standard library writes to standard error, and waits for it.
    std::panic::set_hook(Box::new(|panic| {
        let panic = panic.to_string().replace('\n', " ");
        tracing::error!("{panic}; this is a bug");
    }));
    Ok(Log(()))
}

/// A time as the value of a field: with its unit for people, as a number of milliseconds for machines.
pub(crate) fn time_value(time: Duration) -> Box<dyn Value> {
    match IS_JSON.load(Ordering::Relaxed) {
        true => Box::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        false => Box::new(debug(time)),
    }
}

/// Lines that were left out since the start, because nobody read the log in time.
pub(crate) fn lines_dropped() -> u64 {
    QUEUE.dropped()
}

fn tell_of_lost(lines: u64) {
    tracing::warn!(
        lines,
        "lines are missing here: the log was not read in time"
    );
}

impl Drop for Log {
    fn drop(&mut self) {
        QUEUE.flush(LAST_LINES);
    }
}

/// The time of a line, as `tracing` writes it, at less cost than there.
struct Now;

impl FormatTime for Now {
    fn format_time(&self, to: &mut Writer<'_>) -> std::fmt::Result {
        write!(
            to,
            "{}",
            humantime::format_rfc3339_micros(SystemTime::now())
        )
    }
}

/// Where `tracing` leaves its lines.
struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        Lines
    }
}

impl Write for Lines {
    /// `tracing` writes each line in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// At its lower levels h2 repeats the path and query of a request that is malformed, and tokens come in these.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    let of_h2 = metadata.target() == "h2" || metadata.target().starts_with("h2::");
    !of_h2 || *metadata.level() <= Level::WARN
}
