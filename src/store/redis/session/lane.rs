//! Carries out commands in their order.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use tokio::sync::mpsc;

use super::parts::Parts;
use crate::store::outside::{Hub, Job, Stream, Ticket};
use crate::store::redis::{Acknowledge, Connection, Keys, Name, StoreError};
use crate::store::{Answer, Command};

/// How many commands may be without an answer.
const UNDER_WAY: usize = 1_024;
/// How many names are tried until one is in the right partition.
const NAMES: usize = 10_000;

type Boxed = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What came of a job.
enum Done {
    Answer(Arc<Stream>, u64, Result<Answer, StoreError>),
    Anew(Arc<Stream>, Result<(), StoreError>),
    Other(Result<(), StoreError>),
    /// Whether others have all that was appended before.
    Acknowledged(Result<bool, StoreError>),
}

/// A job that was begun.
enum Begun {
    Running(Boxed),
    Done(Done),
}

impl Parts<'_> {
    /// Carries out commands in their order. Who does not wait for one answer before the next command must not poll them in
    /// another.
    pub(super) async fn carry_out(
        &self,
        connection: Connection,
        acknowledge: Acknowledge,
        mut jobs: mpsc::Receiver<(Ticket, Job)>,
    ) -> StoreError {
        let mut under_way: VecDeque<(Ticket, Begun)> = VecDeque::new();
        // What comes meanwhile is sent together, and waited for once.
        let (mut is_waiting, mut unsure) = (false, 0);
        poll_fn(|cx| {
            loop {
                let mut is_idle = true;
                let (before, mut appends) = (under_way.len(), Vec::new());
                while !is_waiting && under_way.len() < UNDER_WAY {
                    let Poll::Ready(Some((ticket, job))) = jobs.poll_recv(cx) else {
                        break;
                    };
                    is_idle = false;
                    if !self.holds(ticket) {
                        continue;
                    }
                    if matches!(job, Job::Command(_, _, Command::Append { .. })) {
                        appends.push(ticket);
                    }
                    let mut running = begin(self.hub, connection.clone(), job);
                    let begun = match running.as_mut().poll(cx) {
                        Poll::Ready(done) => Begun::Done(done),
                        Poll::Pending => Begun::Running(running),
                    };
                    under_way.push_back((ticket, begun));
                }
                if let (Some(ticket), true) = (appends.first(), acknowledge != Acknowledge::Primary)
                {
                    let mut running = wait(connection.clone(), acknowledge);
                    let begun = match running.as_mut().poll(cx) {
                        Poll::Ready(done) => Begun::Done(done),
                        Poll::Pending => Begun::Running(running),
                    };
                    // Their answers are there before, and are given behind it.
                    under_way.insert(before, (*ticket, begun));
                    is_waiting = true;
                    unsure = appends.len() as u64;
                }
                while let Some((_, front)) = under_way.front_mut() {
                    if let Begun::Running(running) = front {
                        match running.as_mut().poll(cx) {
                            Poll::Ready(done) => *front = Begun::Done(done),
                            Poll::Pending => break,
                        }
                    }
                    is_idle = false;
                    if let Some((ticket, Begun::Done(done))) = under_way.pop_front() {
                        if let Done::Acknowledged(acknowledged) = &done {
                            is_waiting = false;
                            if !matches!(acknowledged, Ok(true)) {
                                let count = &self.hub.counts.unacknowledged;
                                count.fetch_add(unsure, Ordering::Relaxed);
                            }
                        }
                        let done = finish(ticket.session, done);
                        let done = done.or_else(|error| self.failed(ticket, error));
                        if let Err(error) = done {
                            return Poll::Ready(error);
                        }
                    }
                }
                if is_idle {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

fn begin(hub: &Arc<Hub>, mut connection: Connection, job: Job) -> Boxed {
    match job {
        Job::Command(stream, number, command) => Box::pin(async move {
            let is_append = matches!(command, Command::Append { .. });
            let answer = connection.execute(&stream.name, command).await;
            if let (true, Ok(Answer::Appended(appended))) = (is_append, &answer) {
                stream.hub.counts.count(*appended);
            }
            Done::Answer(stream, number, answer)
        }),
        Job::Tell(name, fence, note) => Box::pin(async move {
            let told = connection.tell_all(&name, fence, &note).await;
            Done::Other(told)
        }),
        Job::Crowd(name, is_in) => {
            Box::pin(async move { Done::Other(connection.crowd(&name, is_in).await) })
        }
        Job::CrowdOf(name, sender) => Box::pin(async move {
            let crowd = connection.crowd_of(&name).await;
            Done::Other(crowd.map(|crowd| drop(sender.send(crowd))))
        }),
        Job::Anew(stream) => {
            let aside = aside(hub, connection.keys(), &stream.name);
            Box::pin(async move {
                let anew = connection.anew(&stream.name, &aside).await;
                Done::Anew(stream, anew.map(drop))
            })
        }
        Job::Beat(name) => {
            let session = hub.session(&name);
            Box::pin(async move {
                let tag = connection.keys().tag(&name).to_owned();
                let beat = connection.beat(&tag, Vec::new()).await;
                let wrote = |was_there| {
                    // From here on it is seen when the store is emptied.
                    session.map(|session| session.wrote(was_there));
                };
                Done::Other(beat.map(wrote))
            })
        }
        Job::Flush(sender) => Box::pin(async move {
            // It is answered behind all that is under way.
            let reached = connection.reach().await;
            let _ = sender.send(());
            Done::Other(reached)
        }),
        Job::Release(name) => {
            let hub = hub.clone();
            Box::pin(async move {
                // Another relay of this process may follow it by now, and own it.
                let released = match hub.stream(&name) {
                    Some(_) => Ok(()),
                    None => connection.release(&name).await,
                };
                if released.is_ok() {
                    hub.released(&name);
                }
                Done::Other(released)
            })
        }
    }
}

fn wait(mut connection: Connection, acknowledge: Acknowledge) -> Boxed {
    Box::pin(async move { Done::Acknowledged(connection.acknowledged(acknowledge).await) })
}

/// A name of the same partition.
fn aside(hub: &Hub, keys: &Keys, name: &Name) -> Name {
    let other = || hub.secret.name(b"aside", &hub.chance().to_be_bytes());
    let mut others = std::iter::repeat_with(other).take(NAMES);
    let found = others.find(|other| keys.partition(other) == keys.partition(name));
    found.unwrap_or_else(other)
}

fn finish(session: u64, done: Done) -> Result<(), StoreError> {
    match done {
        Done::Answer(stream, number, answer) => answered(session, &stream, number, answer),
        Done::Anew(stream, Ok(())) => {
            stream.gave_way(session);
            Ok(())
        }
        Done::Anew(stream, Err(error)) => blame(&stream, error),
        // It is of no stream that is followed any more, or is said again.
        Done::Other(Err(error)) if error.is_of_stream() => Ok(()),
        Done::Other(done) => done,
        Done::Acknowledged(done) => done.map(drop),
    }
}

pub(super) fn answered(
    session: u64,
    stream: &Arc<Stream>,
    number: u64,
    answer: Result<Answer, StoreError>,
) -> Result<(), StoreError> {
    match answer {
        Ok(answer) => {
            stream.answered(session, number, answer);
            Ok(())
        }
        Err(error) => blame(stream, error),
    }
}

/// What is wrong with one stream is no reason to give up the connections.
pub(super) fn blame(stream: &Arc<Stream>, error: StoreError) -> Result<(), StoreError> {
    if !error.is_of_stream() {
        return Err(error);
    }
    stream.leave_alone(&error);
    Ok(())
}
