//! A stage that logs each call.

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use http::{request, response};
use tokio::time::Instant;
use tower_sse::stage::{Bypass, End, Outbox, Passing, Stage, Times};
use tower_sse::wire::{Event, LargeEvent};

/// What the stages of one test were told, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// A stage that logs under this name.
    pub(crate) fn probe(&self, name: impl ToString) -> Probe {
        Probe {
            name: name.to_string(),
            log: self.clone(),
            wait: None,
        }
    }

    /// What was logged since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// How streams ended, since the last time, with the second of their life.
    pub(crate) fn ends(&self) -> Vec<String> {
        let mut all = self.take();
        all.retain(|line| line.contains("on_end"));
        all
    }

    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

/// A stage that logs each call, and changes nothing. `deadline` is logged too.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    name: String,
    log: Log,
    wait: Option<Duration>,
}

impl Probe {
    /// It has a deadline, once, so long after the stream was opened.
    pub(crate) fn with_deadline(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    fn log(&self, call: &str) {
        self.log.add(format!("{} {call}", self.name));
    }
}

#[deny(clippy::missing_trait_methods)]
impl Stage for Probe {
    fn on_request(&mut self, request: &request::Parts, _: &Times) {
        self.log(&format!("on_request {}", request.uri));
    }

    fn on_response(&mut self, response: &mut response::Parts, _: &Times, out: &mut Outbox) {
        self.log(&format!("on_response {}", response.status));
        out.comment(&self.name);
    }

    fn on_bypass(&mut self, _: &response::Parts, why: Bypass, _: &Times) {
        self.log(&format!("on_bypass {why:?}"));
    }

    fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
        self.log(&format!("on_event {}", event.to_bytes().escape_ascii()));
        Some(event)
    }

    fn passes(&self) -> bool {
        self.log("passes");
        true
    }

    fn passing(&mut self) -> Passing<'_> {
        self.log("passing");
        Passing::Unseen
    }

    fn on_passed(&mut self, events: u64, _: &Times) {
        self.log(&format!("on_passed {events}"));
    }

    fn on_large_event(&mut self, event: &LargeEvent, _: &Times) {
        let id = event.id().unwrap_or(b"none").escape_ascii().to_string();
        self.log(&format!("on_large_event {id}"));
    }

    fn deadline(&self, times: &Times) -> Option<Instant> {
        self.log("deadline");
        self.wait.map(|wait| times.opened + wait)
    }

    fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
        let at = (times.now - times.opened).as_secs();
        self.log(&format!("on_deadline {at}"));
        if self
            .wait
            .is_some_and(|wait| times.opened + wait <= times.now)
        {
            out.comment(&self.name);
            self.wait = None;
        }
    }

    fn on_sent(&mut self, _: &Times) {
        self.log("on_sent");
    }

    fn on_end(&mut self, end: End, times: &Times) {
        let at = (times.now - times.opened).as_secs();
        self.log(&format!("on_end {end} {at}"));
    }

    fn on_wait(&mut self, _: &Waker) {
        self.log("on_wait");
    }
}
