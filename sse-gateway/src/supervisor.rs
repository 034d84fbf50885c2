//! What the process that has started the gateway is told, where it asks to be (`NOTIFY_SOCKET`; sd_notify(3)).

use std::time::Duration;

use sd_notify::{NotifyState, notify};

/// Clients are accepted.
pub(crate) fn ready(listening: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(listening)]);
}

/// The settings are those of the file, or why they are not.
pub(crate) fn reloaded(told: &str) {
    tell(&[NotifyState::Status(told)]);
}

/// It stops, which takes this long at most.
pub(crate) fn stopping(streams: usize, at_most: Duration) {
    let micros = u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX);
    let status = format!("draining {streams} streams");
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status(&status),
        NotifyState::ExtendTimeoutUsec(micros),
    ]);
}

/// It has stopped but for this, which takes so long at most.
pub(crate) fn still_stopping(at: &str, at_most: Duration) {
    let micros = u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Status(at),
        NotifyState::ExtendTimeoutUsec(micros),
    ]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::warn!(%error, "whoever has started the gateway could not be told of it");
    }
}
