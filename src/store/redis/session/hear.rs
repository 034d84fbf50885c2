//! Hears what is published, and reads logs.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::mpsc;

use super::lane::{answered, blame};
use super::parts::{Parts, ToHear};
use crate::store::outside::{Look, Subscription, Ticket};
use crate::store::redis::{Beat, Connection, Heard, StoreError, Tail};
use crate::store::{Answer, Message};

/// How many channels are subscribed to at once.
const AT_ONCE: usize = 256;

enum Next {
    Heard(Option<Heard>),
    Subscription(Option<(Ticket, Subscription)>),
    Beats(Option<(Vec<usize>, tokio::sync::oneshot::Sender<()>)>),
}

impl Parts<'_> {
    /// Reads logs one by one, on a connection of its own, so that no append waits for it.
    pub(super) async fn look(
        &self,
        mut connection: Connection,
        mut looks: mpsc::Receiver<(Ticket, Look)>,
    ) -> StoreError {
        while let Some((ticket, look)) = looks.recv().await {
            if !self.holds(ticket) {
                continue;
            }
            let session = ticket.session;
            let done = match look {
                Look::Read(stream, number, from) => {
                    let read = connection.read_pages(&stream.name, from).await;
                    answered(session, &stream, number, read.map(Answer::Read))
                }
                Look::Find(name, sender) => {
                    let found = connection.find(&name).await;
                    found.map(|found| drop(sender.send(found)))
                }
                Look::Told(stream, life) => match connection.told(&stream.name).await {
                    Ok(note) => {
                        stream.told(session, life, note);
                        Ok(())
                    }
                    Err(error) => blame(&stream, error),
                },
            };
            let done = done.or_else(|error| self.failed(ticket, error));
            if let Err(error) = done {
                return error;
            }
        }
        StoreError::behind()
    }

    /// Hears what is published, and has more of it published here.
    pub(super) async fn hear(
        &self,
        mut tail: Tail,
        mut subscriptions: mpsc::Receiver<(Ticket, Subscription)>,
        mut to_hear: ToHear,
    ) -> StoreError {
        loop {
            let next = poll_fn(|cx| {
                if let Poll::Ready(beats) = to_hear.poll_recv(cx) {
                    return Poll::Ready(Next::Beats(beats));
                }
                if let Poll::Ready(first) = subscriptions.poll_recv(cx) {
                    return Poll::Ready(Next::Subscription(first));
                }
                pin!(tail.next()).poll(cx).map(Next::Heard)
            });
            let done = match next.await {
                Next::Heard(None) | Next::Subscription(None) | Next::Beats(None) => {
                    Err(StoreError::deaf())
                }
                Next::Heard(Some(heard)) => {
                    self.take_in(heard);
                    Ok(())
                }
                Next::Beats(Some((partitions, heard))) => {
                    let tag = |at: &usize| self.keys.partitions().tag(*at);
                    let tags: Vec<_> = partitions.iter().map(tag).collect();
                    let done = async {
                        tail.subscribe_own(&tags, self.hub.me).await?;
                        tail.subscribe_beats(&tags).await
                    };
                    let done = done.await;
                    if done.is_ok() {
                        let _ = heard.send(());
                    }
                    done
                }
                Next::Subscription(Some(first)) => {
                    let mut all = vec![first];
                    while let (true, Ok(more)) = (all.len() < AT_ONCE, subscriptions.try_recv()) {
                        all.push(more);
                    }
                    self.subscribe(&mut tail, all).await
                }
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    async fn subscribe(
        &self,
        tail: &mut Tail,
        all: Vec<(Ticket, Subscription)>,
    ) -> Result<(), StoreError> {
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for (ticket, subscription) in all {
            match subscription {
                Subscription::Begin(name) if self.holds(ticket) => begun.push((name, ticket)),
                // Another relay may follow it by now.
                Subscription::End(name) if self.hub.stream(&name).is_none() => ended.push(name),
                Subscription::Begin(_) | Subscription::End(_) => {}
            }
        }
        let names: Vec<_> = begun.iter().map(|(name, _)| *name).collect();
        tail.unsubscribe(&ended).await?;
        tail.subscribe(&names).await?;
        for (name, ticket) in begun {
            if let Some(stream) = self.hub.stream(&name) {
                stream.subscribed(ticket.session);
            }
        }
        Ok(())
    }

    fn take_in(&self, heard: Heard) {
        match heard {
            Heard::Message(name, message) => {
                let session = self.session_of(self.keys.partition(&name));
                if let (Some(session), Some(stream)) = (session, self.hub.stream(&name)) {
                    match message {
                        Message::Told => stream.hear_of_note(),
                        message => stream.hear(session, &message),
                    }
                }
            }
            Heard::Beat(partition, Beat { instance, moved }) => {
                let Some(session) = self.session_of(partition) else {
                    return;
                };
                self.hear_beat(partition, instance);
                let moved: HashMap<_, _> = moved.into_iter().collect();
                for stream in self.hub.streams_in(partition) {
                    stream.beat(session, instance, moved.get(&stream.name).copied());
                }
            }
        }
    }
}
