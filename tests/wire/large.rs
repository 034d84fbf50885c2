//! Long lines, large events, many events.

use tower_sse::wire::{DEFAULT_MAX_EVENT_BYTES, Decoded, Decoder, LineEnding};

use crate::cuts::{everywhere, with_ending};
use crate::decoding::{assert_same, check};

#[test]
fn a_line_of_a_megabyte_is_one_event_under_every_cut() {
    let long = 1_000_000;
    let mut stream = b":c\ndata: before\n\nid: 5\ndata: ".to_vec();
    stream.resize(stream.len() + long, b'x');
    let line_end = stream.len();
    stream.extend_from_slice(b"\ndata: y\n\ndata: behind\n\n");

    let mut cuts: Vec<_> = (0..40).chain(line_end - 10..stream.len()).collect();
    cuts.extend((1..8).map(|part| part * long / 8));
    let two_cuts = cuts
        .iter()
        .flat_map(|&first| cuts.iter().map(move |&second| (first, second)))
        .filter(|(first, second)| first < second)
        .step_by(17);
    for (first, second) in cuts.iter().map(|&cut| (cut, cut)).chain(two_cuts) {
        let mut decoder = Decoder::new();
        let mut out = Vec::new();
        let mut events = 0;
        for chunk in [&stream[..first], &stream[first..second], &stream[second..]] {
            decoder.push(chunk.to_vec().into());
            while let Some(decoded) = decoder.next() {
                let Decoded::Event(event) = decoded else {
                    panic!("it is not above the limit")
                };
                if event.has_data() {
                    events += 1;
                }
                if event.id().is_some() {
                    assert_eq!(event.data().unwrap().len(), long + "\ny".len());
                }
                out.extend_from_slice(&event.to_bytes());
            }
        }
        assert_eq!(events, 3);
        assert!(
            out == stream,
            "other bytes with cuts at {first} and {second}"
        );
    }
}

#[test]
fn an_event_above_the_limit_passes_through_and_the_next_is_seen() {
    let stream = b"data: a\n\n:c\nid: 1\ndata: 0123456789012345678901234567\n\nid: 2\ndata: b\n\n";
    for ending in [LineEnding::Lf, LineEnding::CrLf] {
        let all = everywhere(&with_ending(stream, ending), 30);
        let seen: Vec<_> = all
            .decoding
            .blocks
            .iter()
            .map(|block| block.oversize)
            .collect();
        assert_eq!(seen, [false, true, false], "{ending:?}");
        all.dispatches(&[
            ("message", "a", ""),
            ("message", "0123456789012345678901234567", "1"),
            ("message", "b", "2"),
        ]);
    }
}

#[test]
fn an_event_of_the_limit_is_seen() {
    let stream = b"data: 34567890\n\ndata: 345678901\n\n";
    for limit in [16, 17] {
        let all = everywhere(stream, limit);
        let oversize: Vec<_> = all
            .decoding
            .blocks
            .iter()
            .map(|block| block.oversize)
            .collect();
        assert_eq!(oversize, [false, limit < 17]);
    }
}

#[test]
fn comments_and_retry_at_the_beginning_do_not_count() {
    let all = everywhere(b": 345678\nretry: 89\n: 345678\ndata: a\n\n", 10);
    assert_eq!(
        all.decoding
            .blocks
            .iter()
            .filter(|block| block.oversize)
            .count(),
        0
    );
}

#[test]
fn a_comment_above_the_limit_passes_through() {
    let all = everywhere(b": 34567890123456789\ndata: a\n\ndata: b\n\n", 12);
    let oversize: Vec<_> = all
        .decoding
        .blocks
        .iter()
        .map(|block| block.oversize)
        .collect();
    assert_eq!(oversize, [true, false]);
}

#[test]
fn many_lines_above_the_limit_are_one_event() {
    let all = everywhere(b"data: 1\ndata: 2\n: 3\ndata: 4\nid: 7\n\ndata: b\n\n", 14);
    let oversize: Vec<_> = all
        .decoding
        .blocks
        .iter()
        .map(|block| block.oversize)
        .collect();
    assert_eq!(oversize, [true, false]);
}

#[test]
fn above_the_limit_with_each_line_ending_mixed() {
    for stream in [
        &b"data: 0123456789\r\rdata: a\r\r"[..],
        b"data: 0123456789\r\n\ndata: a\n\r\n",
        b"data: 0123456789\r\ndata\r\r\ndata: a\r\n\rdata: b\n\n",
        b"\xef\xbb\xbfdata: 0123456789\n\r\ndata: a\r\n\r",
    ] {
        // Which side of the limit a block is on may depend on the cut by a byte or two; nobody sees it.
        everywhere(stream, 12);
    }
}

#[test]
fn what_begins_like_a_byte_order_mark_counts_too() {
    everywhere(b"\xef\xbb34567890\n\ndata: b\n\n", 8);
}

#[test]
fn an_event_above_the_limit_may_never_end() {
    let mut decoder = Decoder::new().with_max_event_bytes(100);
    for part in 0..1000 {
        decoder.push("data: 0123456789".into());
        let mut out = 0;
        while let Some(decoded) = decoder.next() {
            let Decoded::Oversize { bytes, last: false } = decoded else {
                panic!("{decoded:?}")
            };
            out += bytes.len();
        }
        assert!(decoder.held_bytes() <= 100);
        if part >= 10 {
            assert_eq!(out, 16, "it is not held back any more");
            assert!(!decoder.at_boundary());
        }
    }
    assert_eq!(decoder.finish(), None);
}

#[test]
fn a_hundred_thousand_events_in_one_chunk() {
    let stream = "data\n\n".repeat(100_000);
    let mut decoder = Decoder::new();
    decoder.push(stream.clone().into());
    let mut out = Vec::new();
    let mut events = 0;
    while let Some(decoded) = decoder.next() {
        let Decoded::Event(event) = decoded else {
            panic!()
        };
        assert!(event.has_data());
        out.extend_from_slice(&event.to_bytes());
        events += 1;
    }
    assert_eq!(events, 100_000);
    assert_same(&out, stream.as_bytes(), "other bytes");
}

#[test]
fn a_thousand_events_under_every_size_of_chunk() {
    let stream = "id: 1\r\ndata: \u{4f60}\r\n\r\n:\r\n\r\n".repeat(50);
    let whole = check(
        stream.as_bytes(),
        &[stream.as_bytes()],
        DEFAULT_MAX_EVENT_BYTES,
    );
    for size in 1..60 {
        let chunks: Vec<_> = stream.as_bytes().chunks(size).collect();
        assert_eq!(
            check(stream.as_bytes(), &chunks, DEFAULT_MAX_EVENT_BYTES),
            whole,
            "chunks of {size}"
        );
    }
}
