//! Ends a stream that is old enough.
//!
//! Streams that never end stay where they were opened: after a deploy or a scale-out the new instances
//! have none. A lifetime lets them move, at a boundary between two events and with a [`Farewell`], and a
//! client of the standard comes back by itself.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tower_sse::{EventLayer, stage::Lifetime};
//!
//! let layer = EventLayer::new(Lifetime::at_most(Duration::from_secs(3600)));
//! # let _ = layer.clone();
//! ```

use std::sync::Arc;
use std::time::Duration;

use http::response;
use tokio::time::Instant;

use super::{Farewell, Outbox, Reason, Stage, Times, jitter};

/// Ends a stream that is old enough. See the [module docs](self).
#[derive(Clone, Debug)]
pub struct Lifetime {
    settings: Arc<Settings>,
    end: Option<Instant>,
}

/// Shared, since each stream has its copy of the stage.
#[derive(Clone, Debug)]
struct Settings {
    time: Duration,
    jitter: f64,
    farewell: Farewell,
}

const DEFAULT_JITTER: f64 = 0.1;

impl Lifetime {
    /// Ends streams at about this age, 10 % more or less unless set otherwise.
    pub fn at_most(time: Duration) -> Self {
        Lifetime {
            settings: Arc::new(Settings {
                time,
                jitter: DEFAULT_JITTER,
                farewell: Farewell::default(),
            }),
            end: None,
        }
    }

    /// Spreads the ages by this fraction, up and down. Default: 0.1.
    ///
    /// # Panics
    ///
    /// When it is not from 0 to 1.
    ///
    /// ```should_panic
    /// use std::time::Duration;
    /// use tower_sse::stage::Lifetime;
    ///
    /// Lifetime::at_most(Duration::from_secs(3600)).with_jitter(-0.1);
    /// ```
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.set().jitter = jitter::checked(jitter);
        self
    }

    /// Sets the last words to the client.
    #[must_use]
    pub fn with_farewell(mut self, farewell: Farewell) -> Self {
        self.set().farewell = farewell;
        self
    }

    fn set(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

impl Stage for Lifetime {
    fn on_response(&mut self, _: &mut response::Parts, times: &Times, _: &mut Outbox) {
        let age = jitter::spread(self.settings.time, self.settings.jitter);
        self.end = times.opened.checked_add(age);
    }

    #[inline]
    fn passes(&self) -> bool {
        true
    }

    fn deadline(&self, _: &Times) -> Option<Instant> {
        self.end
    }

    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        if self.end.is_some_and(|end| end <= times.now) {
            self.settings.farewell.write(Reason::LIFETIME, out);
        }
    }
}
