//! A connection that carries out commands.

use std::time::Duration;

use bytes::Bytes;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, Value};

use super::nodes::{self, Node};
use super::scripts::{Script, Scripts, TEXTS};
use super::seal::What;
use super::server::{Is, Link};
use super::{Keys, Name, Server, StoreError, publish, replies, text};
use crate::store::{Answer, Command, Fence, InstanceId, Mark, Reign};

mod beside;
mod pages;

/// How long the store keeps what nobody touches.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// A log that has not ended, behind what was appended or acquired last.
    pub log: Duration,
    /// One that has.
    pub ended: Duration,
}

/// A connection that carries out commands.
///
/// A clone uses the same connection. Commands are carried out in the order in which their futures are polled first. Who
/// does not wait for one answer before the next command reads the answers in that order, and after an error none.
#[derive(Clone, Debug)]
pub struct Connection {
    link: Link,
    scripts: Scripts,
    keys: Keys,
    lifetimes: Lifetimes,
    instance: InstanceId,
    is: Is,
}

impl Connection {
    /// Connects an instance with a primary.
    ///
    /// # Errors
    ///
    /// When there is no such server, or it is a replica, or it does not let scripts be loaded.
    pub async fn open(
        server: &Server,
        instance: InstanceId,
        keys: Keys,
        lifetimes: Lifetimes,
    ) -> Result<Self, StoreError> {
        let (mut link, is) = server.connect(AsyncConnectionConfig::new()).await?;
        let mut pipe = redis::pipe();
        for script in TEXTS {
            pipe.cmd("SCRIPT").arg("LOAD").arg(script);
        }
        let hashes: Vec<String> = link.send_all(&pipe).await?;
        let hashes = hashes.try_into();
        Ok(Connection {
            link,
            scripts: Scripts(hashes.map_err(|_| StoreError::answer("list of hashes"))?),
            keys,
            lifetimes,
            instance,
            is,
        })
    }

    /// That of the primary as the connection began.
    pub fn reign(&self) -> Reign {
        self.is.reign
    }

    /// Whether the server is a node of a cluster.
    pub(super) fn is_cluster(&self) -> bool {
        self.is.is_cluster
    }

