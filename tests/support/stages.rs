//! The stages of a plan: the crate's own, and some of the kind that users write.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use http::response;
use tokio::time::Instant;
use tower_sse::stage::{
    Drain, DrainHandle, End, EventIds, Farewell, Heartbeat, HeartbeatFrame, IdleTimeout, Lifetime,
    NoBuffering, Outbox, Retry, Stage, Times,
};
use tower_sse::wire::{Event, EventBuilder, EventId};

use super::plan::{self, DROPPED, FAREWELL_RETRY, MARK, RETRY};

/// All stages of a plan as one, and what they saw.
pub fn build(plan: &plan::Plan, drain: &DrainHandle, ends: &Ends) -> impl Stage + use<> {
    let mut stages = plan.stages.iter();
    let mut next = || stages.next().map(|stage| boxed(stage, drain));
    // A box, an option and nested tuples: the ways to make stages out of stages.
    (
        Probe(ends.clone()),
        (next(), next(), next()),
        (next(), (next(), Probe(ends.clone()))),
    )
}

fn boxed(stage: &plan::Stage, drain: &DrainHandle) -> Box<dyn Stage> {
    let words = |farewell: &bool| match farewell {
        false => Farewell::new(),
        true => Farewell::new()
            .with_retry(Duration::from_millis(FAREWELL_RETRY), 0.0)
            .with_event(format!("pause-{MARK}"))
            .expect("a valid type"),
    };
    match stage {
        plan::Stage::Nothing => Box::new(()),
        plan::Stage::Look => Box::new(Look::default()),
        plan::Stage::Heartbeat {
            every,
            frame,
            at_open,
        } => {
            let stage = Heartbeat::every(*every).with_frame(match frame {
                plan::Frame::Line => HeartbeatFrame::CommentLine,
                plan::Frame::Block => HeartbeatFrame::CommentBlock,
                plan::Frame::Event => {
                    HeartbeatFrame::event(format!("beat-{MARK}")).expect("a valid type")
                }
                plan::Frame::Text => HeartbeatFrame::Text(format!("beat-{MARK}\r\nid: {MARK}")),
            });
            Box::new(if *at_open { stage.at_open() } else { stage })
        }
        plan::Stage::EventIds { replacing: false } => Box::new(EventIds::sequential()),
        plan::Stage::EventIds { replacing: true } => Box::new(EventIds::sequential().replacing()),
        plan::Stage::Retry => Box::new(Retry::after(Duration::from_millis(RETRY))),
        plan::Stage::IdleTimeout {
            after,
            events_only,
            ignoring,
            farewell,
        } => {
            let mut stage = IdleTimeout::after(*after).with_farewell(words(farewell));
            if *events_only {
                stage = stage.events_only();
            }
            Box::new(if *ignoring {
                stage.ignoring("a")
            } else {
                stage
            })
        }
        plan::Stage::Lifetime { at_most, farewell } => Box::new(
            Lifetime::at_most(*at_most)
                .with_jitter(0.0)
                .with_farewell(words(farewell)),
        ),
        plan::Stage::Drain {
            window,
            deadline,
            farewell,
        } => Box::new(
            Drain::on(drain)
                .with_window(*window)
                .with_deadline(*deadline)
                .with_farewell(words(farewell)),
        ),
        plan::Stage::NoBuffering => Box::new(NoBuffering),
        plan::Stage::Drop => Box::new(Drop),
        plan::Stage::Rebuild => Box::new(Rebuild),
        plan::Stage::Write { every } => Box::new(Write {
            every: *every,
            next: None,
        }),
    }
}

/// How the stream ended, in the order in which the stages were told.
pub type Ends = Rc<RefCell<Vec<End>>>;

/// Checks the contract of [`Stage`] from the inside.
struct Probe(Ends);

impl Stage for Probe {
    fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
        assert!(self.0.borrow().is_empty(), "an event after the end");
        Some(event)
    }

    fn passes(&self) -> bool {
        true
    }

    fn on_passed(&mut self, events: u64, times: &Times) {
        assert!(self.0.borrow().is_empty(), "events after the end");
        assert!((1..=times.counts.events).contains(&events));
    }

    fn on_deadline(&mut self, times: &Times, _: &mut Outbox) {
        assert!(self.0.borrow().is_empty(), "a deadline after the end");
        assert!(times.sent <= times.now && times.received <= times.now);
    }

    fn on_end(&mut self, end: End, _: &Times) {
        self.0.borrow_mut().push(end);
    }
}

/// Looks at everything and changes nothing.
#[derive(Default)]
struct Look(usize);

impl Stage for Look {
    fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
        self.0 += event.len() + event.event_type().len() + event.comments().count();
        self.0 += event.data().map_or(0, |data| data.len()) + event.id().map_or(0, <[u8]>::len);
        Some(event)
    }
}

struct Drop;

impl Stage for Drop {
    fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
        (event.event_type() != DROPPED.as_bytes()).then_some(event)
    }
}

struct Rebuild;

impl Stage for Rebuild {
    fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
        let Some(data) = event.data() else {
            return Some(event);
        };
        // What a builder cannot write stays as it is.
        let Ok(mut anew) = EventBuilder::new().event_type(event.event_type()) else {
            return Some(event);
        };
        if event.retry().is_some() {
            return Some(event);
        }
        if let Some(id) = event.id() {
            anew = anew.id(EventId::new(id).expect("it was one"));
        }
        Some(anew.data(data).line_ending(event.line_ending()).build())
    }
}

struct Write {
    every: Duration,
    next: Option<Instant>,
}

impl Stage for Write {
    fn on_response(&mut self, _: &mut response::Parts, times: &Times, _: &mut Outbox) {
        self.next = times.opened.checked_add(self.every);
    }

    fn deadline(&self, _: &Times) -> Option<Instant> {
        self.next
    }

    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        if self.next.is_some_and(|next| next <= times.now) {
            let event = EventBuilder::new()
                .comment(format!("own-{MARK}"))
                .event_type(format!("own-{MARK}"))
                .expect("a valid type");
            out.event(&event.data("one\r\ntwo\n\nid: 3"));
            self.next = times.now.checked_add(self.every);
        }
    }
}
