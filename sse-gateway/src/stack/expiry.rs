//! Ends a stream with the token that has opened it.

use http::request;
use tokio::time::Instant;
use tower_sse::stage::{Farewell, Outbox, Reason, Stage, Times};

use crate::policy::expiry::ExpiresAt;

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
