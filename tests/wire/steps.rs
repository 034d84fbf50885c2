//! What comes out when: the output after each chunk, byte for byte.

use tower_sse::wire::{Decoded, Decoder, LineEnding};

/// The bytes of each event that comes out after each chunk.
fn steps<const N: usize>(chunks: [&str; N]) -> [Vec<String>; N] {
    let mut decoder = Decoder::new();
    chunks.map(|chunk| {
        decoder.push(chunk.to_owned().into());
        events(&mut decoder)
    })
}

fn events(decoder: &mut Decoder) -> Vec<String> {
    std::iter::from_fn(|| decoder.next())
        .map(|decoded| match decoded {
            Decoded::Event(event) => text(event.to_bytes()),
            Decoded::LineFeed(bytes) => text(bytes),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn text(bytes: bytes::Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const NONE: &[&str] = &[];

#[test]
fn nothing_is_handed_on_before_the_blank_line() {
    assert_eq!(
        steps([
            "event: add\n",
            "data: a\ndata: b",
            "\n",
            "\nda",
            "ta: c\n\n"
        ]),
        [
            NONE,
            NONE,
            NONE,
            &["event: add\ndata: a\ndata: b\n\n"],
            &["data: c\n\n"],
        ]
    );
}

#[test]
fn a_cr_that_closes_a_chunk_ends_its_line_at_once() {
    assert_eq!(steps(["data: a\r\r"]), [["data: a\r\r"]]);
    assert_eq!(steps(["data: a\n\r"]), [["data: a\n\r\n"]]);
    assert_eq!(steps([":\r"]), [[":\r\n"]]);
}

#[test]
fn one_lf_behind_it_is_swallowed() {
    assert_eq!(
        steps(["data: a\r\n\r", "\n", "data: b\r\n\r\n"]),
        [&["data: a\r\n\r\n"], NONE, &["data: b\r\n\r\n"]]
    );
    assert_eq!(
        steps(["data: a\r\n\r", "\n\ndata: b\n\n"]),
        [&["data: a\r\n\r\n"][..], &["\n", "data: b\n\n"]]
    );
    assert_eq!(
        steps([":\r", "\n:\r", "\ndata: a\r\n\r\n"]),
        [&[":\r\n"], &[":\r\n"], &["data: a\r\n\r\n"]]
    );
}

#[test]
fn another_byte_behind_it_shows_that_cr_stands_alone() {
    assert_eq!(
        steps([":a\r", ":b\r", "data: c\r\r"]),
        [[":a\r\n"], [":b\r"], ["data: c\r\r"]]
    );
}

#[test]
fn an_empty_chunk_decides_nothing() {
    assert_eq!(
        steps(["data: a\r\n\r", "", "\n", "", "data: b\r\n\r\n"]),
        [&["data: a\r\n\r\n"], NONE, NONE, NONE, &["data: b\r\n\r\n"]]
    );
}

#[test]
fn a_byte_order_mark_is_left_out_also_in_parts() {
    assert_eq!(steps(["\u{feff}data: a\n\n"]), [["data: a\n\n"]]);
    let mut decoder = Decoder::new();
    for part in [&b"\xef"[..], b"\xbb", b"\xbf:\n"] {
        assert_eq!(events(&mut decoder), NONE);
        decoder.push(part.to_vec().into());
    }
    assert_eq!(events(&mut decoder), [":\n"]);
}

#[test]
fn comments_and_retry_at_the_beginning_of_a_block_are_handed_on_at_once() {
    assert_eq!(
        steps([": a", "\n", "retry: 1\n: b\nda", "ta: x\n: c\n", "\n"]),
        [
            NONE,
            &[": a\n"],
            &["retry: 1\n: b\n"],
            NONE,
            &["data: x\n: c\n\n"]
        ]
    );
}

#[test]
fn with_the_rest_of_their_block_they_are_one_event() {
    assert_eq!(
        steps([": a\nretry: 1\ndata: x\n\n: b\n\n"]),
        [[": a\nretry: 1\ndata: x\n\n", ": b\n\n"]]
    );
}

#[test]
fn behind_an_unknown_field_they_wait() {
    assert_eq!(
        steps(["foo\n: a\n", "retry: 1\n", "\n"]),
        [NONE, NONE, &["foo\n: a\nretry: 1\n\n"]]
    );
}

#[test]
fn handed_on_ahead_they_have_no_blank_line() {
    let mut decoder = Decoder::new();
    decoder.push("retry: 7\n:a\n".into());
    let Some(Decoded::Event(event)) = decoder.next() else {
        panic!()
    };
    assert!(!event.has_blank_line() && !event.has_data());
    assert_eq!(event.retry().unwrap().as_millis(), 7);
    assert_eq!(event.comments().collect::<Vec<_>>(), [b"a"]);
    assert!(decoder.at_boundary(), "an insertion is safe behind them");

    decoder.push("\n".into());
    let Some(Decoded::Event(event)) = decoder.next() else {
        panic!()
    };
    assert!(event.has_blank_line());
    assert_eq!((event.retry(), event.comments().count()), (None, 0));
}

#[test]
fn a_clean_end_gives_what_is_left() {
    for rest in [
        "data: [DONE]",
        "data: [DONE]\n",
        "data: [DONE]\r",
        "data",
        "\u{feff}",
    ] {
        let mut decoder = Decoder::new();
        decoder.push("data: a\n\n".into());
        assert_eq!(events(&mut decoder), ["data: a\n\n"]);
        decoder.push(rest.to_owned().into());
        assert_eq!(events(&mut decoder), NONE);
        assert_eq!(decoder.held_bytes(), rest.len());
        assert_eq!(decoder.finish().as_deref(), Some(rest.as_bytes()));
    }
}

#[test]
fn a_clean_end_at_a_boundary_leaves_nothing() {
    for stream in [
        "",
        "data: a\n\n",
        "data: a\r\n\r",
        ": c\n",
        "\u{feff}",
        "data: a\r\r",
    ] {
        let mut decoder = Decoder::new();
        decoder.push(stream.to_owned().into());
        events(&mut decoder);
        assert_eq!(decoder.finish(), None, "{stream:?}");
    }
}

#[test]
fn a_clean_end_gives_also_what_was_not_taken_out() {
    let mut decoder = Decoder::new();
    decoder.push("data: a\n\ndata: b\n\nda".into());
    assert!(decoder.next().is_some());
    assert_eq!(decoder.finish().as_deref(), Some(&b"data: b\n\nda"[..]));
}

#[test]
fn after_the_end_it_is_at_the_beginning_of_a_stream() {
    let mut decoder = Decoder::new();
    decoder.push("data: a\r".into());
    assert_eq!(events(&mut decoder), NONE);
    decoder.finish();
    decoder.push("\u{feff}\ndata: b\n\n".into());
    assert_eq!(events(&mut decoder), ["\n", "data: b\n\n"]);
}

#[test]
fn chunks_may_come_before_events_are_taken_out() {
    let stream = ":a\r\r\ndata: b\r\n\r\n:c\ndata: d\r\n\r\ndata: e\n\nid: 1\r\rdata: f\n\nrest";
    let mut whole = Decoder::new();
    whole.push(stream.to_owned().into());
    let expected = events(&mut whole).concat();
    for cut in 0..stream.len() {
        for taken in 0..4 {
            let mut decoder = Decoder::new();
            let mut out = String::new();
            decoder.push(stream[..cut].to_owned().into());
            for decoded in std::iter::from_fn(|| decoder.next()).take(taken) {
                let Decoded::Event(event) = decoded else {
                    panic!()
                };
                out += std::str::from_utf8(&event.to_bytes()).unwrap();
            }
            decoder.push(stream[cut..].to_owned().into());
            out += &events(&mut decoder).concat();
            // A lone CR that closes the chunk may have been completed.
            assert_eq!(
                crate::decoding::with_lf(out.as_bytes()),
                crate::decoding::with_lf(expected.as_bytes()),
                "cut at {cut}, {taken} taken"
            );
            assert_eq!(decoder.finish().as_deref(), Some(&b"rest"[..]));
        }
    }
}

#[test]
fn the_lf_of_a_cr_that_came_out_alone_comes_out_too() {
    assert_eq!(
        steps(["data: a\r\r", "\ndata: b\r\r", "data: c\r\r", "\n"]),
        [
            &["data: a\r\r"][..],
            &["\n", "data: b\r\r"],
            &["data: c\r\r"],
            &["\n"],
        ]
    );
}

#[test]
fn a_first_line_that_ends_in_a_cr_so_far_comes_out_with_cr_lf() {
    let mut decoder = Decoder::new();
    decoder.push(":\r".into());
    assert_eq!(events(&mut decoder), [":\r\n"]);
    assert_eq!(
        decoder.line_ending(),
        LineEnding::CrLf,
        "what we write looks the same"
    );
}

#[test]
fn the_line_ending_is_that_of_the_stream() {
    let mut decoder = Decoder::new();
    assert_eq!(decoder.line_ending(), LineEnding::Lf, "until one is seen");
    for (chunk, ending) in [
        ("data: a\r\n\r\n", LineEnding::CrLf),
        ("data: b\n\n", LineEnding::Lf),
        ("data: c\r\rx", LineEnding::Cr),
        ("\n\n", LineEnding::Lf),
        (":\r", LineEnding::Lf),
        (":", LineEnding::Cr),
        ("\n:\r", LineEnding::Lf),
        ("\n", LineEnding::CrLf),
    ] {
        decoder.push(chunk.into());
        events(&mut decoder);
        assert_eq!(decoder.line_ending(), ending, "after {chunk:?}");
    }
}
