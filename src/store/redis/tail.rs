//! A connection on which is heard what is published.

use redis::{AsyncConnectionConfig, PushInfo, PushKind, Value};
use tokio::sync::mpsc;

use super::keys::Channel;
use super::seal::What;
use super::server::Link;
use super::{Beat, Keys, Name, Server, StoreError, publish};
use crate::store::{InstanceId, Message, Reign};

/// How many messages wait to be taken. Who is so far behind reads the logs again.
const WAITING: usize = 4_096;

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message of a stream.
    Message(Name, Message),
    /// A heartbeat, in this partition.
    Beat(usize, Beat),
}

/// A connection on which is heard what is published.
#[derive(Debug)]
pub struct Tail {
    link: Link,
    pushed: mpsc::Receiver<PushInfo>,
    keys: Keys,
    reign: Reign,
    /// Channels that are about to be heard no more. Any other that ends is one whose slot has moved to another node.
    ending: Vec<String>,
}

impl Tail {
    /// Connects with a primary. Nothing is subscribed to.
    ///
    /// # Errors
    ///
    /// When there is no such server, or it is a replica.
    pub async fn open(server: &Server, keys: Keys) -> Result<Self, StoreError> {
        let (sender, pushed) = mpsc::channel(WAITING);
        // What does not fit is the end: without a sender, who takes what is there learns that the rest is lost.
        let sender = std::sync::Mutex::new(Some(sender));
        let push = move |info: PushInfo| {
            let mut sender = sender
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            let sent = sender.as_ref().is_some_and(|to| to.try_send(info).is_ok());
            if !sent {
                *sender = None;
            }
            sent.then_some(()).ok_or(())
        };
        let config = AsyncConnectionConfig::new().set_push_sender(push);
        let (link, is) = server.connect(config).await?;
        Ok(Tail {
            link,
            pushed,
            keys,
            reign: is.reign,
            ending: Vec::new(),
        })
    }

    /// That of the primary as the connection began.
    pub fn reign(&self) -> Reign {
        self.reign
    }

    /// Subscribes to the messages of streams. Behind it, what is published is heard.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn subscribe(&mut self, names: &[Name]) -> Result<(), StoreError> {
        let channels = names.iter().map(|name| self.keys.channel(name));
        self.each("SSUBSCRIBE", channels.collect()).await
    }

    /// Ends that.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn unsubscribe(&mut self, names: &[Name]) -> Result<(), StoreError> {
        let channels = names.iter().map(|name| self.keys.channel(name));
        let channels: Vec<_> = channels.collect();
        self.ending.extend(channels.iter().cloned());
        self.each("SUNSUBSCRIBE", channels).await
    }

    /// Subscribes to the heartbeats in the partitions with these tags.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn subscribe_beats(&mut self, tags: &[&str]) -> Result<(), StoreError> {
        let channels = tags.iter().map(|tag| self.keys.beats(tag));
        self.each("SSUBSCRIBE", channels.collect()).await
    }

    /// Subscribes to channels of this instance's own, in the partitions with these tags. Nothing is published there: that they are
    /// heard shows others that it is there.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn subscribe_own(
        &mut self,
        tags: &[&str],
        instance: InstanceId,
    ) -> Result<(), StoreError> {
        let channels = tags.iter().map(|tag| self.keys.session(tag, instance));
        self.each("SSUBSCRIBE", channels.collect()).await
    }

    /// What is heard next; none once the connection is lost, or something that came could not be kept.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            let PushInfo { kind, data } = self.pushed.recv().await?;
            match kind {
                PushKind::Disconnection => return None,
                PushKind::SMessage => {}
                PushKind::SUnsubscribe => match self.was_ending(data.into_iter().next()) {
                    true => continue,
                    false => return None,
                },
                _ => continue,
            }
            if let Some(heard) = self.heard(data) {
                return Some(heard);
            }
        }
    }

    fn was_ending(&mut self, channel: Option<Value>) -> bool {
        let Some(Value::BulkString(channel)) = channel else {
            return false;
        };
        let mut ending = self.ending.iter();
        let at = ending.position(|known| known.as_bytes() == channel);
        at.map(|at| self.ending.swap_remove(at)).is_some()
    }

    /// One command for each channel, since each brings an answer for each of its channels, and the connection counts one.
    async fn each(&mut self, command: &str, channels: Vec<String>) -> Result<(), StoreError> {
        if channels.is_empty() {
            return Ok(());
        }
        let mut pipe = redis::pipe();
        for channel in channels {
            pipe.cmd(command).arg(channel).ignore();
        }
        self.link.send_all(&pipe).await
    }

    fn heard(&self, data: Vec<Value>) -> Option<Heard> {
        let [channel, bytes]: [Value; 2] = data.try_into().ok()?;
        let (Value::BulkString(channel), Value::BulkString(bytes)) = (channel, bytes) else {
            return None;
        };
        match self.keys.parse_channel(&channel)? {
            Channel::Stream(name) => {
                let message = match publish::parse_message(bytes)? {
                    Message::Frame(frame) => {
                        Message::Frame(self.keys.read(&name, What::Frame, frame))
                    }
                    message => message,
                };
                Some(Heard::Message(name, message))
            }
            Channel::Beats(at) => Beat::parse(&bytes).map(|beat| Heard::Beat(at, beat)),
        }
    }
}
