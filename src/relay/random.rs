//! Random bytes that nobody guesses: for secrets, and for ids that prove something. What only keeps things from happening at
//! once is in [`jitter`](crate::stage::jitter).

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
pub(crate) fn bits() -> u128 {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    u128::from_ne_bytes(bytes)
}
