//! Stages made of stages. All forwarding is in this file; a probe tests that no hook is forgotten.

use std::task::Waker;

use http::{request, response};
use tokio::time::Instant;

use super::{Bypass, End, Outbox, Passing, Stage, Times};
use crate::wire::{Event, LargeEvent};

/// A stage that can be boxed and still be cloned for each request: `Box<dyn CloneStage>`.
///
/// It is implemented for every stage that fits; for when the stages are chosen at run time.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{EventLayer, stage::{CloneStage, Heartbeat, Retry}};
///
/// # let quiet = false;
/// let stage: Box<dyn CloneStage> = if quiet {
///     Box::new(Retry::after(Duration::from_secs(3)))
/// } else {
///     Box::new(Heartbeat::every(Duration::from_secs(15)))
/// };
/// let layer = EventLayer::new(stage);
/// # let _ = layer.clone();
/// ```
pub trait CloneStage: Stage + Send + Sync {
    /// Clones it into a box of its own.
    fn clone_stage(&self) -> Box<dyn CloneStage>;
}

impl<S: Stage + Clone + Send + Sync + 'static> CloneStage for S {
    fn clone_stage(&self) -> Box<dyn CloneStage> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn CloneStage> {
    fn clone(&self) -> Self {
        (**self).clone_stage()
    }
}

/// Nothing, when there is no stage.
#[deny(clippy::missing_trait_methods)]
impl<S: Stage> Stage for Option<S> {
    #[inline]
    fn on_request(&mut self, request: &request::Parts, times: &Times) {
        if let Some(stage) = self {
            stage.on_request(request, times);
        }
    }

    #[inline]
    fn on_response(&mut self, response: &mut response::Parts, times: &Times, out: &mut Outbox) {
        if let Some(stage) = self {
            stage.on_response(response, times, out);
        }
    }

    #[inline]
    fn on_bypass(&mut self, response: &response::Parts, why: Bypass, times: &Times) {
        if let Some(stage) = self {
            stage.on_bypass(response, why, times);
        }
    }

    #[inline]
    fn on_event(&mut self, event: Event, times: &Times) -> Option<Event> {
        match self {
            Some(stage) => stage.on_event(event, times),
            None => Some(event),
        }
    }

    #[inline]
    fn passes(&self) -> bool {
        self.as_ref().is_none_or(Stage::passes)
    }

    #[inline]
    fn passing(&mut self) -> Passing<'_> {
        match self {
            Some(stage) => stage.passing(),
            None => Passing::Unseen,
        }
    }

    #[inline]
    fn on_passed(&mut self, events: u64, times: &Times) {
        if let Some(stage) = self {
            stage.on_passed(events, times);
        }
    }

    #[inline]
    fn on_large_event(&mut self, event: &LargeEvent, times: &Times) {
        if let Some(stage) = self {
            stage.on_large_event(event, times);
        }
    }

    #[inline]
    fn deadline(&self, times: &Times) -> Option<Instant> {
        self.as_ref().and_then(|stage| stage.deadline(times))
    }

    #[inline]
    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        if let Some(stage) = self {
            stage.on_deadline(times, out);
        }
    }

    #[inline]
    fn on_sent(&mut self, times: &Times) {
        if let Some(stage) = self {
            stage.on_sent(times);
        }
    }

    #[inline]
    fn on_end(&mut self, end: End, times: &Times) {
        if let Some(stage) = self {
            stage.on_end(end, times);
        }
    }

    #[inline]
    fn on_wait(&mut self, waker: &Waker) {
        if let Some(stage) = self {
            stage.on_wait(waker);
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: Stage + ?Sized> Stage for Box<S> {
    #[inline]
    fn on_request(&mut self, request: &request::Parts, times: &Times) {
        (**self).on_request(request, times);
    }

    #[inline]
    fn on_response(&mut self, response: &mut response::Parts, times: &Times, out: &mut Outbox) {
        (**self).on_response(response, times, out);
    }

    #[inline]
    fn on_bypass(&mut self, response: &response::Parts, why: Bypass, times: &Times) {
        (**self).on_bypass(response, why, times);
    }

    #[inline]
    fn on_event(&mut self, event: Event, times: &Times) -> Option<Event> {
        (**self).on_event(event, times)
    }

    #[inline]
    fn passes(&self) -> bool {
        (**self).passes()
    }

    #[inline]
    fn passing(&mut self) -> Passing<'_> {
        (**self).passing()
    }

    #[inline]
    fn on_passed(&mut self, events: u64, times: &Times) {
        (**self).on_passed(events, times);
    }

    #[inline]
    fn on_large_event(&mut self, event: &LargeEvent, times: &Times) {
        (**self).on_large_event(event, times);
    }

    #[inline]
    fn deadline(&self, times: &Times) -> Option<Instant> {
        (**self).deadline(times)
    }

    #[inline]
    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        (**self).on_deadline(times, out);
    }

    #[inline]
    fn on_sent(&mut self, times: &Times) {
        (**self).on_sent(times);
    }

    #[inline]
    fn on_end(&mut self, end: End, times: &Times) {
        (**self).on_end(end, times);
    }

    #[inline]
    fn on_wait(&mut self, waker: &Waker) {
        (**self).on_wait(waker);
    }
}

