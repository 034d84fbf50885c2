//! Reads the upstream's stream: chunks in, drafts for the history out.

use std::cmp::Ordering;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::asked::Upstreams;
use super::config::Config;
use super::gap;
use crate::history::{Draft, MemoryLog, order};
use crate::wire::{
    Decoded, Event, EventBuilder, EventId, LargeEvent, LineEnding, millis, write_line,
};

/// What is known of the upstream over all of its connections.
pub(super) struct Reading {
    /// The answer to a request that is not made again.
    is_finite: bool,
    /// Something is missing of which clients are not told: they are not to be told either that they have all.
    pub(super) has_untold_gap: bool,
    /// What the events of this connection go through.
    stages: Option<Upstreams>,
    /// How the last line ended that was read.
    ending: LineEnding,
    /// The last event ID that it has set.
    pub(super) last_id: Option<Bytes>,
    /// Where what is behind it begins.
    pub(super) behind_last_id: Option<u64>,
    pub(super) retry: Option<Duration>,
    /// Events with data on this connection.
    pub(super) events: u64,
    /// Whether the upstream has begun to count anew in what was read last.
    pub(super) has_begun_anew: bool,
    /// What is in front of this position was counted otherwise, and is not sent again.
    pub(super) counted_from: u64,
    again: Option<Again>,
}

/// Looks for events that the upstream sends again after a connection was lost.
struct Again {
    /// What was there before this connection is in front of this position.
    before: u64,
    /// The last that was sent again: they come in order, so one that is like an earlier one is new.
    last: Option<u64>,
    /// Where the one behind it begins, while it was the event before: it may have no id. At first, where the upstream
    /// was asked to go on.
    run: Option<u64>,
    /// What the upstream was asked to go on behind, until it has.
    asked: Option<Bytes>,
    /// What comes may have come before, and is not kept any more.
    may_repeat: bool,
    /// See [`Reading::counted_from`].
    counted_from: u64,
}

impl Reading {
    pub(super) fn new(last_id: Option<Bytes>, is_finite: bool) -> Self {
        Reading {
            is_finite,
            has_untold_gap: false,
            stages: None,
            ending: LineEnding::default(),
            behind_last_id: last_id.as_ref().map(|_| 0),
            last_id,
            retry: None,
            events: 0,
            has_begun_anew: false,
            counted_from: 0,
            again: None,
        }
    }

    /// Whether the upstream sets ids, or did once.
    pub(super) fn has_ids(&self) -> bool {
        self.last_id.is_some() || self.behind_last_id.is_some()
    }

    /// A new connection. What is in front of the position came over an earlier one.
    pub(super) fn begin(&mut self, stages: Option<Upstreams>, before: Option<u64>, resumes: bool) {
        self.stages = stages;
        self.events = 0;
        self.again = before.map(|before| Again {
            before,
            last: None,
            run: self.behind_last_id.filter(|_| resumes),
            asked: self.last_id.clone().filter(|_| resumes),
            may_repeat: false,
            counted_from: self.counted_from,
        });
    }

    /// Takes the events out of chunks. Those that were sent again are left out.
    pub(super) fn read(
        &mut self,
        chunks: Vec<Bytes>,
        config: &Config,
        log: &MemoryLog,
    ) -> Vec<Draft> {
        let now = Instant::now();
        let mut drafts = Vec::new();
        for chunk in chunks {
            if let Some(stages) = &mut self.stages {
                stages.push(chunk, now);
            }
            while let Some(decoded) = self.stages.as_mut().and_then(Upstreams::next_event) {
                let draft = match decoded {
                    Decoded::Event(event) if event.has_effect() || config.keep_comment_blocks => {
                        Some(self.draft(event, config))
                    }
                    // Clients that have read an id take the blank line for the end of an event.
                    Decoded::Event(event) => {
                        event.into_comments().map(|event| self.draft(event, config))
                    }
                    Decoded::Oversize { last: true, .. } => self.large(config),
                    Decoded::Oversize { .. } | Decoded::LineFeed(_) => None,
                };
                let Some(draft) = draft else { continue };
                let again = match &mut self.again {
                    Some(again) => again.is_known(&draft, log),
                    None => false,
                };
                if again {
                    if let Some(known) = self.again.as_ref().filter(|_| draft.sets_id) {
                        self.behind_last_id = known.run;
                    }
                    continue;
                }
                if self
                    .again
                    .as_mut()
                    .is_some_and(|known| known.begins_anew(&draft))
                {
                    self.has_begun_anew = true;
                    // Nor is anything that follows one of those from before.
                    self.again = None;
                    drafts.extend(self.gap(config, None));
                } else if self.again.as_mut().is_some_and(Again::takes_may_repeat) {
                    drafts.extend(self.gap(config, None));
                }
                drafts.push(draft);
            }
        }
        if let Some(stages) = &mut self.stages {
            stages.taken();
        }
        drafts
    }