    /// What the server is in its cluster.
    pub(super) async fn node(&mut self) -> Result<Node, StoreError> {
        let text: String = self.send(redis::cmd("CLUSTER").arg("NODES")).await?;
        nodes::own(&text).ok_or_else(StoreError::no_primary)
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Carries out a command for this instance.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one of another version.
    pub async fn execute(&mut self, name: &Name, command: Command) -> Result<Answer, StoreError> {
        match command {
            Command::Read { from } => self.read(name, from).await,
            Command::Acquire {
                seen,
                fence,
                epoch,
                force,
            } => self.acquire(name, (seen, fence), epoch, force).await,
            Command::Append {
                fence,
                base,
                last,
                sequence,
                keep,
                mark,
                frame,
            } => {
                let frame = self.keys.write(name, What::Frame, frame);
                let keys = [self.keys.log(name), self.keys.meta(name)];
                let mut call = self.scripts.call(Script::Append, &keys);
                call.arg(text::fence(fence))
                    .arg(&[base, last, sequence, keep])
                    .arg(self.noted(mark))
                    .arg(millis(self.lifetimes.log))
                    .arg(self.keys.channel(name))
                    .arg(&frame[..]);
                let value = self.send(&call).await?;
                Ok(Answer::Appended(replies::appended(value)?))
            }
            Command::Leave { fence } => {
                let mut call = self.scripts.call(Script::Leave, &[self.keys.meta(name)]);
                call.arg(text::fence(fence)).arg(self.keys.channel(name));
                self.send::<Value>(&call).await?;
                Ok(Answer::Done)
            }
            Command::Finish { fence, base } => {
                let mut call = self.scripts.call(Script::Finish, &self.all(name));
                call.arg(text::fence(fence))
                    .arg(base)
                    .arg(millis(self.lifetimes.ended))
                    .arg(self.keys.channel(name));
                let value = self.send(&call).await?;
                Ok(Answer::Appended(replies::appended(value)?))
            }
            Command::Tell { fence, base, note } => {
                let note = self.keys.write(name, What::Note, note);
                let mut call = self.scripts.call(Script::Note, &[self.keys.meta(name)]);
                call.arg(text::fence(fence))
                    .arg(base)
                    .arg(&note[..])
                    .arg(self.keys.channel(name));
                let value = self.send(&call).await?;
                Ok(Answer::Appended(replies::appended(value)?))
            }
            Command::Renew { fence } => {
                let mut call = self.scripts.call(Script::Renew, &self.all(name));
                call.arg(text::fence(fence)).arg(millis(self.lifetimes.log));
                let value = self.send(&call).await?;
                Ok(Answer::Appended(replies::appended(value)?))
            }
            Command::Ask => {
                let mut cmd = redis::cmd("SPUBLISH");
                cmd.arg(self.keys.channel(name)).arg(publish::ASKED);
                self.send::<Value>(&cmd).await?;
                Ok(Answer::Done)
            }
        }
    }

    async fn read(&mut self, name: &Name, from: u64) -> Result<Answer, StoreError> {
        // As of one moment, and without a script, which would copy all of it twice.
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HMGET")
            .arg(self.keys.meta(name))
            .arg(&replies::FIELDS);
        pipe.cmd("XRANGE")
            .arg(self.keys.log(name))
            .arg(from)
            .arg("+");
        pipe.cmd("HGET").arg(self.keys.meta(name)).arg("h");
        let all = self.send_all(&pipe).await?;
        let mut snapshot = replies::snapshot(all)?;
        self.open_frames(name, &mut snapshot.frames);
        snapshot.note = self.keys.read(name, What::Note, snapshot.note);
        Ok(Answer::Read(snapshot))
    }

    async fn acquire(
        &mut self,
        name: &Name,
        (seen, fence): (Option<Fence>, Fence),
        epoch: u64,
        force: bool,
    ) -> Result<Answer, StoreError> {
        let tag = self.keys.tag(name);
        let keys = [
            self.keys.log(name),
            self.keys.meta(name),
            self.keys.session(tag, self.instance),
        ];
        let mut call = self.scripts.call(Script::Acquire, &keys);
        call.arg(seen.map(text::fence).unwrap_or_default())
            .arg(text::fence(fence))
            .arg(text::bits(self.instance.0))
            .arg(text::bits(epoch))
            .arg(if force { "force" } else { "" })
            .arg(self.keys.sessions(tag))
            .arg(millis(self.lifetimes.log))
            .arg(self.keys.channel(name));
        let value = self.send(&call).await?;
        Ok(Answer::Acquired(replies::acquired(value)?))
    }

    async fn send<T: FromRedisValue>(&mut self, cmd: &Cmd) -> Result<T, StoreError> {
        self.link.send(cmd).await
    }

    async fn send_all<T: FromRedisValue>(&mut self, pipe: &Pipeline) -> Result<T, StoreError> {
        self.link.send_all(pipe).await
    }

    /// As they were before they were written.
    fn open_frames(&self, name: &Name, frames: &mut [Bytes]) {
        for frame in frames {
            *frame = self.keys.read(name, What::Frame, std::mem::take(frame));
        }
    }

    /// What is written over the reign of the log; empty for nothing.
    fn noted(&self, mark: Mark) -> String {
        match mark {
            Mark::None => String::new(),
            Mark::First => text::bits(self.is.reign.0),
            Mark::Repair => "-".to_owned(),
        }
    }

    fn all(&self, name: &Name) -> [String; 3] {
        [
            self.keys.log(name),
            self.keys.meta(name),
            self.keys.crowd(name),
        ]
    }
}

/// As the store counts time.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}
