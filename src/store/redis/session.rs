//! Keeps the connections of a process to a primary: opens them, serves its streams by them, and opens them again.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::find::Finder;
use super::{Acknowledge, Connection, Keys, Lifetimes, Server, StoreError, Tail};
use crate::store::outside::{Hub, Queues, Senders};

mod hear;
mod lane;
mod parts;
mod silent;

use parts::Parts;

/// Between two attempts to connect, at least and at most. With half of it more, that is shorter than a session: who owns
/// streams is back before another takes its place.
const AGAIN: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(500);
/// Who was connected for that long, or to a node whose slots have moved, begins anew with the shortest.
const LONG: Duration = Duration::from_secs(1);

/// How many connections write where others are waited for.
const LANES: usize = 4;

/// Where the store is, and how it is used.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) finder: Finder,
    pub(super) keys: Keys,
    pub(super) lifetimes: Lifetimes,
    pub(super) acknowledge: Acknowledge,
}

/// The connections to a primary, before anything was asked of them.
pub(super) struct Links {
    server: Server,
    commands: Connection,
    /// Those that streams write by. One that waits for others to have an event is no other's meanwhile.
    lanes: Vec<Connection>,
    looks: Connection,
    tail: Tail,
}

impl Place {
    /// Connects, for a partition that is to be there.
    pub(super) async fn connect(
        &self,
        hub: &Hub,
        server: Server,
        partition: usize,
    ) -> Result<Links, StoreError> {
        let open = || {
            let (keys, lifetimes) = (self.keys.clone(), self.lifetimes);
            Connection::open(&server, hub.me, keys, lifetimes)
        };
        let mut commands = open().await?;
        if commands.is_cluster() != self.finder.is_cluster() {
            return Err(StoreError::cluster(commands.is_cluster()));
        }
        let tag = self.keys.partitions().tag(partition);
        commands.check_rights(tag).await?;
        commands.check_acknowledge(self.acknowledge).await?;
        let mut lanes = Vec::new();
        while self.acknowledge != Acknowledge::Primary && lanes.len() < LANES {
            lanes.push(open().await?);
        }
        if lanes.is_empty() {
            lanes.push(commands.clone());
        }
        let looks = open().await?;
        let tail = Tail::open(&server, self.keys.clone()).await?;
        let mut reigns = lanes.iter().map(Connection::reign);
        let is_other = |reign| reign != commands.reign();
        if is_other(looks.reign()) || is_other(tail.reign()) || reigns.any(is_other) {
            return Err(StoreError::changed());
        }
        // Nothing else shows that it can be written to.
        commands.beat(tag, Vec::new()).await?;
        Ok(Links {
            server,
            commands,
            lanes,
            looks,
            tail,
        })
    }
}

/// A primary, and what is wanted of it.
pub(super) struct Primary {
    pub(super) hub: Arc<Hub>,
    pub(super) place: Place,
    /// Where it is, where that does not change.
    pub(super) server: Option<Server>,
    /// The partitions that it should have.
    pub(super) wanted: watch::Receiver<Vec<usize>>,
    /// It has lost one of them, or was lost.
    pub(super) lost: Arc<tokio::sync::Notify>,
}

impl Primary {
    /// Serves its partitions, until it is dropped.
    pub(super) async fn serve(mut self, mut links: Option<Links>) {
        let mut wait = AGAIN;
        let mut told = Told::default();
        loop {
            let connected = match links.take() {
                Some(links) => Ok(links),
                None => self.connect().await,
            };
            let mut server = None;
            let error = match connected {
                Ok(links) => {
                    if told.forget() {
                        tracing::info!(server = ?links.server, "the store is back");
                    }
                    server = Some(links.server.clone());
                    let began = Instant::now();
                    let error = self.run(links).await;
                    if began.elapsed() > LONG || error.is_moved() {
                        wait = AGAIN;
                    }
                    error
                }
                Err(error) => error,
            };
            self.lost.notify_one();
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            if !error.is_moved() && told.is_new(format!("{error} {cause:?}")) {
                let server = server.as_ref().or(self.server.as_ref());
                tracing::warn!(%error, cause, ?server, "the store is away");
            }
            let spread = self.hub.chance() % 50;
            sleep(wait + wait.mul_f64(spread as f64 / 100.0)).await;
            wait = (wait * 2).min(LONGEST);
        }
    }

    async fn connect(&mut self) -> Result<Links, StoreError> {
        let server = match &self.server {
            Some(server) => server.clone(),
            None => self.place.finder.primary().await?,
        };
        // A node that has none is of no use until it has one.
        let first = loop {
            if let Some(first) = self.wanted.borrow_and_update().first() {
                break *first;
            }
            if self.wanted.changed().await.is_err() {
                return Err(StoreError::behind());
            }
        };
        self.place.connect(&self.hub, server, first).await
    }

    /// Until one of the connections is lost, by which all of them are.
    async fn run(&mut self, links: Links) -> StoreError {
        let Links {
            commands,
            lanes,
            looks,
            tail,
            ..
        } = links;
        let hub = &self.hub;
        hub.counts.sessions.fetch_add(1, Ordering::Relaxed);
        let (senders, queues) = Senders::new(lanes.len());
        let Queues {
            lanes: jobs,
            looks: to_look,
            subscriptions,
        } = queues;
        let (parts, to_hear) = Parts::new(hub, &self.place.keys, &self.lost, senders.clone());
        let mut tasks: Vec<Pin<Box<dyn Future<Output = StoreError> + Send + '_>>> = vec![
            Box::pin(parts.look(looks, to_look)),
            Box::pin(parts.hear(tail, subscriptions, to_hear)),
            Box::pin(parts.keep_time(commands.clone())),
            Box::pin(parts.hold(commands.clone(), &mut self.wanted)),
            Box::pin(async {
                senders.broken().await;
                StoreError::behind()
            }),
        ];
        let acknowledge = self.place.acknowledge;
        for (connection, jobs) in lanes.into_iter().zip(jobs) {
            tasks.push(Box::pin(parts.carry_out(connection, acknowledge, jobs)));
        }
        let mut tasks = pin!(tasks);
        poll_fn(|cx| {
            for task in tasks.iter_mut() {
                if let Poll::Ready(error) = task.as_mut().poll(cx) {
                    return Poll::Ready(error);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Why a store is away, as far as that was told: each reason is once, and there are not many.
#[derive(Default)]
struct Told(Vec<String>);

impl Told {
    /// The most that is told until it is back.
    const MOST: usize = 8;

    fn is_new(&mut self, reason: String) -> bool {
        let is_new = self.0.len() < Self::MOST && !self.0.contains(&reason);
        if is_new {
            self.0.push(reason);
        }
        is_new
    }

    /// It is back. Whether anything was told.
    fn forget(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_until_the_store_is_back() {
        let mut told = Told::default();
        assert!(!told.forget());
        let is_new = ["away", "another password", "away", "another password"];
        let is_new = is_new.map(|reason| told.is_new(reason.to_owned()));
        assert_eq!(is_new, [true, true, false, false]);
        let many = (0..100).filter(|number| told.is_new(number.to_string()));
        assert_eq!(many.count(), Told::MOST - 2);
        assert!(told.forget());
        assert!(told.is_new("away".to_owned()));
    }
}
