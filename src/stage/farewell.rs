//! Last words to a client before we close its stream.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Outbox, Reason, jitter};
use crate::wire::{EventBuilder, InvalidEventType};

/// What [`IdleTimeout`](super::IdleTimeout), [`Lifetime`](super::Lifetime) and [`Drain`](super::Drain)
/// write before they end a stream.
///
/// A comment with the reason always; a reconnection time with jitter, if there is one; and, if it is given
/// a type, an event whose data is the Unix time in milliseconds at which to reconnect, for clients that
/// close the stream by themselves and set a timer.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_sse::stage::{Drain, DrainHandle, Farewell};
///
/// let farewell = Farewell::new()
///     .with_retry(Duration::from_secs(3), 0.5)
///     .with_event("pause")?;
/// let handle = DrainHandle::new();
/// let stage = Drain::on(&handle).with_farewell(farewell);
/// # let _ = stage;
/// # Ok::<(), tower_sse::wire::InvalidEventType>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Farewell {
    retry: Option<(Duration, f64)>,
    event: Option<EventBuilder>,
}

/// What an EventSource waits when nobody tells it otherwise is up to the browser; most take this.
const DEFAULT_RETRY: Duration = Duration::from_secs(3);

impl Farewell {
    /// A comment with the reason, and nothing else.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the reconnection time anew, spread by this fraction.
    ///
    /// # Panics
    ///
    /// When the jitter is not from 0 to 1.
    ///
    /// ```should_panic
    /// use std::time::Duration;
    /// use tower_sse::stage::Farewell;
    ///
    /// Farewell::new().with_retry(Duration::from_secs(3), 50.0);
    /// ```
    #[must_use]
    pub fn with_retry(mut self, time: Duration, jitter: f64) -> Self {
        self.retry = Some((time, jitter::checked(jitter)));
        self
    }

    /// Adds an event of this type, for instance `pause`; its data is the Unix time in milliseconds at
    /// which to reconnect: after the reconnection time set here, or else after 3 s.
    ///
    /// # Errors
    ///
    /// When the type holds CR, LF or NULL.
    ///
    /// ```
    /// use tower_sse::stage::Farewell;
    ///
    /// assert!(Farewell::new().with_event("pause").is_ok());
    /// let error = Farewell::new().with_event("two\nlines").unwrap_err();
    /// assert_eq!(error.to_string(), "an event type cannot hold CR, LF or NULL, and byte 3 is one");
    /// ```
    pub fn with_event(mut self, event_type: impl AsRef<[u8]>) -> Result<Self, InvalidEventType> {
        self.event = Some(EventBuilder::new().event_type(event_type)?);
        Ok(self)
    }

    /// Writes the last words, and ends the stream for this reason.
    pub fn write(&self, reason: Reason, out: &mut Outbox) {
        out.comment(format!("closing: {reason}"));
        let time = self
            .retry
            .map(|(time, jitter)| jitter::spread(time, jitter));
        if let Some(time) = time {
            out.retry(time);
        }
        if let Some(event) = &self.event {
            // The client's clock is the wall's, not that of the runtime.
            let at = SystemTime::now()
                .checked_add(time.unwrap_or(DEFAULT_RETRY))
                .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
                .unwrap_or_default();
            out.event(&event.clone().data(at.as_millis().to_string()));
        }
        out.end(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::End;

    fn words(farewell: Farewell) -> String {
        let mut out = Outbox::new();
        farewell.write(Reason::DRAIN, &mut out);
        assert_eq!(out.ended(), Some(End::Closed(Reason::DRAIN)));
        String::from_utf8(out.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_reason_is_always_told() {
        assert_eq!(words(Farewell::new()), ": closing: drain\n");
    }

    #[test]
    fn the_time_to_reconnect_is_told_to_pages_that_set_a_timer() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let farewell = Farewell::new()
            .with_retry(Duration::from_secs(60), 0.0)
            .with_event("pause")
            .unwrap();
        let words = words(farewell);
        let data = words
            .strip_prefix(": closing: drain\nretry: 60000\nevent: pause\ndata: ")
            .and_then(|rest| rest.strip_suffix("\n\n"))
            .expect(&words);
        let at = u128::from(data.parse::<u64>().unwrap());
        assert!(at >= before.as_millis() + 60_000 && at < before.as_millis() + 120_000);
    }
}
