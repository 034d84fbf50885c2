//! Those who read a log: where each of them is, and for whom a writer waits.

use std::task::{Context, Poll, Waker};

use crate::history::{Hold, Keep};
use crate::slots::{self, Slots};

/// The followers of one log, by slot, and its one writer.
#[derive(Default)]
pub(super) struct Readers {
    slots: Slots<Slot>,
    /// Whether any of what is below says something.
    is_watched: bool,
    /// What is said of each slot; empty until somebody was waited for, or looked for its position.
    marks: Vec<Mark>,
    /// Of a log that is full.
    writer: Option<Waker>,
    keep: Keep,
    /// Whether nobody waits for a reader to come until one has read.
    has_given_up: bool,
}

struct Slot {
    /// Where it reads next; [`FREE`] where there is no follower.
    position: u64,
    /// As a follower has it, where another has read for it.
    read_up_to: u64,
    waker: Option<Waker>,
}

const FREE: u64 = u64::MAX;

impl Default for Slot {
    fn default() -> Self {
        Slot {
            position: FREE,
            read_up_to: 0,
            waker: None,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Mark {
    /// It looks for its position, and is waited for only where nobody reads.
    seeks: bool,
    /// It has not moved since it was last looked at.
    is_suspect: bool,
    /// It is not waited for until it moves.
    is_stalled: bool,
}

impl Readers {
    pub(super) fn enter(&mut self, position: u64) -> usize {
        let slot = self.slots.enter(Slot {
            position,
            read_up_to: 0,
            waker: None,
        });
        if !self.marks.is_empty() && slot == self.marks.len() {
            self.marks.push(Mark::default());
        }
        slot
    }

    pub(super) fn leave(&mut self, slot: usize) {
        self.slots.leave(slot);
        self.unmark(slot);
        if self.slots.is_empty() {
            self.marks = Vec::new();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn position(&self, slot: usize) -> u64 {
        self.slots[slot].position
    }

    /// What a follower that entered here, or another for it, was last said to have read up to.
    pub(super) fn read_up_to(&self, slot: usize) -> u64 {
        self.slots[slot].read_up_to
    }

    /// Others may read for a follower from here on.
    pub(super) fn begin_level(&mut self, slot: usize, read_up_to: u64) {
        self.slots[slot].read_up_to = read_up_to;
    }

    /// Another has read for a follower. The writer is to be woken, if it waits.
    pub(super) fn read_for(
        &mut self,
        slot: usize,
        position: u64,
        read_up_to: u64,
    ) -> Option<Waker> {
        self.slots[slot].read_up_to = read_up_to;
        self.move_to(slot, position)
    }

    /// A follower reads on at this position. The writer is to be woken, if it waits.
    #[inline]
    pub(super) fn move_to(&mut self, slot: usize, position: u64) -> Option<Waker> {
        self.slots[slot].position = position;
        if !self.is_watched {
            return None;
        }
        self.moved(slot)
    }

    #[cold]
    fn moved(&mut self, slot: usize) -> Option<Waker> {
        self.has_given_up = false;
        self.unmark(slot);
        self.is_watched = !self.marks.is_empty();
        self.writer.take()
    }

    /// A follower is not to be woken any more. Whether it was waiting.
    pub(super) fn take_waker(&mut self, slot: usize) -> bool {
        self.slots[slot].waker.take().is_some()
    }

    /// A follower waits for more.
    pub(super) fn wait(&mut self, slot: usize, waker: &Waker) {
        slots::wait(&mut self.slots[slot].waker, waker);
    }

    /// A follower looks for its position, and does not read yet.
    pub(super) fn seek(&mut self, slot: usize) {
        self.begin_to_mark();
        self.marks[slot].seeks = true;
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        let wakers = self.slots.all_mut().iter_mut();
        wakers.filter_map(|slot| slot.waker.take()).collect()
    }

    /// The writer, to be woken.
    pub(super) fn take_writer(&mut self) -> Option<Waker> {
        self.writer.take()
    }

    /// What the writer is to keep from here on.
    pub(super) fn set_keep(&mut self, keep: Keep) {
        self.keep = keep;
    }

    /// What keeps the entry at this position, the oldest of all.
    pub(super) fn hold(&self, oldest: u64) -> Hold {
        match self.keep {
            Keep::Nothing => Hold::Free,
            Keep::Unread | Keep::All => match self.is_unread(oldest) {
                Some(true) => Hold::Reader,
                Some(false) => Hold::Free,
                None => self.hold_by_nobody(),
            },
        }
    }

    /// What it is where there is no reader.
    fn hold_by_nobody(&self) -> Hold {
        match self.keep {
            Keep::All if !self.has_given_up => Hold::Absent,
            _ => Hold::Free,
        }
    }

    /// Whether the reader that is furthest ahead has yet to read this entry, the oldest of all.
    pub(super) fn is_unread(&self, oldest: u64) -> Option<bool> {
        let mut readers = self.readers(oldest).peekable();
        readers.peek()?;
        Some(!readers.any(|position| position > oldest))
    }

    /// What holds the log if so much is too much to be unread. `oldest` is the position of the oldest entry.
    pub(super) fn hold_if(&self, oldest: u64, is_too_much: impl FnOnce(u64) -> bool) -> Hold {
        let (from, hold) = match self.readers(oldest).max() {
            Some(foremost) => (foremost, Hold::Reader),
            None => (oldest, self.hold_by_nobody()),
        };
        if self.keep == Keep::Nothing || !is_too_much(from) {
            return Hold::Free;
        }
        hold
    }

    /// Where those are who are waited for. Who is behind the oldest entry has lost its position already.
    fn readers(&self, oldest: u64) -> impl Iterator<Item = u64> {
        let reads = |mark: &Mark| !mark.seeks && !mark.is_stalled;
        let seeks = |mark: &Mark| mark.seeks && !mark.is_stalled;
        let of = move |which: fn(&Mark) -> bool| {
            let slots = self.slots.all().iter().enumerate();
            slots.filter_map(move |(slot, one)| {
                let mark = self.marks.get(slot).copied().unwrap_or_default();
                let is_there = one.position != FREE && one.position >= oldest;
                (is_there && which(&mark)).then_some(one.position)
            })
        };
        let mut reading = of(reads).peekable();
        let is_read = reading.peek().is_some();
        let seeking = (!is_read && !self.marks.is_empty()).then(|| of(seeks));
        reading.chain(seeking.into_iter().flatten())
    }

    /// The writer begins to wait: nobody was looked at yet.
    pub(super) fn begin_to_wait(&mut self) {
        for mark in &mut self.marks {
            mark.is_suspect = false;
        }
    }

    /// Nobody waits any more for those who have not moved since this was last asked; nor for somebody to come.
    pub(super) fn pass_over(&mut self, hold: Hold) {
        match hold {
            Hold::Free => {}
            Hold::Absent => {
                self.is_watched = true;
                self.has_given_up = true;
            }
            Hold::Reader => {
                self.begin_to_mark();
                for mark in &mut self.marks {
                    mark.is_stalled |= mark.is_suspect;
                    mark.is_suspect = true;
                }
            }
        }
    }

    /// Waits until the log is held otherwise than was known.
    pub(super) fn poll_hold(
        &mut self,
        cx: &mut Context<'_>,
        known: Hold,
        hold: Hold,
    ) -> Poll<Hold> {
        if hold != known {
            return Poll::Ready(hold);
        }
        self.is_watched = true;
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn begin_to_mark(&mut self) {
        self.is_watched = true;
        self.marks
            .resize_with(self.slots.all().len(), Mark::default);
    }

    fn unmark(&mut self, slot: usize) {
        if let Some(mark) = self.marks.get_mut(slot) {
            *mark = Mark::default();
        }
    }
}
