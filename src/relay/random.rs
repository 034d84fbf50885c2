//! Chance, good enough for secrets.

/// 128 random bits.
///
/// # Panics
///
/// When the system gives none: then nothing could be kept apart.
pub(super) fn bits() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    u128::from_ne_bytes(bytes)
}

/// A random number from 0 up to but without 1.
pub(super) fn fraction() -> f64 {
    ((bits() as u64) >> 11) as f64 / (1_u64 << 53) as f64
}
