//! Frames and notes that only who has the secret can read, or make.
//!
//! | field | as |
//! |---|---|
//! | version | a byte: 16 |
//! | salt | 16 random bytes |
//! | the rest | what was sealed, and a tag of 16 bytes: ChaCha20-Poly1305 (RFC 8439, 2.8) |
//!
//! Each has a key of its own, made of the secret, the salt, the name of the stream and what it is; so the nonce is always 0.

use bytes::{BufMut, Bytes, BytesMut};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::Name;
use crate::relay;
use crate::store::{SEALED, UNOPENED};

const SALT: usize = 16;
const HEAD: usize = 1 + SALT;

/// Seals what is written, and opens what is read.
#[derive(Clone)]
pub struct Seal([u8; 32]);

/// What is sealed. One cannot be taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Frame,
    Note,
}

impl Seal {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Seal(key)
    }

    pub(super) fn seal(&self, name: &Name, what: What, bytes: &[u8]) -> Bytes {
        let salt = relay::random_bits().to_be_bytes();
        let mut sealed = BytesMut::with_capacity(HEAD + bytes.len() + CHACHA20_POLY1305.tag_len());
        sealed.put_u8(SEALED);
        sealed.put_slice(&salt);
        let mut body = sealed.split_off(HEAD);
        body.put_slice(bytes);
        let key = self.key(&salt, name, what);
        let tag = key.and_then(|key| {
            key.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut body)
                .ok()
        });
        // A body of more than 256 GiB would have none.
        if let Some(tag) = tag {
            body.put_slice(tag.as_ref());
        }
        sealed.unsplit(body);
        sealed.freeze()
    }

    /// None where it was not sealed, or for something else, or with another secret, or has changed since.
    pub(super) fn open(&self, name: &Name, what: What, sealed: &Bytes) -> Option<Bytes> {
        let (head, body) = sealed.split_at_checked(HEAD)?;
        let (version, salt) = head.split_first()?;
        if *version != SEALED {
            return None;
        }
        let mut body = body.to_vec();
        let key = self.key(salt, name, what)?;
        let len = key
            .open_in_place(nonce(), Aad::empty(), &mut body)
            .ok()?
            .len();
        body.truncate(len);
        Some(Bytes::from(body))
    }

    fn key(&self, salt: &[u8], name: &Name, what: What) -> Option<LessSafeKey> {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(match what {
            What::Frame => b"f",
            What::Note => b"n",
        });
        hasher.update(salt);
        hasher.update(name.as_bytes());
        let key = UnboundKey::new(&CHACHA20_POLY1305, hasher.finalize().as_bytes());
        key.ok().map(LessSafeKey::new)
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// As it is written: sealed, if there is a seal.
pub(super) fn write(seal: Option<&Seal>, name: &Name, what: What, bytes: Bytes) -> Bytes {
    match seal {
        Some(seal) => seal.seal(name, what, &bytes),
        None => bytes,
    }
}

/// As it was before it was written. What cannot be opened is no frame, and says so.
pub(super) fn read(seal: Option<&Seal>, name: &Name, what: What, bytes: Bytes) -> Bytes {
    match seal {
        Some(seal) if !bytes.is_empty() => seal
            .open(name, what, &bytes)
            .unwrap_or_else(|| Bytes::from_static(&[UNOPENED])),
        _ => bytes,
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;
    use crate::store::{Frame, FrameError};

    fn names() -> (Seal, Seal, Name, Name) {
        let [one, other] = [[1; 32], [2; 32]].map(|bytes| Secret::new(&bytes).unwrap());
        let (a, b) = (one.name(b"", b"a"), one.name(b"", b"b"));
        (one.seal(), other.seal(), a, b)
    }

    #[test]
    fn what_was_sealed_is_opened_by_the_same_secret_for_the_same_stream_and_use() {
        let (seal, other, a, b) = names();
        for bytes in [&b""[..], b"x", &[7; 100_000]] {
            let sealed = seal.seal(&a, What::Frame, bytes);
            assert_ne!(sealed, seal.seal(&a, What::Frame, bytes));
            let opened = seal.open(&a, What::Frame, &sealed);
            assert_eq!(opened.as_deref(), Some(bytes));
            assert_eq!(other.open(&a, What::Frame, &sealed), None);
            assert_eq!(seal.open(&b, What::Frame, &sealed), None);
            assert_eq!(seal.open(&a, What::Note, &sealed), None);
        }
    }

    #[test]
    fn what_has_changed_is_not_opened() {
        let (seal, _, a, _) = names();
        let sealed = seal.seal(&a, What::Frame, b"data: 1\n\n");
        for at in 0..sealed.len() {
            let mut changed = sealed.to_vec();
            changed[at] ^= 1;
            assert_eq!(seal.open(&a, What::Frame, &changed.into()), None, "{at}");
            let cut = sealed.slice(..at);
            assert_eq!(seal.open(&a, What::Frame, &cut), None, "{at}");
        }
    }

    #[test]
    fn a_frame_says_why_it_cannot_be_read() {
        let (seal, other, a, _) = names();
        let sealed = seal.seal(&a, What::Frame, b"\x01");
        let with = |seal| read(seal, &a, What::Frame, sealed.clone());
        assert_eq!(Frame::parse(&with(None)), Err(FrameError::Sealed));
        assert_eq!(Frame::parse(&with(Some(&other))), Err(FrameError::Unopened));
        let plain = read(Some(&seal), &a, What::Frame, Bytes::from_static(b"\x01"));
        assert_eq!(Frame::parse(&plain), Err(FrameError::Unopened));
        assert_eq!(with(Some(&seal)), &b"\x01"[..]);
    }
}
