//! How the owner of a stream writes what it appends.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Draft, Stored};
use crate::history::{MAX_UPSTREAM_ID, Seal};
use crate::wire::{Epoch, IdTag, LineEnding, SequentialId};

/// How the owner of a stream writes what it appends. The default is that of the simulation.
#[derive(Clone, Debug)]
pub struct Writing {
    /// By whom ids are written.
    pub tag: Option<IdTag>,
    /// What proves that ids which carry the upstream's were written here.
    pub seal: Option<Seal>,
    /// The event that tells of a gap; none where nothing does.
    pub gap: Option<Bytes>,
    /// Whether ids that the upstream has set stay.
    pub keeps_ids: bool,
    /// What ids begin with in place of the log's epoch. They are not stored then, since whoever knows one is let in: each member
    /// writes them for its clients.
    pub shown: Option<Epoch>,
    /// Whether who drafts has left out what the upstream has sent again.
    pub is_sifted: bool,
}

impl Default for Writing {
    fn default() -> Self {
        Writing {
            tag: None,
            seal: None,
            gap: Some(Bytes::from_static(b"event: gap\ndata: null\n\n")),
            keeps_ids: false,
            shown: None,
            is_sifted: false,
        }
    }
}

impl Writing {
    /// An epoch of these random bits.
    pub(super) fn epoch(&self, bits: u64) -> u64 {
        self.tag.map_or(bits >> 4, |tag| tag.bits_with(bits))
    }

    /// The event that tells of a gap.
    pub(super) fn gap(&self) -> Option<Draft> {
        Some(Draft {
            has_data: true,
            sets_id: false,
            is_gap: true,
            upstream: None,
            event: self.gap.clone()?,
        })
    }

    /// As it is stored under this number.
    pub(super) fn write(&self, draft: &Draft, epoch: u64, sequence: u64) -> Stored {
        let stored = Stored {
            has_data: draft.has_data,
            sets_id: draft.sets_id,
            is_gap: draft.is_gap,
            upstream: draft.upstream.clone(),
            body: 0,
            bytes: draft.event.clone(),
        };
        match self.shown {
            None => self.with_id(stored, Epoch::from_bits(epoch), sequence),
            Some(_) => stored,
        }
    }

    /// What clients are given of what is stored under this number, and where its id begins.
    #[cfg(feature = "redis")]
    pub(super) fn show(&self, stored: Stored, epoch: u64, sequence: u64) -> (Stored, Epoch) {
        match self.shown {
            None => (stored, Epoch::from_bits(epoch)),
            Some(shown) => (self.with_id(stored, shown, sequence), shown),
        }
    }

    fn with_id(&self, stored: Stored, epoch: Epoch, sequence: u64) -> Stored {
        let Some(id) = self.id(&stored, epoch, sequence) else {
            return stored;
        };
        let block = &stored.bytes[stored.body..];
        let ending = LineEnding::of_last(block).as_bytes();
        let body = b"id: ".len() + id.len() + ending.len();
        let mut bytes = BytesMut::with_capacity(body + block.len());
        for part in [b"id: ", &id[..], ending, block] {
            bytes.put_slice(part);
        }
        Stored {
            body,
            bytes: bytes.freeze(),
            ..stored
        }
    }

    /// What has neither data nor an id is given none: it would be that of the event behind it.
    fn id(&self, stored: &Stored, epoch: Epoch, sequence: u64) -> Option<Bytes> {
        let upstream = stored.upstream.as_ref();
        if self.keeps_ids && stored.sets_id {
            return Some(upstream.cloned().unwrap_or_default());
        }
        if !stored.has_data && !stored.sets_id {
            return None;
        }
        let id = SequentialId {
            epoch,
            sequence,
            upstream: upstream
                .filter(|id| !id.is_empty() && id.len() <= MAX_UPSTREAM_ID)
                .map(|id| &id[..]),
        };
        let id = match &self.seal {
            Some(seal) => seal.write(&id),
            None => id.to_event_id(),
        };
        Some(Bytes::copy_from_slice(id.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tagged_epoch_is_the_one_that_its_ids_have() {
        let tag = IdTag::new("http://a");
        let writing = Writing {
            tag: Some(tag),
            ..Writing::default()
        };
        for bits in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let epoch = Epoch::from_bits(writing.epoch(bits));
            assert!(epoch.has_tag(tag));
            assert_eq!(epoch, epoch.with_tag(tag));
        }
    }
}
