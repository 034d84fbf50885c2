//! From the order to stop to the end, in an order that no client suffers from.
//!
//! 1. `/readyz` says no, the listener and idle connections close without an answer: a browser whose reconnect is
//!    *answered* with anything but 200 never comes back, one that is refused tries again.
//! 2. Streams are drained over the window, with their farewell; finite ones and other requests finish, and so do answers whose
//!    clients have gone on at other gateways.
//! 3. At the deadline what is left is closed. A second order ends all streams at once, and closes what is left then.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tower_sse::stage::DrainHandle;

use crate::config::Error;
use crate::log::time_value;
use crate::reload::Reload;
use crate::shutdown::{Phase, Shutdown};
use crate::supervisor;

/// Last words written at the deadline get this long to reach their clients.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The orders of the operating system.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen for SIGTERM and SIGINT.
    pub(crate) fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(|error| Error::at("signals", error));
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}

/// Waits for the order to stop, then stops. `server` ends when the last connection is gone, and nothing is to
/// be read for others.
pub(crate) async fn when_told(
    mut signals: Signals,
    shutdown: Shutdown,
    drain: DrainHandle,
    reload: &Reload,
    mut server: JoinHandle<()>,
) -> ExitCode {
    // The admin listener orders it by beginning with the first step.
    tokio::select! {
        _ = signals.next() => shutdown.graceful(),
        () = shutdown.reached(Phase::Graceful) => {}
    }
    let (window, deadline) = reload.drain_times();
    tracing::info!(
        streams = drain.open_streams(),
        connections = shutdown.connections(),
        window = time_value(window),
        deadline = time_value(deadline),
        "draining"
    );
    supervisor::stopping(drain.open_streams(), deadline + LAST_WORDS * 4);
    drain.start();
    tokio::select! {
        _ = &mut server => {
            tracing::info!("drained, bye");
            return ExitCode::SUCCESS;
        }
        () = tokio::time::sleep(deadline + LAST_WORDS) => {
            tracing::warn!(
                streams = drain.open_streams(),
                connections = shutdown.connections() + shutdown.upgrades(),
                "closing what is left at the deadline"
            );
        }
        kind = signals.next() => {
            tracing::warn!(streams = drain.open_streams(), "closing at once, as told again");
            // Ended by us, they are not counted as clients that left.
            drain.hurry();
            let _ = tokio::time::timeout(LAST_WORDS, server).await;
            shutdown.now();
            // What a shell reports of a process that a signal ended.
            return ExitCode::from(128 + u8::try_from(kind.as_raw_value()).unwrap_or_default());
        }
    }
    shutdown.now();
    // Connections only have to be dropped now; one that would not be must not keep the process.
    let _ = tokio::time::timeout(LAST_WORDS, server).await;
    ExitCode::SUCCESS
}
