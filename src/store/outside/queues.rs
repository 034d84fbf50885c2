//! What streams want done by the connections to the store.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::Stream;
use crate::store::redis::Name;
use crate::store::{Command, Fence, InstanceId, Reign};

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
    /// To be told when all in front of it is done.
    Flush(oneshot::Sender<()>),
}

/// For the connection that reads.
pub(crate) enum Look {
    /// A member's, from this position on.
    Read(Arc<Stream>, u64, u64),
    Told(Arc<Stream>),
    /// Whether there is a stream, and what was told of it last.
    Find(Name, oneshot::Sender<Option<Bytes>>),
}

/// For the connection that hears.
pub(crate) enum Subscription {
    Begin(Name),
    End(Name),
}

/// The connections to a store, as long as all of them are there.
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) reign: Reign,
    pub(crate) began: Instant,
    jobs: mpsc::Sender<Job>,
    looks: mpsc::Sender<Look>,
    subscriptions: mpsc::Sender<Subscription>,
    broken: Notify,
}

/// The other ends.
pub(crate) struct Queues {
    pub(crate) jobs: mpsc::Receiver<Job>,
    pub(crate) looks: mpsc::Receiver<Look>,
    pub(crate) subscriptions: mpsc::Receiver<Subscription>,
}

impl Session {
    pub(crate) fn new(number: u64, reign: Reign) -> (Self, Queues) {
        let (jobs, jobs_rest) = mpsc::channel(WAITING);
        let (looks, looks_rest) = mpsc::channel(WAITING);
        let (subscriptions, subscriptions_rest) = mpsc::channel(WAITING);
        let session = Session {
            number,
            reign,
            began: Instant::now(),
            jobs,
            looks,
            subscriptions,
            broken: Notify::new(),
        };
        let queues = Queues {
            jobs: jobs_rest,
            looks: looks_rest,
            subscriptions: subscriptions_rest,
        };
        (session, queues)
    }

    pub(crate) fn job(&self, job: Job) {
        self.check(self.jobs.try_send(job).is_ok());
    }

    pub(crate) fn look(&self, look: Look) {
        self.check(self.looks.try_send(look).is_ok());
    }

    pub(crate) fn subscription(&self, subscription: Subscription) {
        self.check(self.subscriptions.try_send(subscription).is_ok());
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
