//! What a store does beside the commands of a member: notes, crowds, heartbeats, and logs that give way.

use bytes::Bytes;
use redis::Value;

use super::{Connection, millis};
use crate::store::redis::scripts::Script;
use crate::store::redis::seal::What;
use crate::store::redis::{Beat, Name, StoreError, publish, replies, text};
use crate::store::{Fence, InstanceId, SESSION};

impl Connection {
    /// Replaces what all are told beside events; says whether this is the fence.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn tell(
        &mut self,
        name: &Name,
        fence: Fence,
        note: &Bytes,
    ) -> Result<bool, StoreError> {
        let mut call = self.scripts.call(Script::Tell, &[self.keys.meta(name)]);
        let note = self.keys.write(name, What::Note, note.clone());
        call.arg(text::fence(fence)).arg(&note[..]);
        self.send(&call).await
    }

    /// The same, and lets all know that there is something to be read.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn tell_all(
        &mut self,
        name: &Name,
        fence: Fence,
        note: &Bytes,
    ) -> Result<(), StoreError> {
        let mut call = self.scripts.call(Script::Tell, &[self.keys.meta(name)]);
        let note = self.keys.write(name, What::Note, note.clone());
        call.arg(text::fence(fence)).arg(&note[..]);
        let mut pipe = redis::pipe();
        pipe.add_command(call);
        pipe.cmd("SPUBLISH")
            .arg(self.keys.channel(name))
            .arg(publish::TOLD);
        self.send_all::<(Value, Value)>(&pipe).await?;
        Ok(())
    }

    /// What was told last; none where there is no log, or nothing was told.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn told(&mut self, name: &Name) -> Result<Option<Bytes>, StoreError> {
        let mut cmd = redis::cmd("HGET");
        cmd.arg(self.keys.meta(name)).arg("h");
        let note: Option<Vec<u8>> = self.send(&cmd).await?;
        Ok(note.map(|note| self.keys.read(name, What::Note, Bytes::from(note))))
    }

    /// Whether there is a log that can be read, by what was told of it last: empty where that is nothing. And whether the session of
    /// this instance is there.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn find(&mut self, name: &Name) -> Result<(Option<Bytes>, bool), StoreError> {
        let mut pipe = redis::pipe();
        pipe.cmd("HMGET")
            .arg(self.keys.meta(name))
            .arg("v")
            .arg("h");
        pipe.cmd("EXISTS")
            .arg(self.keys.session(self.keys.tag(name), self.instance));
        let found: ([Option<Vec<u8>>; 2], bool) = match self.send_all(&pipe).await {
            Err(error) if error.is_of_stream() => return Ok((None, true)),
            found => found?,
        };
        let ([version, note], has_session) = found;
        let is_known = version.is_some_and(|version| version == replies::VERSION.as_bytes());
        let note = note.filter(|_| is_known).map(Bytes::from);
        let note = note.map(|note| self.keys.read(name, What::Note, note));
        Ok((is_known.then(|| note.unwrap_or_default()), has_session))
    }

    /// Says that this instance has clients of the stream, or none any more.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn crowd(&mut self, name: &Name, is_in: bool) -> Result<(), StoreError> {
        let keys = [self.keys.meta(name), self.keys.crowd(name)];
        let mut call = self.scripts.call(Script::Crowd, &keys);
        call.arg(text::bits(self.instance.0))
            .arg(if is_in { "SADD" } else { "SREM" })
            .arg(millis(self.lifetimes.log));
        self.send(&call).await
    }

    /// The instances that have clients and live, in no order.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn crowd_of(&mut self, name: &Name) -> Result<Vec<InstanceId>, StoreError> {
        let mut cmd = redis::cmd("SMEMBERS");
        cmd.arg(self.keys.crowd(name));
        let members: Vec<String> = self.send(&cmd).await?;
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let members = members.iter().filter_map(|id| text::parse_bits(id));
        let members: Vec<_> = members.map(InstanceId).collect();
        let mut pipe = redis::pipe();
        for member in &members {
            let session = self.keys.session(self.keys.tag(name), *member);
            pipe.cmd("EXISTS").arg(session);
        }
        let alive: Vec<bool> = self.send_all(&pipe).await?;
        let crowd = members.into_iter().zip(alive).filter(|(_, alive)| *alive);
        Ok(crowd.map(|(member, _)| member).collect())
    }

    /// Puts a log that has ended aside, under a name of the same partition; says whether there was one.
    ///
    /// # Errors
    ///
    /// When there is no answer, or the name is of another partition.
    pub async fn anew(&mut self, name: &Name, aside: &Name) -> Result<bool, StoreError> {
        let keys = [self.all(name), self.all(aside)].concat();
        let call = self.scripts.call(Script::Anew, &keys);
        self.send(&call).await
    }

    /// Whether these instances hear what is published in the partition with this tag, as the server knows. One that has ended does
    /// not; one that has stopped does, until its connection is lost.
    ///
    /// # Errors
    ///
    /// When there is no answer, or the user may not ask.
    pub async fn hears(
        &mut self,
        tag: &str,
        instances: &[InstanceId],
    ) -> Result<Vec<bool>, StoreError> {
        let mut cmd = redis::cmd("PUBSUB");
        cmd.arg("SHARDNUMSUB");
        for instance in instances {
            cmd.arg(self.keys.session(tag, *instance));
        }
        let counts: Vec<(String, u64)> = self.send(&cmd).await?;
        match counts.len() == instances.len() {
            true => Ok(counts.into_iter().map(|(_, count)| count > 0).collect()),
            false => Err(StoreError::answer("count of subscriptions")),
        }
    }

    /// A heartbeat in the partition with this tag. Says whether the session of this instance was there.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn beat(&mut self, tag: &str, moved: Vec<(Name, u64)>) -> Result<bool, StoreError> {
        let beat = Beat {
            instance: self.instance,
            moved,
        };
        let mut pipe = redis::pipe();
        pipe.cmd("SET")
            .arg(self.keys.session(tag, self.instance))
            .arg(1)
            .arg("PX")
            .arg(SESSION)
            .arg("GET");
        pipe.cmd("SPUBLISH")
            .arg(self.keys.beats(tag))
            .arg(beat.to_text());
        let (before, _) = self.send_all::<(Option<String>, Value)>(&pipe).await?;
        Ok(before.is_some())
    }
}
