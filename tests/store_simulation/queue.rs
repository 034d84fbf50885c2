//! What happens when, in an order that a seed fixes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use tower_sse::store::{Answer, Command, InstanceId, Message, Reign};

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Wake {
        gateway: usize,
    },
    Tick {
        gateway: usize,
    },
    Connect {
        gateway: usize,
        run: u64,
    },
    ConnectTail {
        gateway: usize,
        run: u64,
    },
    /// Arrives at the store.
    Command {
        gateway: usize,
        line: u64,
        primary: usize,
        reign: Reign,
        from: InstanceId,
        /// Its number on this line.
        sent: u64,
        call: Option<usize>,
        command: Command,
    },
    Answer {
        gateway: usize,
        line: u64,
        sent: u64,
        call: Option<usize>,
        answer: Answer,
    },
    Subscribe {
        gateway: usize,
        line: u64,
    },
    Subscribed {
        gateway: usize,
        line: u64,
    },
    Hear {
        gateway: usize,
        line: u64,
        message: Message,
    },
    SendBeat {
        gateway: usize,
        line: u64,
        primary: usize,
        reign: Reign,
        from: InstanceId,
        moved: Option<u64>,
    },
    Beat {
        gateway: usize,
        line: u64,
        from: InstanceId,
        moved: Option<u64>,
    },
    /// Arrives at the store: who asks whether this instance hears anything.
    WhetherHears {
        gateway: usize,
        line: u64,
        primary: usize,
        reign: Reign,
        instance: InstanceId,
    },
    /// It does not.
    Gone {
        gateway: usize,
        line: u64,
        instance: InstanceId,
    },
    Ask {
        gateway: usize,
        line: u64,
        behind: Option<Bytes>,
    },
    Given {
        gateway: usize,
        line: u64,
        number: Option<u64>,
    },
    Produce,
    Client {
        client: usize,
    },
    Fault {
        number: usize,
    },
    /// What was drained ends.
    Stop {
        gateway: usize,
        run: u64,
        down: u64,
    },
    Restart {
        gateway: usize,
    },
    Heal {
        primary: usize,
    },
    /// A primary restarts with the state that was put by under this number.
    Older {
        primary: usize,
        state: usize,
    },
}

#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    count: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: u64, event: Event) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[slot] = Some(event);
        self.count += 1;
        self.heap.push(Reverse((at, self.count, slot)));
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        Some((at, self.events[slot].take()?))
    }
}
