//! What this bench offers on the command line.

use std::time::Duration;

use crate::{
    Error,
    parts::options::{Offer, Taken, Value},
    targets::Target,
};

/// Idle streams, whose number is not to be chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// The two numbers of streams whose memory is compared.
    pub(crate) streams: [usize; 2],
    /// How long they are left alone before the memory is read again.
    pub(crate) wait: Duration,
}

pub(crate) type Options = crate::parts::options::Options<Idle>;

impl Default for Idle {
    fn default() -> Self {
        Self {
            streams: [1_000, 5_000],
            // Longer than the 15 seconds after which the gateway sends a heartbeat.
            wait: Duration::from_secs(17),
        }
    }
}

impl Offer for Idle {
    const BENCH: &'static str = "gateway";
    const OPTIONS: &'static [(&'static str, &'static str)] = &[];
    const QUICK: &'static str = "fewer idle streams, no heartbeat waited for";

    type Target = Target;

    fn take(&mut self, _word: &str, _value: &mut Value<'_, '_>) -> Result<Taken, Error> {
        Ok(Taken::Unknown)
    }

    fn be_quick(&mut self) {
        self.streams = [200, 1_000];
        self.wait = Duration::from_secs(1);
    }
}
