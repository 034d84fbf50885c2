//! What goes out: pieces of the chunk, joined where they are small.

use std::ops::Range;

use bytes::Bytes;

use super::{JOINED_SIZE, Pipeline};
use crate::stage::Stage;

/// Pieces up to this size are copied into one chunk with their neighbours; larger ones go alone.
const JOIN_UP_TO: usize = 1024;

impl<S: Stage> Pipeline<S> {
    #[inline]
    pub(super) fn has_enough(&self) -> bool {
        self.queued.is_some() || self.out.bytes.len() >= JOINED_SIZE
    }

    #[inline]
    pub(super) fn flush(&mut self, run: &mut Range<usize>) {
        if run.start < run.end {
            self.send_run(run.start..run.end);
        }
        *run = 0..0;
    }

    fn send_run(&mut self, run: Range<usize>) {
        if self.joins(run.len()) {
            self.out.bytes.extend_from_slice(&self.decoder.chunk()[run]);
        } else if run.len() == self.decoder.chunk().len() {
            let piece = self.decoder.release_chunk();
            self.send(piece);
        } else {
            let piece = self.decoder.chunk().slice(run);
            self.send(piece);
        }
    }

    /// Sends a piece behind what there is already.
    #[inline(always)]
    pub(super) fn send(&mut self, piece: Bytes) {
        if self.queued.is_none() && !self.joins(piece.len()) {
            self.queued = Some(piece);
        } else {
            self.tail().extend_from_slice(&piece);
        }
    }

    /// Whether a piece of this length is copied behind what stands in `out`.
    fn joins(&self, len: usize) -> bool {
        len <= JOIN_UP_TO && self.queued.is_none() && !self.out.bytes.is_empty()
    }

    /// Where to write what goes out last.
    #[inline]
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        if let Some(queued) = &self.queued {
            self.out.bytes.extend_from_slice(queued);
            self.queued = None;
        }
        &mut self.out.bytes
    }
}
