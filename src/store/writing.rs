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
        let (body, bytes) = match self.id(draft, epoch, sequence) {
            None => (0, draft.event.clone()),
            Some(id) => {
                let ending = LineEnding::of_last(&draft.event).as_bytes();
                let body = b"id: ".len() + id.len() + ending.len();
                let mut bytes = BytesMut::with_capacity(body + draft.event.len());
                for part in [b"id: ", &id[..], ending, &draft.event] {
                    bytes.put_slice(part);
                }
                (body, bytes.freeze())
            }
        };
        Stored {
            has_data: draft.has_data,
            sets_id: draft.sets_id,
            is_gap: draft.is_gap,
            upstream: draft.upstream.clone(),
            body,
            bytes,
        }
    }

    /// What has neither data nor an id is given none: it would be that of the event behind it.
    fn id(&self, draft: &Draft, epoch: u64, sequence: u64) -> Option<Bytes> {
        let upstream = draft.upstream.as_ref();
        if self.keeps_ids && draft.sets_id {
            return Some(upstream.cloned().unwrap_or_default());
        }
        if !draft.has_data && !draft.sets_id {
            return None;
        }
        let id = SequentialId {
            epoch: Epoch::from_bits(epoch),
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