    /// When a stage is to be told the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.stages.as_ref()?.deadline()
    }

    /// Tells the stages the time. Whether one has ended the stream.
    pub(super) fn tick(&mut self) -> bool {
        let Some(stages) = &mut self.stages else {
            return false;
        };
        stages.tick(Instant::now());
        stages.taken();
        stages.is_ended()
    }

    /// Tells the stages how to wake who reads.
    pub(super) fn on_wait(&mut self, waker: &Waker) {
        if let Some(stages) = &mut self.stages {
            stages.on_wait(waker);
        }
    }

    /// The upstream's stream has ended, cleanly or not.
    pub(super) fn end(&mut self, is_clean: bool) {
        let now = Instant::now();
        if let Some(mut stages) = self.stages.take() {
            match is_clean {
                true => stages.finish(now),
                false => stages.fail(now),
            }
        }
    }

    /// The reconnection times of an event whose end does not come, for those who would have read them by now.
    pub(super) fn lost(&mut self, config: &Config) -> Option<Draft> {
        let decoder = self.stages.as_ref()?.decoder();
        let mut lines = decoder.unfinished_retries();
        let large = decoder.large_event().filter(|_| !decoder.at_boundary());
        if let Some(time) = large.and_then(LargeEvent::retry) {
            write_line(b"retry", millis(time).as_bytes(), self.ending, &mut lines);
        }
        let lines = Event::unfinished(lines.into(), self.ending);
        (lines.len() > 0).then(|| self.draft(lines, config))
    }

    /// Tells all clients, also those who come later, that something is missing here.
    pub(super) fn gap(&mut self, config: &Config, missed: Option<u64>) -> Option<Draft> {
        self.has_untold_gap |= gap::breaks_off(config, self.is_finite);
        let event = gap::builder(config, missed, self.is_finite)?.line_ending(self.ending);
        Some(Draft {
            event: event.build(),
            upstream: self.last_id.clone(),
            sets_id: false,
            keep_id: false,
            is_gap: true,
        })
    }

    /// What is left of an event that was too large: its id, its reconnection time, and a gap where its data was.
    fn large(&mut self, config: &Config) -> Option<Draft> {
        let decoder = self.stages.as_ref()?.decoder();
        self.ending = decoder.line_ending();
        let large = decoder.large_event()?;
        self.events += u64::from(large.has_data());
        let mut event = EventBuilder::new();
        if large.has_data() {
            self.has_untold_gap |= gap::breaks_off(config, self.is_finite);
            event = gap::builder(config, Some(1), self.is_finite).unwrap_or_default();
        }
        event = event.line_ending(self.ending);
        if let Some(time) = large.retry() {
            event = event.retry(time);
        }
        if let Some(id) = large.id() {
            // With one that was cut off nobody can be asked to go on.
            let is_whole = id.len() <= LargeEvent::MAX_ID_BYTES;
            event = event.id(EventId::new(if is_whole { id } else { b"" }).ok()?);
        }
        let event = event.build();
        event.has_effect().then(|| Draft {
            // It stands for the one event that was too large, and counts as that.
            is_gap: false,
            ..self.take_up(event, config)
        })
    }

    fn draft(&mut self, event: Event, config: &Config) -> Draft {
        self.events += u64::from(event.has_data());
        self.ending = event.line_ending();
        self.take_up(event, config)
    }

    fn take_up(&mut self, event: Event, config: &Config) -> Draft {
        self.retry = event.retry().or(self.retry);
        let id = event.id();
        let sets_id = id.is_some();
        if let Some(id) = id {
            self.last_id = (!id.is_empty()).then(|| Bytes::copy_from_slice(id));
        }
        Draft {
            upstream: self.last_id.clone(),
            sets_id,
            keep_id: config.keep_ids && config.key.is_some(),
            is_gap: gap::is_told(config, &event),
            event,
        }
    }
}

impl Again {
    /// Whether an event that is new has an id from before the one that was asked for: then the upstream has begun to count
    /// anew, and what it had behind that id is gone. It is told once.
    fn begins_anew(&mut self, draft: &Draft) -> bool {
        let (true, Some(id), Some(asked)) = (draft.sets_id, &draft.upstream, &self.asked) else {
            return false;
        };
        let Some(order) = order(id, asked) else {
            return false;
        };
        self.asked = None;
        order != Ordering::Greater
    }

    /// Whether what was read last, and what follows it, may have come before. It is told once.
    fn takes_may_repeat(&mut self) -> bool {
        std::mem::take(&mut self.may_repeat)
    }

    fn is_known(&mut self, draft: &Draft, log: &MemoryLog) -> bool {
        if !draft.event.has_data() && !draft.sets_id {
            // Comments stand anywhere, also between two events that are sent again.
            return false;
        }
        let position = if draft.sets_id && draft.upstream.is_some() {
            log.find_same(draft)
        } else {
            let run = self.run.filter(|_| !draft.sets_id);
            run.and_then(|run| log.find_next_same(run, draft))
        };
        let known = position
            .filter(|position| (self.counted_from..self.before).contains(position))
            .filter(|position| self.last.is_none_or(|last| *position > last));
        if let Some(run) = self.run.filter(|_| known.is_none() && !draft.sets_id) {
            let stats = log.stats();
            self.may_repeat = run + (stats.events as u64) < stats.appended;
        }
        self.run = known.map(|position| position + 1);
        // One without an id where the upstream was asked to go on may be like it by chance: what comes next tells whether
        // the upstream has gone on there or begun anew.
        if draft.sets_id || self.last.is_some() {
            self.last = known.or(self.last);
        }
        known.is_some()
    }
}
