//! Numbered slots for those who come and go, and are woken.

use std::ops::{Index, IndexMut};
use std::task::Waker;

/// One value for each who is there. A slot that was left is given to who comes next.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    all: Vec<T>,
    free: Vec<usize>,
}

impl<T: Default> Slots<T> {
    /// Somebody comes. Gives the number of its slot.
    pub(crate) fn enter(&mut self, value: T) -> usize {
        if let Some(slot) = self.free.pop() {
            self.all[slot] = value;
            return slot;
        }
        self.all.push(value);
        self.all.len() - 1
    }

    /// Somebody goes. Its slot has the default until it is given to another.
    pub(crate) fn leave(&mut self, slot: usize) {
        self.all[slot] = T::default();
        self.free.push(slot);
        if self.is_empty() {
            // Gives back the memory.
            *self = Slots::default();
        }
    }
}

impl<T> Slots<T> {
    /// How many are there.
    pub(crate) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All slots by their numbers, also those that are free.
    pub(crate) fn all(&self) -> &[T] {
        &self.all
    }

    #[cfg(feature = "relay")]
    pub(crate) fn all_mut(&mut self) -> &mut [T] {
        &mut self.all
    }
}

/// Remembers whom to wake.
pub(crate) fn wait(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(known) => known.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots {
            all: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Index<usize> for Slots<T> {
    type Output = T;

    fn index(&self, slot: usize) -> &T {
        &self.all[slot]
    }
}

impl<T> IndexMut<usize> for Slots<T> {
    fn index_mut(&mut self, slot: usize) -> &mut T {
        &mut self.all[slot]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_was_left_is_given_to_who_comes_next() {
        let mut slots = Slots::default();
        let (one, two) = (slots.enter(1), slots.enter(2));
        slots.leave(one);
        assert_eq!((slots.len(), slots.all()), (1, &[0, 2][..]));
        assert_eq!(slots.enter(3), one);
        assert_eq!((slots[one], slots[two]), (3, 2));
        slots.leave(one);
        slots.leave(two);
        assert!(slots.is_empty() && slots.all().is_empty());
    }
}
