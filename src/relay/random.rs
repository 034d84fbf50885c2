//! Chance, good enough for secrets.

/// Fills this with random bytes.
///
/// # Panics
///
/// When the system gives none: then nothing could be kept apart.
pub(super) fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system gives random bytes");
}

/// 128 random bits.
///
/// # Panics
///
/// As [`fill`].
pub(super) fn bits() -> u128 {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    u128::from_ne_bytes(bytes)
}

/// A random number from 0 up to but without 1.
pub(super) fn fraction() -> f64 {
    ((bits() as u64) >> 11) as f64 / (1_u64 << 53) as f64
}
