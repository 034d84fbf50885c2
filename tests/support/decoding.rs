//! Runs a decoder over chunks and holds all that it says against the oracle.

use bytes::Bytes;
use tower_sse::wire::{Decoded, Decoder, Event, EventId, LargeEvent};

use super::oracle::{self, Effect};

/// What came out of a decoder, in the form that does not depend on how the stream was cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoding {
    /// The blocks with LF as line ending. Comment and `retry` lines that came ahead of the rest of
    /// their block are joined with it again.
    pub blocks: Vec<Block>,
    /// What is left behind the last block, in the same form.
    pub rest: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    pub bytes: Vec<u8>,
    pub oversize: bool,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let oversize = if self.oversize { "oversize " } else { "" };
        write!(f, "{oversize}\"{}\"", self.bytes.escape_ascii())
    }
}

/// Decodes the chunks with this limit and checks all that must hold for any stream under any cut;
/// gives what must be the same under every cut.
///
/// # Panics
///
/// When something does not hold.
pub fn check(stream: &[u8], chunks: &[&[u8]], limit: usize) -> Decoding {
    let mut decoder = Decoder::new().with_max_event_bytes(limit);
    let mut decoding = Decoding::default();
    let mut out = Vec::new();
    let mut with_ids = Vec::new();
    let mut own_ids = 0;
    let mut ahead = Vec::new();
    let mut large = Vec::new();

    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(decoded) = decoder.next() {
            match decoded {
                Decoded::Event(event) => {
                    assert!(large.is_empty(), "an event inside of a large one");
                    assert!(decoder.at_boundary());
                    let bytes = event.to_bytes();
                    assert_eq!(event.len(), bytes.len());
                    check_accessors(&event);
                    out.extend_from_slice(&bytes);

                    let dispatched = event.has_data() && event.has_blank_line();
                    let id = EventId::new(format!("own-{own_ids}")).unwrap();
                    own_ids += u64::from(dispatched);
                    if dispatched {
                        with_ids.extend_from_slice(&event.clone().with_id(id).to_bytes());
                    } else {
                        with_ids.extend_from_slice(&bytes);
                    }

                    ahead.extend_from_slice(&with_lf(&bytes));
                    if event.has_blank_line() {
                        decoding.blocks.push(Block {
                            bytes: std::mem::take(&mut ahead),
                            oversize: false,
                        });
                    }
                }
                Decoded::Oversize { bytes, last } => {
                    assert!(!bytes.is_empty());
                    assert_eq!(decoder.at_boundary(), last);
                    out.extend_from_slice(&bytes);
                    with_ids.extend_from_slice(&bytes);
                    large.extend_from_slice(&bytes);
                    if last {
                        check_large(decoder.large_event().expect("there was one"), &large);
                        ahead.extend_from_slice(&with_lf(&std::mem::take(&mut large)));
                        decoding.blocks.push(Block {
                            bytes: std::mem::take(&mut ahead),
                            oversize: true,
                        });
                    }
                }
                Decoded::LineFeed(bytes) => {
                    assert!(large.is_empty() && decoder.at_boundary());
                    assert_eq!((&bytes[..], out.last()), (&b"\n"[..], Some(&b'\r')));
                    out.extend_from_slice(&bytes);
                    with_ids.extend_from_slice(&bytes);
                }
                _ => unreachable!("no fourth kind is known"),
            }
        }
        assert!(decoder.is_drained());
        assert!(
            decoder.held_bytes() <= limit,
            "{} bytes are held back, at most {limit} may be",
            decoder.held_bytes()
        );
    }
    let rest = decoder.finish().unwrap_or_default();
    out.extend_from_slice(&rest);
    with_ids.extend_from_slice(&rest);
    assert_eq!(
        decoder.finish(),
        None,
        "the decoder is at the beginning again"
    );
    large.extend_from_slice(&rest);
    ahead.extend_from_slice(&with_lf(&large));
    decoding.rest = ahead;

    let before = oracle::read(stream);
    // One byte order mark was taken off; a second one is not for a client to take off.
    let after = oracle::read_unmarked(&out);
    assert_eq!(after, before, "a client sees something else");

    let unmarked = stream.strip_prefix(b"\xef\xbb\xbf").unwrap_or(stream);
    assert_eq!(
        oracle::eager_dispatches(&out),
        oracle::eager_dispatches(unmarked),
        "a client of another kind sees something else"
    );
    if decoding.blocks.iter().all(|block| !block.oversize) {
        check_ids(&with_ids, &before);
    }
    let mut whole = decoding
        .blocks
        .iter()
        .flat_map(|block| &block.bytes)
        .copied()
        .collect::<Vec<_>>();
    whole.extend_from_slice(&decoding.rest);
    assert_same(&whole, &with_lf(unmarked), "the lines are not the same");
    if !has_lone_cr(unmarked) {
        assert_same(&out, unmarked, "the bytes are not the same");
    }
    decoding
}

