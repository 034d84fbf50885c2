//! What a group was given last, for those of its members who have yet to read it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Events that come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) bytes: Bytes,
    /// The last id of the upstream by then.
    pub(super) id: Option<Bytes>,
    /// Whether it is that of the last event.
    pub(super) is_exact: bool,
}

/// Steps, numbered from zero on. The oldest go when there is no room.
pub(super) struct Window {
    steps: VecDeque<(Step, Option<OwnedSemaphorePermit>)>,
    /// The number of the oldest.
    first: u64,
    bytes: usize,
    room: Arc<Semaphore>,
}

/// One group keeps so many bytes: more than sockets hold for a client that reads as it should, and than most have missed
/// who come back after a restart.
const MAX_BYTES: usize = 1024 * 1024;
/// What a step costs beside its bytes.
const OVERHEAD: usize = 256;

impl Window {
    pub(super) fn new(room: Arc<Semaphore>) -> Self {
        Window {
            steps: VecDeque::new(),
            first: 0,
            bytes: 0,
            room,
        }
    }

    /// The number of the step that comes next.
    pub(super) fn end(&self) -> u64 {
        self.first + self.steps.len() as u64
    }

    /// Whether it has all from the beginning on.
    pub(super) fn is_whole(&self) -> bool {
        self.first == 0
    }

    /// None when it is not there any more, or not yet.
    pub(super) fn get(&self, number: u64) -> Option<&Step> {
        let index = number.checked_sub(self.first)?;
        let (step, _) = self.steps.get(usize::try_from(index).ok()?)?;
        Some(step)
    }

    /// The newest step is kept, whether there is room for it or not.
    pub(super) fn push(&mut self, step: Step) {
        let cost = cost(&step);
        while self.bytes + cost > MAX_BYTES && self.drop_oldest() {}
        let mut permit = self.take_room(cost);
        while permit.is_none() && self.drop_oldest() {
            permit = self.take_room(cost);
        }
        self.bytes += cost;
        self.steps.push_back((step, permit));
    }

    /// Nobody will read what is before this step.
    pub(super) fn drop_before(&mut self, number: u64) {
        while self.first < number && self.drop_oldest() {}
    }

    fn take_room(&self, cost: usize) -> Option<OwnedSemaphorePermit> {
        let cost = u32::try_from(cost).ok()?;
        Arc::clone(&self.room).try_acquire_many_owned(cost).ok()
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((step, _)) = self.steps.pop_front() else {
            return false;
        };
        self.bytes -= cost(&step);
        self.first += 1;
        true
    }
}

fn cost(step: &Step) -> usize {
    step.bytes.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(bytes: usize) -> Step {
        Step {
            bytes: vec![b'x'; bytes].into(),
            id: None,
            is_exact: false,
        }
    }

    fn held(window: &Window) -> (u64, u64, usize) {
        (window.first, window.end(), window.bytes)
    }

    #[test]
    fn the_oldest_go_when_it_is_full_and_the_newest_stays_whatever_its_size() {
        let room = Arc::new(Semaphore::new(10 * MAX_BYTES));
        let mut window = Window::new(Arc::clone(&room));
        let half = MAX_BYTES / 2 - OVERHEAD;
        window.push(step(half));
        window.push(step(half));
        assert_eq!(held(&window), (0, 2, MAX_BYTES));
        assert!(window.is_whole());
        window.push(step(1));
        assert_eq!(held(&window), (1, 3, MAX_BYTES / 2 + 1 + OVERHEAD));
        assert!(!window.is_whole());
        assert_eq!(window.get(0), None);
        assert_eq!(window.get(2), Some(&step(1)));
        assert_eq!(window.get(3), None);
        window.push(step(2 * MAX_BYTES));
        assert_eq!(held(&window), (3, 4, 2 * MAX_BYTES + OVERHEAD));
        window.drop_before(4);
        assert_eq!(held(&window), (4, 4, 0));
        assert_eq!(room.available_permits(), 10 * MAX_BYTES);
    }

    #[test]
    fn without_room_it_keeps_the_newest_alone() {
        let room = Arc::new(Semaphore::new(3 * OVERHEAD));
        let mut other = Window::new(Arc::clone(&room));
        other.push(step(0));
        let mut window = Window::new(Arc::clone(&room));
        for _ in 0..3 {
            window.push(step(0));
        }
        assert_eq!(held(&window), (1, 3, 2 * OVERHEAD));
        window.push(step(3 * OVERHEAD));
        assert_eq!(held(&window), (3, 4, 4 * OVERHEAD));
        drop((window, other));
        assert_eq!(room.available_permits(), 3 * OVERHEAD);
    }
}
