//! Checks in ids, by which we know again what we wrote.

use std::fmt;

use crate::wire::{EventId, IdCheck, SequentialId};

/// Writes and proves the checks in the ids of one stream.
///
/// An id that carries the upstream's own behind a dot comes back from a client, who may have made it up. Its check proves
/// that it was written by who has the key of this seal, and so that the upstream once gave that id on this stream.
#[derive(Clone)]
pub struct Seal {
    key: [u8; 32],
}

impl Seal {
    /// With a key that is this stream's alone, and secret.
    pub fn new(key: [u8; 32]) -> Self {
        Seal { key }
    }

    /// Writes an id. It has a check if it has a part of the upstream.
    pub fn write(&self, id: &SequentialId<'_>) -> EventId {
        match id.upstream {
            Some(upstream) => id.to_event_id_with_check(self.check(upstream)),
            None => id.to_event_id(),
        }
    }

    /// The upstream's part of an id that was written by this seal.
    pub fn proven<'a>(&self, id: &'a [u8]) -> Option<&'a [u8]> {
        let (id, check) = SequentialId::parse_with_check(id)?;
        let upstream = id.upstream?;
        (check? == self.check(upstream)).then_some(upstream)
    }

    pub(super) fn check(&self, upstream: &[u8]) -> IdCheck {
        let hash = blake3::keyed_hash(&self.key, upstream);
        let (bits, _) = hash.as_bytes().split_at(16);
        IdCheck::from_bits(
            bits.iter()
                .fold(0, |bits, byte| bits << 8 | u128::from(*byte)),
        )
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Epoch;

    #[test]
    fn what_another_wrote_or_changed_is_not_proven() {
        let seal = Seal::new([7; 32]);
        let id = SequentialId {
            epoch: Epoch::from_bits(1),
            sequence: 3,
            upstream: Some(b"42"),
        };
        let written = seal.write(&id);
        assert_eq!(seal.proven(written.as_bytes()), Some(&b"42"[..]));
        assert_eq!(Seal::new([8; 32]).proven(written.as_bytes()), None);
        let text = String::from_utf8(written.as_bytes().to_vec()).unwrap();
        for changed in [
            text.replace(".42", ".43"),
            text.replace(".42", ".420"),
            id.to_event_id().as_bytes().escape_ascii().to_string(),
            "42".into(),
        ] {
            assert_eq!(seal.proven(changed.as_bytes()), None, "{changed}");
        }
    }
}