/// What an event says must be what the oracle reads in its bytes.
///
/// # Panics
///
/// When it is not.
pub fn check_accessors(event: &Event) {
    let bytes = event.to_bytes();
    // Closed with a blank line, lines that came ahead of their block can be read on their own.
    let mut block = bytes.to_vec();
    if !event.has_blank_line() {
        block.extend_from_slice(b"\n\n");
    }
    let seen = oracle::read_unmarked(&block);
    let dispatched = seen.events();

    assert!(dispatched.len() <= 1, "more than one event: {dispatched:?}");
    match (dispatched.first(), event.data()) {
        (None, None) => assert!(!event.has_data()),
        (Some(one), Some(data)) => {
            assert!(event.has_data());
            assert_eq!(String::from_utf8_lossy(&data), one.data);
            assert_eq!(String::from_utf8_lossy(event.event_type()), one.event_type);
        }
        (one, data) => panic!("oracle {one:?}, event {data:?}"),
    }
    // That an id is set at all cannot be seen from outside when it is empty, so one is set before.
    let mut behind_another = b"id: before\n\n".to_vec();
    behind_another.extend_from_slice(&block);
    let last_event_id = oracle::read_unmarked(&behind_another).last_event_id;
    let own = event.id().map(String::from_utf8_lossy);
    assert_eq!(own.as_deref().unwrap_or("before"), last_event_id);

    let retry = event
        .retry()
        .map(|time| u64::try_from(time.as_millis()).unwrap());
    assert_eq!(retry, seen.reconnection_times().last().copied());

    let comments: Vec<_> = event.comments().map(String::from_utf8_lossy).collect();
    let expected: Vec<_> = seen
        .comments
        .iter()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    assert_eq!(comments, expected);
}

/// What is known of an event that was too large must be what the oracle reads in its bytes.
fn check_large(event: &LargeEvent, block: &[u8]) {
    let behind_another = [&b"id: before\n\n"[..], block].concat();
    let seen = oracle::read_unmarked(&behind_another);
    assert_eq!(event.has_data(), !seen.events().is_empty());
    let id = event.id().map(String::from_utf8_lossy);
    assert_eq!(id.as_deref().unwrap_or("before"), seen.last_event_id);
    let retry = event
        .retry()
        .map(|time| u64::try_from(time.as_millis()).unwrap());
    assert_eq!(retry, seen.reconnection_times().last().copied());
}

/// With an id for each event with data, a client sees the same but for the ids.
fn check_ids(with_ids: &[u8], before: &oracle::Seen) {
    let with = oracle::read_unmarked(with_ids);
    let mut own_ids = 0;
    let expected: Vec<_> = before
        .effects
        .iter()
        .cloned()
        .map(|effect| match effect {
            Effect::Dispatch(mut event) => {
                event.last_event_id = format!("own-{own_ids}");
                event.sets_id = true;
                own_ids += 1;
                Effect::Dispatch(event)
            }
            other => other,
        })
        .collect();
    assert_eq!(with.effects, expected);
}

/// The text with each line ending as LF.
pub fn with_lf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' if at > 0 && bytes[at - 1] == b'\r' => {}
            b'\r' => out.push(b'\n'),
            other => out.push(other),
        }
    }
    out
}

/// Whether some line ends in CR alone, or may once more is there.
pub fn has_lone_cr(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .enumerate()
        .any(|(at, &byte)| byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'))
}

/// `assert_eq!` that shows bytes as text.
pub fn assert_same(got: &[u8], expected: &[u8], what: &str) {
    assert!(
        got == expected,
        "{what}\n  got:      \"{}\"\n  expected: \"{}\"",
        got.escape_ascii(),
        expected.escape_ascii()
    );
}