macro_rules! tuple {
    ($($stage:ident $index:tt),+) => {
        /// One after the other, from the first to the last.
        #[deny(clippy::missing_trait_methods)]
        impl<$($stage: Stage),+> Stage for ($($stage,)+) {
            #[inline]
            fn on_request(&mut self, request: &request::Parts, times: &Times) {
                $(self.$index.on_request(request, times);)+
            }

            #[inline]
            fn on_response(&mut self, response: &mut response::Parts, times: &Times, out: &mut Outbox) {
                $(self.$index.on_response(response, times, out);)+
            }

            #[inline]
            fn on_bypass(&mut self, response: &response::Parts, why: Bypass, times: &Times) {
                $(self.$index.on_bypass(response, why, times);)+
            }

            #[inline(always)]
            fn on_event(&mut self, event: Event, times: &Times) -> Option<Event> {
                $(let event = self.$index.on_event(event, times)?;)+
                Some(event)
            }

            #[inline]
            fn passes(&self) -> bool {
                $(self.$index.passes())&&+
            }

            #[inline]
            fn passing(&mut self) -> Passing<'_> {
                let passing = Passing::Unseen;
                $(let passing = passing.and(self.$index.passing());)+
                passing
            }

            #[inline(always)]
            fn on_passed(&mut self, events: u64, times: &Times) {
                $(self.$index.on_passed(events, times);)+
            }

            #[inline]
            fn on_large_event(&mut self, event: &LargeEvent, times: &Times) {
                $(self.$index.on_large_event(event, times);)+
            }

            #[inline]
            fn deadline(&self, times: &Times) -> Option<Instant> {
                let mut nearest = None;
                $(nearest = earlier(nearest, self.$index.deadline(times));)+
                nearest
            }

            #[inline]
            fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
                $(self.$index.on_deadline(times, out);)+
            }

            #[inline(always)]
            fn on_sent(&mut self, times: &Times) {
                $(self.$index.on_sent(times);)+
            }

            #[inline]
            fn on_end(&mut self, end: End, times: &Times) {
                $(self.$index.on_end(end, times);)+
            }

            #[inline]
            fn on_wait(&mut self, waker: &Waker) {
                $(self.$index.on_wait(waker);)+
            }
        }
    };
}

tuple!(S0 0);
tuple!(S0 0, S1 1);
tuple!(S0 0, S1 1, S2 2);
tuple!(S0 0, S1 1, S2 2, S3 3);
tuple!(S0 0, S1 1, S2 2, S3 3, S4 4);
tuple!(S0 0, S1 1, S2 2, S3 3, S4 4, S5 5);
tuple!(S0 0, S1 1, S2 2, S3 3, S4 4, S5 5, S6 6);
tuple!(S0 0, S1 1, S2 2, S3 3, S4 4, S5 5, S6 6, S7 7);
tuple!(S0 0, S1 1, S2 2, S3 3, S4 4, S5 5, S6 6, S7 7, S8 8);
tuple!(S0 0, S1 1, S2 2, S3 3, S4 4, S5 5, S6 6, S7 7, S8 8, S9 9);
tuple!(S0 0, S1 1, S2 2, S3 3, S4 4, S5 5, S6 6, S7 7, S8 8, S9 9, S10 10);
tuple!(S0 0, S1 1, S2 2, S3 3, S4 4, S5 5, S6 6, S7 7, S8 8, S9 9, S10 10, S11 11);

/// No stages at all.
impl Stage for () {
    #[inline]
    fn passes(&self) -> bool {
        true
    }
}

#[inline]
fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
