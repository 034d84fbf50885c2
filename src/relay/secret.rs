//! What keys and checks are made with, so that nobody outside makes or guesses one.

use std::fmt;

use blake3::Hasher;

use super::random;
use crate::history::Seal;

/// A hash of a key, or of something like it.
pub(super) type Hash = [u8; 32];

/// A secret of the process, or of several that are to know each other's ids.
///
/// Keys are hashed with it, and ids that carry the upstream's own have a check made with it. With a random one, the
/// default, the ids of an earlier process prove nothing: their clients are served, each by a request of its own until it
/// has caught up. With the same secret in each process, and the same name in each, they are known again.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    key: Hash,
}

/// A secret that is too short to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortSecret {
    len: usize,
}

const LEAST: usize = 32;

impl Secret {
    /// One that nobody knows, and no other process has.
    ///
    /// # Panics
    ///
    /// When the system gives no random bytes.
    pub fn random() -> Self {
        let mut key = [0; 32];
        random::fill(&mut key);
        Secret { key }
    }

    /// One of the user's: at least 32 bytes that are not guessed, as `openssl rand -hex 32` writes them.
    ///
    /// # Errors
    ///
    /// When there are fewer.
    ///
    /// ```
    /// use tower_sse::relay::Secret;
    ///
    /// assert!(Secret::new([7; 31]).is_err());
    /// assert!(Secret::new([7; 32]).is_ok());
    /// ```
    pub fn new(secret: impl AsRef<[u8]>) -> Result<Self, ShortSecret> {
        let secret = secret.as_ref();
        if secret.len() < LEAST {
            return Err(ShortSecret { len: secret.len() });
        }
        let key = blake3::derive_key("tower-sse 2026-11 secret of relays", secret);
        Ok(Secret { key })
    }

    /// Another secret for what has this name, such as a route: what one wrote proves nothing to another.
    #[must_use]
    pub fn for_name(&self, name: &str) -> Self {
        let mut fields = self.fields("name");
        fields.add(name.as_bytes());
        Secret { key: fields.hash() }
    }

    /// Begins a hash for some purpose.
    pub(super) fn fields(&self, purpose: &str) -> Fields {
        let mut fields = Fields(Hasher::new_keyed(&self.key));
        fields.add(purpose.as_bytes());
        fields
    }

    /// The seal of the ids of what has this hash.
    pub(super) fn seal(&self, of: &Hash) -> Seal {
        let mut fields = self.fields("ids");
        fields.add(of);
        Seal::new(fields.hash())
    }
}

/// A hash of fields, of which one cannot be taken for another.
pub(super) struct Fields(Hasher);

impl Fields {
    pub(super) fn add(&mut self, value: &[u8]) {
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value);
    }

    pub(super) fn add_if_any(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.add(value),
            // No length is that long.
            None => {
                self.0.update(&[0xff; 8]);
            }
        }
    }

    pub(super) fn hash(&self) -> Hash {
        *self.0.finalize().as_bytes()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

impl fmt::Display for ShortSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a secret has at least {LEAST} bytes, and this has {}; `openssl rand -hex 32` makes one",
            self.len
        )
    }
}

impl std::error::Error for ShortSecret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_never_shown() {
        assert!(Secret::new("x".repeat(31)).is_err());
        let secret = Secret::new("x".repeat(32)).unwrap();
        assert!(!format!("{secret:?}").contains('x'));
        assert_eq!(secret, Secret::new("x".repeat(32)).unwrap());
        assert_ne!(secret.for_name("a"), secret.for_name("b"));
        assert_ne!(Secret::random(), Secret::random());
    }

    #[test]
    fn one_field_is_not_taken_for_another() {
        let of = |values: &[Option<&[u8]>]| {
            let mut fields = Secret { key: [1; 32] }.fields("test");
            for value in values {
                fields.add_if_any(*value);
            }
            fields.hash()
        };
        let all = [
            of(&[]),
            of(&[None]),
            of(&[Some(b"")]),
            of(&[Some(b""), Some(b"")]),
            of(&[Some(b"ab"), Some(b"c")]),
            of(&[Some(b"a"), Some(b"bc")]),
            of(&[Some(b"abc")]),
        ];
        for (index, hash) in all.iter().enumerate() {
            assert!(!all[..index].contains(hash), "{index}");
        }
    }
}
