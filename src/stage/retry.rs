//! Sets the reconnection time.
//!
//! A browser whose stream breaks waits for its reconnection time, about three seconds unless told otherwise, and
//! all browsers wait alike: after a restart they come back in the same moment. With jitter they do not.
//! The line stands in front of the first event with data, without a blank line: clients apply it when they read it.
//! What comes before that event, such as comments, stays in front of it, and if a heartbeat is due first, it goes out
//! with that. A `retry` of the upstream comes later and so wins.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{EventLayer, stage::Retry};
//!
//! let layer = EventLayer::new(Retry::after(Duration::from_secs(3)).with_jitter(0.5));
//! # let _ = layer.clone();
//! ```

use std::time::Duration;

use http::response;

use super::{Outbox, Stage, Times, jitter};

/// Sets the reconnection time at the beginning of a stream. See the [module docs](self).
#[derive(Clone, Debug)]
pub struct Retry {
    time: Duration,
    jitter: f64,
}

impl Retry {
    /// Sets this reconnection time, to the millisecond.
    pub fn after(time: Duration) -> Self {
        Retry { time, jitter: 0.0 }
    }

    /// Spreads the times by this fraction: 3 s with 0.5 is something from 1.5 s to 4.5 s. Default: 0.
    ///
    /// # Panics
    ///
    /// When it is not from 0 to 1.
    ///
    /// ```should_panic
    /// use std::time::Duration;
    /// use tower_sse::stage::Retry;
    ///
    /// Retry::after(Duration::from_secs(3)).with_jitter(f64::NAN);
    /// ```
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter::checked(jitter);
        self
    }
}

impl Stage for Retry {
    fn on_response(&mut self, _: &mut response::Parts, _: &Times, out: &mut Outbox) {
        out.retry(jitter::spread(self.time, self.jitter));
    }

    #[inline]
    fn passes(&self) -> bool {
        true
    }
}
