//! A gateway: its member of the stream, and its connections.

use std::collections::VecDeque;

use tower_sse::store::{Beats, InstanceId, Member};

/// A connection, in both directions of which nothing overtakes.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Another number for each connection.
    pub(crate) number: u64,
    pub(crate) is_up: bool,
    pub(crate) primary: usize,
    pub(crate) there: u64,
    pub(crate) back: u64,
    pub(crate) is_subscribed: bool,
    pub(crate) is_deaf: bool,
}

pub(crate) struct Gateway {
    pub(crate) id: InstanceId,
    /// Another number for each start.
    pub(crate) run: u64,
    pub(crate) is_up: bool,
    pub(crate) paused_until: u64,
    /// What has happened during the pause.
    pub(crate) deferred: VecDeque<crate::queue::Event>,
    pub(crate) cut_until: u64,
    /// The primary that it reaches.
    pub(crate) primary: usize,
    pub(crate) member: Option<Member>,
    pub(crate) beats: Beats,
    pub(crate) commands: Line,
    pub(crate) tail: Line,
    pub(crate) upstream: Line,
    /// What the upstream has sent and the member has not read.
    pub(crate) unread: VecDeque<Option<u64>>,
    /// What the upstream sends next.
    pub(crate) next: u64,
}

impl Gateway {
    pub(crate) fn new(id: InstanceId, run: u64, now: u64) -> Self {
        Gateway {
            id,
            run,
            is_up: true,
            paused_until: 0,
            deferred: VecDeque::new(),
            cut_until: 0,
            primary: 0,
            member: None,
            beats: Beats::new(id, now),
            commands: Line::default(),
            tail: Line::default(),
            upstream: Line::default(),
            unread: VecDeque::new(),
            next: 0,
        }
    }
}
