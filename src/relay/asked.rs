//! A request to the upstream whose answer is read by a relay.

use http::{Method, request, response};
use tokio::time::Instant;

use super::config::Config;
use crate::stage::{self, CloneStage, EndNote, Pipeline, Stage, Times};

/// The stages of the upstream's stream, at work.
pub(super) type Upstreams = Pipeline<Box<dyn CloneStage>>;

/// What is known of a request that was made.
pub(super) struct Asked {
    note: EndNote,
    stages: Option<Box<dyn CloneStage>>,
    at: Instant,
    is_finite: bool,
    max_event_bytes: usize,
    /// Once its stream has opened.
    pipeline: Option<Upstreams>,
}

impl Asked {
    /// For a request that is about to be made.
    pub(super) fn of(config: &Config, request: &mut request::Parts) -> Self {
        let note = EndNote::default();
        request.extensions.insert(note.clone());
        let mut stages: Box<dyn CloneStage> = match &config.upstream_stages {
            Some(stages) => stages.0.clone(),
            None => Box::new(()),
        };
        let at = Instant::now();
        stages.on_request(request, &Times::at(at));
        Asked {
            note,
            stages: Some(stages),
            at,
            is_finite: request.method != Method::GET,
            max_event_bytes: config.max_event_bytes,
            pipeline: None,
        }
    }

    /// The head of the answer has come.
    pub(super) fn answered(&mut self, head: &mut response::Parts) {
        let Some(mut stages) = self.stages.take() else {
            return;
        };
        let mut times = Times::at(Instant::now());
        times.requested = self.at;
        if let Some(why) = stage::bypass(head, false) {
            stages.on_bypass(head, why, &times);
            return;
        }
        let note = Some(self.note.clone());
        let pipeline = Pipeline::open_with(stages, head, times, self.is_finite, note)
            .with_max_event_bytes(self.max_event_bytes)
            .completing_cr();
        self.pipeline = Some(pipeline);
    }

    /// What the stream goes through, if it has opened.
    pub(super) fn pipeline(&mut self) -> Option<Upstreams> {
        self.pipeline.take()
    }

    /// Whether a stage has ended the stream, here or behind the service: then not all was said.
    pub(super) fn is_ended_by_stage(&self) -> bool {
        self.note.is_by_stage()
    }
}
