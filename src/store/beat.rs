//! Heartbeats of an instance: that it lives, and that its connection brings back what was published.

use std::collections::HashMap;

use super::InstanceId;

/// Milliseconds between two heartbeats.
pub const BEAT: u64 = 400;
/// Milliseconds that the store keeps an instance's session behind its last heartbeat.
pub const SESSION: u64 = 1_500;
/// Milliseconds without one's own heartbeat, behind which a connection is given up.
pub const DEAF_AFTER: u64 = 1_200;
/// Milliseconds without another's, behind which the store is asked whether it still listens. One is missing by then, and who has lost
/// its connections while it lives has made others.
pub const SILENT_AFTER: u64 = 600;

/// Whose heartbeats were heard when.
#[derive(Debug)]
pub struct Beats {
    me: InstanceId,
    next: u64,
    heard: HashMap<InstanceId, Heard>,
    /// Since when the connection has been up on which one's own are to be heard.
    up_since: Option<u64>,
}

#[derive(Debug)]
struct Heard {
    at: u64,
    /// When it was found to be silent last.
    silent: Option<u64>,
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
        if !is_up {
            // Where all have lost their connections, some are back later than others.
            self.heard.clear();
        }
    }

    /// One was heard.
    pub fn hear(&mut self, from: InstanceId, now: u64) {
        self.heard.retain(|_, heard| now < heard.at + 10 * SESSION);
        let heard = Heard {
            at: now,
            silent: None,
        };
        self.heard.insert(from, heard);
    }

    /// Whether the connection seems to be there and brings nothing.
    pub fn is_deaf(&self, now: u64) -> bool {
        let heard = self.heard.get(&self.me).map_or(0, |heard| heard.at);
        self.up_since
            .is_some_and(|since| now >= since.max(heard) + DEAF_AFTER)
    }

    /// Those that were heard on this connection and are not any more, though one's own are. Each is named a few times, until its session
    /// has ended for sure.
    pub fn silent(&mut self, now: u64) -> Vec<InstanceId> {
        let me = self.heard.get(&self.me);
        if me.is_none_or(|heard| now >= heard.at + SILENT_AFTER) {
            return Vec::new();
        }
        let mut silent = Vec::new();
        for (id, heard) in &mut self.heard {
            let since = heard.silent.unwrap_or(heard.at);
            if now >= since + SILENT_AFTER && now < heard.at + 2 * SESSION {
                heard.silent = Some(now);
                silent.push(*id);
            }
        }
        silent.sort();
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: InstanceId = InstanceId(1);
    const OTHER: InstanceId = InstanceId(2);

    fn beats() -> Beats {
        let mut beats = Beats::new(ME, 0);
        beats.tail(true, 0);
        beats.hear(OTHER, 0);
        beats
    }

    #[test]
    fn who_misses_a_heartbeat_is_silent_while_ones_own_come() {
        let mut beats = beats();
        beats.hear(ME, SILENT_AFTER);
        assert_eq!(beats.silent(SILENT_AFTER - 1), []);
        assert_eq!(beats.silent(SILENT_AFTER), [OTHER]);
        // It is not asked for again at once, nor for ever.
        assert_eq!(beats.silent(SILENT_AFTER + 1), []);
        beats.hear(ME, 2 * SESSION);
        assert_eq!(beats.silent(2 * SESSION - 1), [OTHER]);
        assert_eq!(beats.silent(2 * SESSION + SILENT_AFTER), []);
    }

    #[test]
    fn nobody_is_silent_where_nothing_is_heard() {
        let mut beats = beats();
        assert_eq!(beats.silent(SILENT_AFTER), []);
        beats.tail(false, SILENT_AFTER);
        beats.tail(true, SILENT_AFTER);
        beats.hear(ME, SILENT_AFTER);
        assert_eq!(beats.silent(SILENT_AFTER), []);
    }
}
