//! What is known of a stream, and what is to be done about it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::feed;
use crate::history::Hold;
use crate::store::outside::Session;
use crate::store::{Answer, Fence, Member};

/// What changes of a stream.
pub(super) struct State {
    pub(super) member: Member,
    pub(super) session: Option<Arc<Session>>,
    /// Answers to what was sent over this session, in the order of the commands; those that are missing are under way.
    pub(super) answers: VecDeque<Option<Answer>>,
    /// The number of the first of them.
    pub(super) answered: u64,
    /// The place of the first entry that the log was not given.
    pub(super) fed: u64,
    pub(super) feed: feed::Feed,
    /// What keeps the owner from reading on.
    pub(super) hold: Hold,
    /// How often the upstream was to be asked.
    pub(super) term: u64,
    /// The last of them that the relay's task knows of.
    pub(super) led: u64,
    /// Behind what it is to be asked now, if it is.
    pub(super) open: Option<Option<Bytes>>,
    pub(super) fate: Fate,
    /// What all were told last.
    pub(super) note: Option<Bytes>,
    /// How many logs have given way.
    pub(super) lives: u64,
    /// Whether that was asked for since the log has ended, and then whether it was answered.
    pub(super) end: End,
    /// The fence under which that is known to be there.
    pub(super) noted: Option<Fence>,
    /// A log that has ended is about to give way.
    pub(super) gives_way: bool,
    /// Its relay has ended, and it is about to be told.
    pub(super) is_ending: bool,
    /// Whether there are clients here.
    pub(super) is_wanted: bool,
    /// Whether other gateways know that there are.
    pub(super) is_in_crowd: bool,
    pub(super) renewed: Instant,
}

/// What is known of what was told last of a log that has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Unknown,
    Asked,
    Known,
}

/// Whether the stream is shared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Shared,
    /// It is this process' own from here on.
    Alone,
    /// It is not followed any more.
    Gone,
}

impl State {
    /// Whether it is connected by this session.
    pub(super) fn is_of(&self, session: u64) -> bool {
        let now = self.session.as_ref();
        now.is_some_and(|now| now.ticket.session == session)
    }

    /// Before anything is known.
    pub(super) fn new(member: Member) -> Self {
        State {
            member,
            session: None,
            answers: VecDeque::new(),
            answered: 0,
            fed: 0,
            feed: feed::Feed::default(),
            hold: Hold::Free,
            term: 0,
            led: 0,
            open: None,
            fate: Fate::Shared,
            note: None,
            lives: 0,
            end: End::Unknown,
            noted: None,
            gives_way: false,
            is_ending: false,
            is_wanted: true,
            is_in_crowd: false,
            renewed: Instant::now(),
        }
    }
}
