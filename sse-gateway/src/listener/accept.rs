//! Accepts connections, as far as there are descriptors.

use std::fmt::Display;
use std::io;
use std::pin::pin;
use std::time::Duration;

use metrics::counter;

use super::connected::Connected;
use super::connection::Serving;
use super::{Answers, Listener};
use crate::descriptors::For;
use crate::log::limiter::{self, Limiter};
use crate::shutdown::{Phase, Shutdown};
use crate::workers::Workers;

pub(crate) const ACCEPT_PAUSES: &str = "sse_accept_pauses_total";
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves connections until `shutdown` begins, and resolves when the last of them is gone.
///
/// Where no descriptors are left for those that it is for, connections wait in its queue. `make` gives the service of a
/// new connection, and one of the workers serves it.
pub(crate) async fn run<L, F, S>(
    whose: For,
    listener: L,
    make: F,
    workers: Workers,
    shutdown: Shutdown,
) where
    L: Listener,
    F: Fn() -> S,
    S: Answers,
{
    accept(whose, listener, make, &workers, &shutdown).await;
    shutdown.idle().await;
}

async fn accept<L, F, S>(whose: For, listener: L, make: F, workers: &Workers, shutdown: &Shutdown)
where
    L: Listener,
    F: Fn() -> S,
    S: Answers,
{
    let mut stop = pin!(shutdown.reached(Phase::Graceful));
    let pauses = Pauses::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((accepted, info)) => {
                let descriptor = whose.descriptor();
                // This one waits for room, and so nothing is accepted behind it.
                if !whose.has_room(&descriptor) {
                    pauses.begin(whose, &"all are in use");
                    tokio::select! {
                        () = &mut stop => return,
                        () = whose.room(&descriptor) => {}
                    }
                }
                let open = shutdown.connection();
                let service = Connected::new(make(), info, whose);
                let shutdown = shutdown.clone();
                workers.serve(|seat| {
                    let held = (descriptor, Some(seat));
                    Serving::new(move || L::open(accepted), held, service, shutdown, open)
                });
            }
            // The client left before it was accepted.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                pauses.begin(whose, &error);
                tokio::select! {
                    () = &mut stop => return,
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                }
            }
        }
    }
}

/// What is told of times in which nothing is accepted.
struct Pauses {
    warnings: Limiter,
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses {
            warnings: Limiter::every(Duration::from_secs(10)),
        }
    }
}

impl Pauses {
    fn begin(&self, whose: For, why: &dyn Display) {
        counter!(ACCEPT_PAUSES).increment(1);
        if let Some(suppressed) = self.warnings.pass("pause") {
            let suppressed = limiter::told(suppressed);
            tracing::warn!(
                listener = ?whose,
                %why,
                suppressed,
                "no descriptors for more connections; they wait until others close"
            );
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
