//! Any stream under any cut: the decoder says and gives out what the oracle reads.
//!
//! The first bytes of the input cut, the rest is the stream: a limit, a number of cuts, and where they are.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/support/decoding.rs"]
mod decoding;
#[path = "../../tests/support/oracle.rs"]
mod oracle;

fuzz_target!(|input: &[u8]| {
    let [limit, cuts, rest @ ..] = input else {
        return;
    };
    let limit = match limit % 4 {
        0 => 1 << 20,
        1 => 64,
        _ => usize::from(*limit) / 4,
    };
    let (cuts, stream) = rest.split_at(rest.len().min(usize::from(*cuts % 16)));
    let mut chunks = Vec::new();
    let mut behind = stream;
    for &len in cuts {
        let (chunk, rest) = behind.split_at(behind.len().min(usize::from(len)));
        chunks.push(chunk);
        behind = rest;
    }
    chunks.push(behind);

    let cut = decoding::check(stream, &chunks, limit);
    let whole = decoding::check(stream, &[stream], limit);
    // Whether a block is above the limit may depend on the cut by a byte or two, its bytes never do.
    assert!(
        cut.blocks
            .iter()
            .map(|block| &block.bytes)
            .eq(whole.blocks.iter().map(|block| &block.bytes))
    );
    assert_eq!(cut.rest, whole.rest);
});
