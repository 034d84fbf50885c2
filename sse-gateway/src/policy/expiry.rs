//! When what allowed a request ends.

use std::time::Duration;

use tokio::time::Instant;

/// That, as an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpiresAt(pub(crate) Instant);

/// The clock cannot add every duration.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl ExpiresAt {
    pub(crate) fn after(time: Duration) -> Self {
        ExpiresAt(Instant::now() + time.min(LONGEST))
    }
}
