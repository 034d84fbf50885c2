//! What keys and channels are called, and how values are written.

use bytes::Bytes;

use super::seal::{self, What};
use super::{Name, Partitions, Seal};
use crate::store::InstanceId;

/// Names keys and channels, and seals values if that is wanted.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
    partitions: Partitions,
    seal: Option<Seal>,
}

/// What a channel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Stream(Name),
    /// Of a partition.
    Beats(usize),
}

impl Keys {
    /// Below a prefix, such as `sse`.
    pub fn new(prefix: &str, partitions: Partitions) -> Self {
        Keys {
            prefix: prefix.to_owned(),
            partitions,
            seal: None,
        }
    }

    /// Has frames and notes sealed.
    #[must_use]
    pub fn with_seal(mut self, seal: Seal) -> Self {
        self.seal = Some(seal);
        self
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn write(&self, name: &Name, what: What, bytes: Bytes) -> Bytes {
        seal::write(self.seal.as_ref(), name, what, bytes)
    }

    pub(super) fn read(&self, name: &Name, what: What, bytes: Bytes) -> Bytes {
        seal::read(self.seal.as_ref(), name, what, bytes)
    }

    /// The partition of the stream.
    pub(super) fn partition(&self, name: &Name) -> usize {
        name.partition(self.partitions.count())
    }

    pub(super) fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    /// The tag of the stream's partition.
    pub fn tag(&self, name: &Name) -> &str {
        self.partitions.tag(self.partition(name))
    }

    /// The log of a stream.
    pub fn log(&self, name: &Name) -> String {
        self.of(name, 'l')
    }

    /// What is kept beside it.
    pub fn meta(&self, name: &Name) -> String {
        self.of(name, 'm')
    }

    /// Who has clients of it.
    pub fn crowd(&self, name: &Name) -> String {
        self.of(name, 'w')
    }

    /// Where a stream's messages are published.
    pub fn channel(&self, name: &Name) -> String {
        self.of(name, 'c')
    }

    /// Where the heartbeats of a partition are published.
    pub fn beats(&self, tag: &str) -> String {
        format!("{}:{{{tag}}}:b", self.prefix)
    }

    /// What the sessions of a partition begin with.
    pub fn sessions(&self, tag: &str) -> String {
        format!("{}:{{{tag}}}:i:", self.prefix)
    }

    /// The session of an instance in a partition, and the channel that it alone hears there.
    pub fn session(&self, tag: &str, instance: InstanceId) -> String {
        format!("{}{instance}", self.sessions(tag))
    }

    /// What a channel carries that has this name.
    pub(super) fn parse_channel(&self, channel: &[u8]) -> Option<Channel> {
        let rest = channel.strip_prefix(self.prefix.as_bytes())?;
        let rest = rest.strip_prefix(b":{")?;
        let end = rest.windows(2).position(|pair| pair == b"}:")?;
        match &rest[end + 2..] {
            b"b" => {
                let tag = std::str::from_utf8(&rest[..end]).ok()?;
                let at = self.partitions.tags().position(|known| known == tag);
                at.map(Channel::Beats)
            }
            rest => Name::parse(rest.strip_suffix(b":c")?).map(Channel::Stream),
        }
    }

    fn of(&self, name: &Name, kind: char) -> String {
        format!("{}:{{{}}}:{name}:{kind}", self.prefix, self.tag(name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    #[test]
    fn keys_of_a_stream_and_the_sessions_of_its_partition_have_one_tag() {
        let keys = Keys::new("sse", Partitions::of_cluster());
        let name = Secret::new(&[7; 32]).unwrap().name(b"route", b"key");
        let tag = keys.tag(&name);
        let session = keys.session(tag, InstanceId(0xab));
        assert_eq!(session, format!("sse:{{{tag}}}:i:00000000000000ab"));
        assert_eq!(keys.log(&name), format!("sse:{{{tag}}}:{name}:l"));
        assert_eq!(keys.meta(&name), format!("sse:{{{tag}}}:{name}:m"));
        assert_eq!(keys.crowd(&name), format!("sse:{{{tag}}}:{name}:w"));
    }

    #[test]
    fn channels_are_read_as_they_are_written() {
        let keys = Keys::new("sse", Partitions::of_cluster());
        let name = Secret::new(&[7; 32]).unwrap().name(b"route", b"key");
        let parse = |channel: String| keys.parse_channel(channel.as_bytes());
        assert_eq!(parse(keys.channel(&name)), Some(Channel::Stream(name)));
        let tags: Vec<_> = keys.partitions.tags().map(str::to_owned).collect();
        for (partition, tag) in tags.iter().enumerate() {
            let beats = keys.beats(tag);
            assert_eq!(parse(beats), Some(Channel::Beats(partition)));
        }
        assert_eq!(parse(keys.beats("none")), None);
        assert_eq!(parse(keys.log(&name)), None);
        assert_eq!(parse("other:{5}:b".to_owned()), None);
    }
}
