//! Ends a stream with the token that has opened it.

use std::time::Duration;

use http::request;
use tokio::time::Instant;
use tower_sse::stage::{Farewell, Outbox, Reason, Stage, Times};

/// When what allowed a request ends: an extension of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpiresAt(Instant);

/// The clock cannot add every duration.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl ExpiresAt {
    pub(crate) fn after(time: Duration) -> Self {
        ExpiresAt(Instant::now() + time.min(LONGEST))
    }
}

/// A stage that ends its stream then.
#[derive(Clone, Debug)]
pub(crate) struct Expiry {
    farewell: Farewell,
    end: Option<Instant>,
}

impl Expiry {
    pub(super) fn new(farewell: Farewell) -> Self {
        let end = None;
        Expiry { farewell, end }
    }
}

const EXPIRED: Reason = Reason::new("expired");

impl Stage for Expiry {
    fn on_request(&mut self, request: &request::Parts, _: &Times) {
        self.end = request.extensions.get().map(|ExpiresAt(end)| *end);
    }

    fn passes(&self) -> bool {
        true
    }

    fn deadline(&self, _: &Times) -> Option<Instant> {
        self.end
    }

    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        if self.end.is_some_and(|end| end <= times.now) {
            self.farewell.write(EXPIRED, out);
        }
    }
}
