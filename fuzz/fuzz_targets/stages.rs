//! For every stream, every chunking and every set of stages: a client sees the same events as without
//! us, plus what the stages say they add.
//!
//! The input is a number, so many bytes of a plan, and the stream.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

#[allow(dead_code)] // the decoder alone is for the other target
#[path = "../../tests/support/decoding.rs"]
mod decoding;
#[path = "../../tests/support/oracle.rs"]
mod oracle;
#[path = "../../tests/support/plan.rs"]
mod plan;
#[path = "../../tests/support/sentence.rs"]
mod sentence;
#[path = "../../tests/support/stages.rs"]
mod stages;

fuzz_target!(|input: &[u8]| -> Corpus {
    let [len, rest @ ..] = input else {
        return Corpus::Reject;
    };
    let (plan, stream) = rest.split_at(rest.len().min(usize::from(*len)));
    let mark = plan::MARK.as_bytes();
    let times = [plan::RETRY.to_string(), plan::FAREWELL_RETRY.to_string()];
    // What a stage writes is told from the rest by these, and the fuzzer does find them.
    let marked = |what: &[u8]| stream.windows(what.len()).any(|window| window == what);
    if marked(mark) || times.iter().any(|time| marked(time.as_bytes())) || marked(b" closing: ") {
        return Corpus::Reject;
    }
    sentence::check(stream, &plan::Plan::from_bytes(plan, stream.len()));
    Corpus::Keep
});
