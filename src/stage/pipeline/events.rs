//! A pipeline for a reader that takes whole events, and is no client.

use super::Pipeline;
use crate::stage::Stage;
use crate::wire::{Decoded, Decoder};

impl<S: Stage> Pipeline<S> {
    /// The next event as the stages leave it, for a reader that is no client. What they write is left out.
    pub(crate) fn next_event(&mut self) -> Option<Decoded> {
        while let Some(decoded) = self.decoder.next() {
            let event = match decoded {
                Decoded::Event(event) => event,
                Decoded::Oversize { bytes, last } => {
                    self.times.counts.event_bytes += bytes.len() as u64;
                    if last {
                        self.times.counts.oversize_events += 1;
                        if let Some(event) = self.decoder.large_event() {
                            self.stage.on_large_event(event, &self.times);
                        }
                    }
                    return Some(Decoded::Oversize { bytes, last });
                }
                other => return Some(other),
            };
            self.times.counts.events += u64::from(event.has_data());
            self.times.counts.event_bytes += event.len() as u64;
            if let Some(event) = self.stage.on_event(event, &self.times) {
                return Some(Decoded::Event(event));
            }
        }
        None
    }

    /// All that there was of a chunk was taken by [`next_event`](Self::next_event), or a deadline has come.
    pub(crate) fn taken(&mut self) {
        self.out.bytes.clear();
        self.queued = None;
        self.times.sent = self.times.now;
        if !self.is_ended() {
            self.stage.on_sent(&self.times);
        }
    }

    /// What reads the lines.
    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// See [`Decoder::completing_cr`]. To be set before the first chunk.
    pub(crate) fn completing_cr(mut self) -> Self {
        self.decoder = std::mem::take(&mut self.decoder).completing_cr();
        self
    }
}
