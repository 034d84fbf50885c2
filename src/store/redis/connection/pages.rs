//! Reads a log page by page, and makes sure that all may be done that is to be done.

use redis::Value;

use super::Connection;
use crate::store::redis::scripts::Script;
use crate::store::redis::{Name, StoreError, replies};
use crate::store::{Command, Snapshot};

/// How many bytes a page is to have.
const PAGE: usize = 256 * 1024;
/// How many entries the first one has: it is not known how large they are.
const FIRST: usize = 4;
const MOST: usize = 1_024;

impl Connection {
    /// What is kept of a stream from this position on, as of one moment but for what came while it was read.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one of another version.
    pub async fn read_pages(&mut self, name: &Name, from: u64) -> Result<Snapshot, StoreError> {
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
        if snapshot.meta.is_none() {
            return Ok(snapshot);
        }
        let mut count = FIRST;
        loop {
            let is_last = page.len() < count;
            self.open_frames(name, &mut page);
            let largest = page.iter().map(bytes::Bytes::len).max().unwrap_or(0);
            snapshot.frames.append(&mut page);
            let Some(behind) = last.filter(|_| !is_last) else {
                return Ok(snapshot);
            };
            count = (PAGE / largest.max(1)).clamp(FIRST, MOST);
            let mut cmd = redis::cmd("XRANGE");
            cmd.arg(&log).arg(format!("({behind}")).arg("+");
            cmd.arg("COUNT").arg(count);
            (page, last) = replies::page(self.send(&cmd).await?)?;
        }
    }

    /// Has this instance own the stream no more, if it does.
    pub(in crate::store::redis) async fn release(&mut self, name: &Name) -> Result<(), StoreError> {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.keys.meta(name)).arg(&replies::FIELDS);
        let meta = replies::meta(self.send(&cmd).await?)?;
        if let Some(meta) = meta.filter(|meta| meta.owner == Some(self.instance)) {
            let fence = meta.fence;
            self.execute(name, Command::Leave { fence }).await?;
        }
        Ok(())
    }

    /// Waits until the server has answered all that was sent.
    pub(in crate::store::redis) async fn reach(&mut self) -> Result<(), StoreError> {
        let cmd = redis::cmd("EXISTS").arg(self.keys.sessions("0")).take();
        self.send::<Value>(&cmd).await.map(drop)
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
        let missing: Vec<String> = self.send(&call).await?;
        match missing.is_empty() {
            true => Ok(()),
            false => Err(StoreError::rights(missing)),
        }
    }
}
