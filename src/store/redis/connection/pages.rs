//! Reads a log page by page, and makes sure that all may be done that is to be done.

use redis::Value;

use super::Connection;
use crate::store::redis::scripts::Script;
use crate::store::redis::{Acknowledge, Name, StoreError, publish, replies, text};
use crate::store::{Command, Snapshot};

/// How many bytes a page is to have.
const PAGE: usize = 256 * 1024;
/// How many entries the first one has: it is not known how large they are.
const FIRST: usize = 4;
const MOST: usize = 1_024;
/// How often a log is read that another has taken the place of meanwhile.
const ATTEMPTS: usize = 3;
/// Milliseconds until who has not acknowledged an event is not waited for any more.
const PATIENCE: u64 = 100;

impl Connection {
    /// What is kept of a stream from this position on, as of one moment but for what came while it was read.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one of another version.
    pub async fn read_pages(&mut self, name: &Name, from: u64) -> Result<Snapshot, StoreError> {
        let mut attempts = 1..ATTEMPTS;
        loop {
            let (snapshot, is_torn) = self.read_once(name, from).await?;
            if !is_torn || attempts.next().is_none() {
                return Ok(snapshot);
            }
        }
    }

    /// Also whether the log is not what it was when the first page was read: another has begun in its place.
    async fn read_once(&mut self, name: &Name, from: u64) -> Result<(Snapshot, bool), StoreError> {
        let log = self.keys.log(name);
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HMGET")
            .arg(self.keys.meta(name))
            .arg(&replies::FIELDS);
        pipe.cmd("XRANGE").arg(&log).arg(from).arg("+");
        pipe.arg("COUNT").arg(FIRST);
        let (meta, page): (Value, Value) = self.send_all(&pipe).await?;
        let (mut page, mut last) = replies::page(page)?;
        // Notes are read on their own.
        let mut snapshot = replies::snapshot((meta, Value::Array(Vec::new()), None))?;
        let Some(meta) = snapshot.meta else {
            return Ok((snapshot, false));
        };
        let (mut count, mut at) = (FIRST, None);
        loop {
            let is_last = page.len() < count;
            self.open_frames(name, &mut page);
            let largest = page.iter().map(bytes::Bytes::len).max().unwrap_or(0);
            snapshot.frames.append(&mut page);
            at = last.clone().or(at);
            let Some(behind) = last.filter(|_| !is_last) else {
                let ends_at = at.and_then(|at| text::parse_number(at.strip_suffix("-0")?));
                let is_torn = ends_at.is_some_and(|at| at < meta.position);
                return Ok((snapshot, is_torn));
            };
            count = (PAGE / largest.max(1)).clamp(FIRST, MOST);
            let mut cmd = redis::cmd("XRANGE");
            cmd.arg(&log).arg(format!("({behind}")).arg("+");
            cmd.arg("COUNT").arg(count);
            (page, last) = replies::page(self.send(&cmd).await?)?;
        }
    }

    /// Has this instance own the stream no more, if it does, or if its log is gone.
    pub(in crate::store::redis) async fn release(&mut self, name: &Name) -> Result<(), StoreError> {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.keys.meta(name)).arg(&replies::FIELDS);
        match replies::meta(self.send(&cmd).await?)? {
            Some(meta) if meta.owner == Some(self.instance) => {
                let fence = meta.fence;
                self.execute(name, Command::Leave { fence }).await?;
            }
            Some(_) => {}
            // Whoever follows it may not know that the log is gone, and hears that this instance lives.
            None => {
                let mut cmd = redis::cmd("SPUBLISH");
                cmd.arg(self.keys.channel(name)).arg(publish::free());
                self.send::<Value>(&cmd).await?;
            }
        }
        Ok(())
    }

    /// Waits until the server has answered all that was sent.
    pub(in crate::store::redis) async fn reach(&mut self) -> Result<(), StoreError> {
        let cmd = redis::cmd("INFO").arg("server").take();
        self.send::<Value>(&cmd).await.map(drop)
    }

    /// Whether others have all that was sent over this connection; waits a while for that.
    pub(in crate::store::redis) async fn acknowledged(
        &mut self,
        by: Acknowledge,
    ) -> Result<bool, StoreError> {
        let mut cmd;
        match by {
            Acknowledge::Primary => Ok(true),
            Acknowledge::Replica => {
                cmd = redis::cmd("WAIT");
                let replicas: u64 = self.send(cmd.arg(1).arg(PATIENCE)).await?;
                Ok(replicas > 0)
            }
            Acknowledge::Disk => {
                cmd = redis::cmd("WAITAOF");
                let cmd = cmd.arg(1).arg(0).arg(PATIENCE);
                let (disks, _): (u64, u64) = self.send(cmd).await?;
                Ok(disks > 0)
            }
        }
    }

    /// Makes sure that it can be waited for.
    pub(in crate::store::redis) async fn check_acknowledge(
        &mut self,
        by: Acknowledge,
    ) -> Result<(), StoreError> {
        if by == Acknowledge::Disk && !self.is.has_disk {
            return Err(StoreError::no_disk());
        }
        self.acknowledged(by).await.map(drop)
    }

    /// Makes sure that the server lets all be done that is to be done.
    ///
    /// # Errors
    ///
    /// When it does not; it says what is missing.
    pub async fn check_rights(&mut self, tag: &str) -> Result<(), StoreError> {
        let mut call = self
            .scripts
            .call(Script::Rights, &[self.keys.session(tag, self.instance)]);
        call.arg(self.keys.beats(tag));
        let missing: Vec<String> = match self.send(&call).await {
            Err(error) if error.is_of_keys() => vec![format!("use keys ~{}:*", self.keys.prefix())],
            missing => missing?,
        };
        // To listen no more takes no channel.
        let is_missing = |right: &str| missing.iter().any(|missing| missing == right);
        let hears = ["SPUBLISH", "SSUBSCRIBE"].map(is_missing);
        let is_of_channels = hears == [true; 2] && !is_missing("SUNSUBSCRIBE");
        let channels = || format!("use channels &{}:*", self.keys.prefix());
        let all: Vec<_> = missing
            .iter()
            .cloned()
            .chain(is_of_channels.then(channels))
            .collect();
        match all.is_empty() {
            true => Ok(()),
            false => Err(StoreError::rights(all)),
        }
    }
}
