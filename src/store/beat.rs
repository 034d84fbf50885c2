//! Heartbeats of an instance: that it lives, and that its connection brings back what was published.

use std::collections::HashMap;

use super::InstanceId;

/// Milliseconds between two heartbeats.
pub const BEAT: u64 = 400;
/// Milliseconds that the store keeps an instance's session behind its last heartbeat.
pub const SESSION: u64 = 1_500;
/// Milliseconds without one's own heartbeat, behind which a connection is given up.
pub const DEAF_AFTER: u64 = 1_200;

/// Whose heartbeats were heard when.
#[derive(Debug)]
pub struct Beats {
    me: InstanceId,
    next: u64,
    heard: HashMap<InstanceId, u64>,
    /// Since when the connection has been up on which one's own are to be heard.
    up_since: Option<u64>,
}

impl Beats {
    /// Those of this instance begin at once.
    pub fn new(me: InstanceId, now: u64) -> Self {
        Beats {
            me,
            next: now,
            heard: HashMap::new(),
            up_since: None,
        }
    }

    /// Whether one is to be sent now. The next is then due in [`BEAT`].
    pub fn is_due(&mut self, now: u64) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + BEAT;
        }
        is_due
    }

    /// The connection is there that brings heartbeats, or is lost.
    pub fn tail(&mut self, is_up: bool, now: u64) {
        self.up_since = is_up.then_some(now);
    }

    /// One was heard.
    pub fn hear(&mut self, from: InstanceId, now: u64) {
        self.heard.retain(|_, at| now < *at + 10 * SESSION);
        self.heard.insert(from, now);
    }

    /// Whether the connection seems to be there and brings nothing.
    pub fn is_deaf(&self, now: u64) -> bool {
        let heard = self.heard.get(&self.me).copied();
        self.up_since
            .is_some_and(|since| now >= since.max(heard.unwrap_or(0)) + DEAF_AFTER)
    }
}
