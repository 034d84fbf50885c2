//! What streams want done by the connections to the store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::Stream;
use crate::store::redis::Name;
use crate::store::{Command, Fence, InstanceId, Reign, SESSION};

/// How much may wait. A stream has four frames under way at most, so that only a store which has stopped brings this about;
/// the connections are given up then, and what was under way is known to the members.
const WAITING: usize = 65_536;

/// For the connection that carries out commands, in this order.
pub(crate) enum Job {
    /// A member's, whose answer is its own.
    Command(Arc<Stream>, u64, Command),
    Tell(Name, Fence, Bytes),
    Crowd(Name, bool),
    CrowdOf(Name, oneshot::Sender<Vec<InstanceId>>),
    /// A log that has ended gives way to another.
    Anew(Arc<Stream>),
    /// A stream is not followed here any more, and whoever has clients may own it.
    Release(Name),
    /// A heartbeat in the partition of this stream, in front of what is to be done for it.
    Beat(Name),
    /// To be told when all in front of it is done.
    Flush(oneshot::Sender<()>),
}

/// For the connection that reads.
pub(crate) enum Look {
    /// A member's, from this position on.
    Read(Arc<Stream>, u64, u64),
    /// What was told of a stream last, which is on its so many-th log here.
    Told(Arc<Stream>, u64),
    /// Whether there is a stream, and what was told of it last; and whether this instance has a session.
    Find(Name, oneshot::Sender<(Option<Bytes>, bool)>),
}

/// For the connection that hears.
pub(crate) enum Subscription {
    Begin(Name),
    End(Name),
}

impl Job {
    /// Of what it is; none where that is nothing.
    fn name(&self) -> Option<&Name> {
        match self {
            Job::Command(stream, ..) | Job::Anew(stream) => Some(&stream.name),
            Job::Tell(name, ..) | Job::Crowd(name, _) | Job::CrowdOf(name, _) => Some(name),
            Job::Release(name) | Job::Beat(name) => Some(name),
            Job::Flush(_) => None,
        }
    }
}

/// Which partition something is of, and in which session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) session: u64,
    pub(crate) partition: usize,
}

/// A partition of a store, for as long as there are connections to its primary.
pub(crate) struct Session {
    pub(crate) ticket: Ticket,
    pub(crate) reign: Reign,
    pub(crate) began: Instant,
    /// Whether the partition was never there before.
    pub(crate) is_first: bool,
    /// Whether there are streams here, so that heartbeats are sent.
    is_used: AtomicBool,
    sessions: Mutex<Sessions>,
    senders: Senders,
}

/// What is known of the session that heartbeats keep in the store.
#[derive(Default)]
struct Sessions {
    /// When it was written last.
    written: Option<Instant>,
    /// When it was gone before its time: the store was emptied.
    emptied: Option<Instant>,
}

/// Where jobs for the connections to a primary go. A stream has one lane, in which its order is kept.
#[derive(Clone)]
pub(crate) struct Senders {
    lanes: Vec<mpsc::Sender<(Ticket, Job)>>,
    looks: mpsc::Sender<(Ticket, Look)>,
    subscriptions: mpsc::Sender<(Ticket, Subscription)>,
    broken: Arc<Notify>,
}

/// The other ends.
pub(crate) struct Queues {
    pub(crate) lanes: Vec<mpsc::Receiver<(Ticket, Job)>>,
    pub(crate) looks: mpsc::Receiver<(Ticket, Look)>,
    pub(crate) subscriptions: mpsc::Receiver<(Ticket, Subscription)>,
}

impl Senders {
    pub(crate) fn new(lanes: usize) -> (Self, Queues) {
        let (lanes, lanes_rest) = (0..lanes.max(1)).map(|_| mpsc::channel(WAITING)).unzip();
        let (looks, looks_rest) = mpsc::channel(WAITING);
        let (subscriptions, subscriptions_rest) = mpsc::channel(WAITING);
        let senders = Senders {
            lanes,
            looks,
            subscriptions,
            broken: Arc::default(),
        };
        let queues = Queues {
            lanes: lanes_rest,
            looks: looks_rest,
            subscriptions: subscriptions_rest,
        };
        (senders, queues)
    }

    /// Waits until something did not find room.
    pub(crate) async fn broken(&self) {
        self.broken.notified().await;
    }

    fn check(&self, was_sent: bool) {
        if !was_sent {
            self.broken.notify_one();
        }
    }
}

impl Session {
    pub(super) fn new(ticket: Ticket, reign: Reign, is_first: bool, senders: Senders) -> Self {
        Session {
            ticket,
            reign,
            began: Instant::now(),
            is_first,
            is_used: AtomicBool::new(false),
            sessions: Mutex::default(),
            senders,
        }
    }

    pub(crate) fn job(&self, job: Job) {
        let lanes = &self.senders.lanes;
        let lane = job.name().map_or(0, |name| name.lane(lanes.len()));
        let sent = lanes[lane].try_send((self.ticket, job));
        self.senders.check(sent.is_ok());
    }

    pub(crate) fn look(&self, look: Look) {
        let sent = self.senders.looks.try_send((self.ticket, look));
        self.senders.check(sent.is_ok());
    }

    pub(crate) fn subscription(&self, subscription: Subscription) {
        let sent = self
            .senders
            .subscriptions
            .try_send((self.ticket, subscription));
        self.senders.check(sent.is_ok());
    }

    /// Waits until all that was given by now is done.
    pub(super) async fn flush(&self) {
        let mut flushed = Vec::new();
        for lane in &self.senders.lanes {
            let (sender, done) = oneshot::channel();
            let sent = lane.try_send((self.ticket, Job::Flush(sender)));
            self.senders.check(sent.is_ok());
            flushed.push(done);
        }
        for done in flushed {
            let _ = done.await;
        }
    }

    /// There is a stream. Nothing is owned without a heartbeat before.
    pub(super) fn begin_to_use(&self, name: Name) {
        if !self.is_used.swap(true, Ordering::Relaxed) {
            self.job(Job::Beat(name));
        }
    }

    /// Whether the store was emptied since the last heartbeat, by whether it has the session that was written then.
    fn see(&self, has_session: bool) -> bool {
        let mut sessions = self.sessions();
        let lasts = |at: Instant| at.elapsed() < Duration::from_millis(SESSION);
        let is_emptied = !has_session && sessions.written.is_some_and(lasts);
        if is_emptied {
            sessions.emptied = Some(Instant::now());
        }
        is_emptied
    }

    /// A heartbeat has written the session, which was there or not. Whether the store was emptied before.
    pub(crate) fn wrote(&self, was_there: bool) -> bool {
        let is_emptied = self.see(was_there);
        self.sessions().written = Some(Instant::now());
        is_emptied
    }

    /// Whether others may be about to write again what the store had, by whether it has the session.
    pub(super) fn may_return(&self, has_session: bool, within: Duration) -> bool {
        self.see(has_session);
        let recently = |at: Instant| at.elapsed() < within;
        let emptied = self.sessions().emptied;
        !self.is_first && recently(self.began) || emptied.is_some_and(recently)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether heartbeats are to be sent, by whether there are streams.
    pub(crate) fn use_while(&self, has_streams: bool) {
        self.is_used.store(has_streams, Ordering::Relaxed);
    }
}
