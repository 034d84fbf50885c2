//! What a stream is called in the store.

use std::fmt;

use super::Seal;

/// Letters of a name: 130 bits.
const LEN: usize = 26;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The name of a stream. Nobody can tell of what, or make one, without the secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    text: [u8; LEN],
}

/// What all gateways that share a history know, and nobody else.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// From random bytes, at least 32 of them; none where there are fewer.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let key = || blake3::derive_key("tower-sse 2026-11 names of streams in a store", bytes);
        (bytes.len() >= 32).then(|| Secret(key()))
    }

    /// The name of what has this key on this route.
    pub fn name(&self, route: &[u8], key: &[u8]) -> Name {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // The length keeps apart what ends the one and what begins the other.
        hasher.update(&(route.len() as u64).to_be_bytes());
        hasher.update(route);
        hasher.update(key);
        let hash = hasher.finalize();
        let mut text = [0; LEN];
        for (index, letter) in text.iter_mut().enumerate() {
            let bit = 5 * index;
            let bytes = &hash.as_bytes()[bit / 8..];
            let pair = u16::from_be_bytes([bytes[0], bytes[1]]);
            *letter = ALPHABET[usize::from(pair >> (11 - bit % 8) & 31)];
        }
        Name { text }
    }

    /// By which what is stored is sealed.
    pub fn seal(&self) -> Seal {
        Seal::new(blake3::derive_key(
            "tower-sse 2026-11 seal of what is stored",
            &self.0,
        ))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Name {
    /// Reads one as it is written.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let is_valid = text.iter().all(|letter| ALPHABET.contains(letter));
        let text = text.try_into().ok()?;
        is_valid.then_some(Name { text })
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Which of so many partitions it is in, wherever that is asked.
    pub(crate) fn partition(&self, partitions: usize) -> usize {
        self.hash() % partitions
    }

    /// Which of so many lanes it is in, whatever its partition is.
    pub(crate) fn lane(&self, lanes: usize) -> usize {
        (self.hash() >> 6) % lanes
    }

    fn hash(&self) -> usize {
        let digit = |letter: &u8| ALPHABET.iter().position(|other| other == letter);
        let digits = self.text[..2].iter().filter_map(digit);
        digits.fold(0, |hash, digit| hash << 5 | digit)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_depends_on_secret_route_and_key_and_is_read_as_it_was_written() {
        let secrets = [[1; 32], [2; 32]].map(|bytes| Secret::new(&bytes).unwrap());
        let parts: [(&[u8], &[u8]); 3] = [(b"a", b"bc"), (b"ab", b"c"), (b"ab", b"d")];
        let mut names: Vec<Name> = secrets
            .iter()
            .flat_map(|secret| parts.map(|(route, key)| secret.name(route, key)))
            .collect();
        for name in &names {
            assert_eq!(Name::parse(name.to_string().as_bytes()), Some(*name));
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6);
    }

    #[test]
    fn a_short_secret_is_none() {
        assert!(Secret::new(&[1; 31]).is_none());
    }

    #[test]
    fn what_is_no_name_is_not_read() {
        for text in [&b""[..], &[b'a'; 25], &[b'a'; 27], &[b'u'; 26]] {
            assert_eq!(Name::parse(text), None);
        }
    }
}
