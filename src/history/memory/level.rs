//! Reads a log once for many who have read all of it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::follower::Follower;
use super::log::Inner;
use crate::history::{Read, Skip};

/// A follower that has read all that there is. Until it reads again, others may give its client what comes next.
pub struct Place {
    log: Arc<Inner>,
    slot: usize,
    position: u64,
    read_up_to: u64,
    has_read: bool,
}

/// Reads for all who have read all that there is.
#[derive(Debug)]
pub struct Reader {
    follower: Follower,
    position: u64,
}

/// What a [`Reader`] reads.
#[derive(Debug)]
pub enum Reading {
    /// Whole events.
    Batch(Batch),
    /// What each follower has to read by itself.
    Apart,
    /// Nothing more will come.
    End,
}

/// What comes next for a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// These events.
    These,
    /// It has had them.
    Others,
    /// What it has to read by itself.
    Apart,
}

/// Whole events, all of them with data.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The bytes.
    pub bytes: Bytes,
    /// How many they are.
    pub events: u64,
    begin: u64,
    end: u64,
    read_up_to: u64,
}

impl Place {
    pub(super) fn new(log: Arc<Inner>, slot: usize, position: u64, read_up_to: u64) -> Self {
        Place {
            log,
            slot,
            position,
            read_up_to,
            has_read: false,
        }
    }

    /// Nobody wakes the follower any more. False when it was woken already, and is about to read by itself.
    pub fn rests(&self) -> bool {
        self.log.lock().readers.take_waker(self.slot)
    }

    /// The same number for all that follow the same log.
    pub fn log(&self) -> usize {
        Arc::as_ptr(&self.log).addr()
    }

    pub(crate) fn read_up_to(&self) -> u64 {
        self.read_up_to
    }

    /// Reads for this one and all that follow the same log and are as far.
    pub fn reader(&self) -> Reader {
        let slot = self.log.lock().readers.enter(self.position);
        Reader {
            follower: Follower::new(self.log.clone(), slot, 0, self.read_up_to),
            position: self.position,
        }
    }

    /// Whether these are the events that come next. If so they count as read.
    #[inline]
    pub fn reads(&mut self, batch: &Batch) -> Next {
        if self.position == batch.begin {
            self.position = batch.end;
            self.read_up_to = batch.read_up_to;
            self.has_read = true;
            Next::These
        } else if self.position >= batch.end {
            Next::Others
        } else {
            Next::Apart
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl Drop for Place {
    /// The follower goes on by itself.
    fn drop(&mut self) {
        if !self.has_read {
            return;
        }
        let writer = {
            let mut state = self.log.lock();
            state
                .readers
                .read_for(self.slot, self.position, self.read_up_to)
        };
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl Reader {
    /// What comes next.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Reading> {
        let begin = self.position;
        Poll::Ready(match ready!(self.follower.poll_read(cx)) {
            Read::Events {
                bytes,
                events,
                with_data,
                ..
            } => {
                let end = self.follower.position();
                self.position = end;
                // A comment may have been dropped in front of them.
                let is_all = events == with_data && end - begin == events;
                match is_all {
                    true => Reading::Batch(Batch {
                        bytes,
                        events,
                        begin,
                        end,
                        read_up_to: self.follower.read_up_to(),
                    }),
                    false => Reading::Apart,
                }
            }
            Read::Lost => {
                self.follower.skip(Skip::ToLatest);
                self.position = self.follower.position();
                Reading::Apart
            }
            Read::End => Reading::End,
        })
    }
}
