//! What each shape of line means: every stream here is decoded under every one and two cuts, mostly
//! with each of the three line endings, and held against the oracle; what is spelled out is what a
//! person reads in the standard, so that the oracle is tested too.

use tower_sse::wire::DEFAULT_MAX_EVENT_BYTES;

use crate::cuts::{Everywhere, every_ending, everywhere};

fn exactly(stream: impl AsRef<[u8]>) -> Everywhere {
    everywhere(stream.as_ref(), DEFAULT_MAX_EVENT_BYTES)
}

// ===== the examples of the standard =====

#[test]
fn lines_of_data_are_joined() {
    every_ending("data: YHOO\ndata: +2\ndata: 10\n\n").dispatches(&[(
        "message",
        "YHOO\n+2\n10",
        "",
    )]);
}

#[test]
fn four_blocks_with_ids() {
    every_ending(": t\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n")
        .dispatches(&[
            ("message", "first", "1"),
            ("message", "second", ""),
            ("message", " third", ""),
        ])
        .blocks(
            &[
                ": t\n\n",
                "data: first\nid: 1\n\n",
                "data:second\nid\n\n",
                "data:  third\n\n",
            ],
            "",
        );
}

#[test]
fn empty_data_is_dispatched_and_unfinished_data_is_not() {
    every_ending("data\n\ndata\ndata\n\ndata:")
        .dispatches(&[("message", "", ""), ("message", "\n", "")])
        .blocks(&["data\n\n", "data\ndata\n\n"], "data:");
}

#[test]
fn a_space_after_the_colon_does_not_count() {
    every_ending("data:test\n\ndata: test\n\n")
        .dispatches(&[("message", "test", ""), ("message", "test", "")]);
}

// ===== line endings =====

#[test]
fn line_endings_are_mixed_at_will() {
    exactly("data: a\r\rdata: b\n\ndata: c\r\n\r\ndata: d\n\r\ndata: e\r\n\n")
        .dispatches(&["a", "b", "c", "d", "e"].map(|data| ("message", data, "")));
}

#[test]
fn cr_alone_and_then_lf() {
    exactly("data: a\rdata: b\r\n\rdata: c\n\rdata: d\r\r\n").dispatches(&[
        ("message", "a\nb", ""),
        ("message", "c", ""),
        ("message", "d", ""),
    ]);
}

#[test]
fn blank_lines_alone_are_events_to_us() {
    every_ending("\n\n\n")
        .dispatches(&[])
        .blocks(&["\n", "\n", "\n"], "");
}

#[test]
fn blank_lines_in_each_mixture() {
    exactly("\r\n\n\r\r\n\r\n\n\r").blocks(&["\n"; 7], "");
}

#[test]
fn cr_alone_is_known_and_then_lf_and_blank_lines_come() {
    exactly("data: a\r\r: b\r\n\n\ndata: c\r\r\n\n")
        .dispatches(&[("message", "a", ""), ("message", "c", "")]);
}

// ===== byte order mark =====

#[test]
fn a_byte_order_mark_is_left_out() {
    every_ending("\u{feff}data: a\n\n")
        .dispatches(&[("message", "a", "")])
        .blocks(&["data: a\n\n"], "");
}

#[test]
fn a_second_byte_order_mark_is_part_of_the_field_name() {
    every_ending("\u{feff}\u{feff}data: a\n\ndata: b\n\n\u{feff}data: c\n\ndata:\u{feff}\n\n")
        .dispatches(&[("message", "b", ""), ("message", "\u{feff}", "")])
        .blocks(
            &[
                "\u{feff}data: a\n\n",
                "data: b\n\n",
                "\u{feff}data: c\n\n",
                "data:\u{feff}\n\n",
            ],
            "",
        );
}

#[test]
fn what_only_begins_like_a_byte_order_mark_is_kept() {
    exactly(b"\xef\xbbdata: a\n\ndata: b\n\n").dispatches(&[("message", "b", "")]);
    exactly(b"\xefdata: a\n\ndata: b\n\n").dispatches(&[("message", "b", "")]);
    exactly(b"\xef\n\ndata: b\n\n").dispatches(&[("message", "b", "")]);
    exactly(b"\xef\xbb\r\rdata: b\r\r").dispatches(&[("message", "b", "")]);
}

#[test]
fn nothing_but_a_byte_order_mark_or_half_of_it() {
    exactly("\u{feff}").blocks(&[], "");
    let half = exactly(b"\xef\xbb");
    assert_eq!(half.decoding.rest, b"\xef\xbb");
    exactly("").blocks(&[], "");
}

// ===== id =====

#[test]
fn an_id_with_null_is_ignored() {
    every_ending("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\nid: 3\nid: \0\ndata: c\n\n").dispatches(&[
        ("message", "a", "1"),
        ("message", "b", "1"),
        ("message", "c", "3"),
    ]);
}

#[test]
fn an_empty_id_clears_the_last_event_id() {
    every_ending("id: 1\ndata: a\n\nid:\ndata: b\n\ndata: c\n\n").dispatches(&[
        ("message", "a", "1"),
        ("message", "b", ""),
        ("message", "c", ""),
    ]);
}

#[test]
fn an_id_without_colon_clears_it_too() {
    every_ending("id: 1\ndata: a\n\nid\ndata: b\n\nid: \ndata: c\n\n").dispatches(&[
        ("message", "a", "1"),
        ("message", "b", ""),
        ("message", "c", ""),
    ]);
}

#[test]
fn no_id_keeps_the_last_event_id() {
    every_ending("id: 1\ndata: a\n\ndata: b\n\n")
        .dispatches(&[("message", "a", "1"), ("message", "b", "1")]);
}

#[test]
fn a_block_that_only_sets_an_id_is_an_event() {
    every_ending("id: 7\n\ndata: a\n\nid: 8\n\n")
        .dispatches(&[("message", "a", "7")])
        .last_event_id("8")
        .blocks(&["id: 7\n\n", "data: a\n\n", "id: 8\n\n"], "");
}

#[test]
fn the_last_id_counts() {
    every_ending("id: 1\ndata: a\nid: 2\n\n").dispatches(&[("message", "a", "2")]);
}

#[test]
fn an_id_may_hold_anything_else() {
    every_ending("id:  a:b\u{e9} \ndata: a\n\n").dispatches(&[("message", "a", " a:b\u{e9} ")]);
}

// ===== comments =====

#[test]
fn a_block_of_comments_is_an_event() {
    every_ending(":\n\n: x\n:y\n\n")
        .dispatches(&[])
        .blocks(&[":\n\n", ": x\n:y\n\n"], "");
}

#[test]
fn comments_stand_anywhere() {
    every_ending(":a\nevent: t\n:b\ndata: x\n: data: y\n\n:c\n")
        .dispatches(&[("t", "x", "")])
        .blocks(&[":a\nevent: t\n:b\ndata: x\n: data: y\n\n"], ":c\n");
}

// ===== retry =====

#[test]
fn retry_counts_when_it_is_digits_alone() {
    every_ending("retry: 3000\n\nretry:0\n\nretry: 007\ndata: a\nretry: 8\n\n")
        .sets_times(&[3000, 0, 7, 8])
        .dispatches(&[("message", "a", "")]);
}

#[test]
fn retry_with_anything_else_is_ignored() {
    every_ending("retry: +1\nretry: -1\nretry:\nretry: 1 \n").sets_times(&[]);
    every_ending("retry:  1\nretry: 1s\nretry: x\nretry: 1.5\n").sets_times(&[]);
    every_ending("retry\nretry: \u{661}\nretry: 1\0\nRetry: 1\n").sets_times(&[]);
}

#[test]
fn a_huge_retry_is_the_largest() {
    every_ending("retry: 18446744073709551615\nretry: 18446744073709551616\n")
        .sets_times(&[u64::MAX, u64::MAX]);
    every_ending("retry: 00000000000000000000000000000001\n\n").sets_times(&[1]);
}

#[test]
fn retry_takes_effect_without_a_blank_line() {
    every_ending("retry: 5\ndata: a")
        .sets_times(&[5])
        .blocks(&[], "retry: 5\ndata: a");
    every_ending("data: a\nretry: 5\n").sets_times(&[5]);
    every_ending("retry: 5").sets_times(&[]);
}

// ===== data, event types, field names =====

#[test]
fn data_without_colon_is_an_empty_line() {
    every_ending("data: a\ndata\ndata: b\n\n").dispatches(&[("message", "a\n\nb", "")]);
}

#[test]
fn of_two_spaces_one_is_kept() {
    every_ending("data:  a\n\nevent:  t\ndata: \n\n")
        .dispatches(&[("message", " a", ""), (" t", "", "")]);
}

#[test]
fn a_space_before_the_colon_makes_another_name() {
    every_ending("data : a\n\n data: b\n\ndata:: c\n\n")
        .dispatches(&[("message", ": c", "")])
        .blocks(&["data : a\n\n", " data: b\n\n", "data:: c\n\n"], "");
}

#[test]
fn unknown_fields_are_passed_on() {
    every_ending("foo: 1\nfoo\ndatax: y\ndat: z\nidx\nretryx:1\neventx: t\nDATA: q\n\n")
        .dispatches(&[])
        .blocks(
            &["foo: 1\nfoo\ndatax: y\ndat: z\nidx\nretryx:1\neventx: t\nDATA: q\n\n"],
            "",
        );
    every_ending("x\n:c\nretry: 1\ndata: a\n\n")
        .dispatches(&[("message", "a", "")])
        .sets_times(&[1]);
}

#[test]
fn the_last_event_type_counts_and_an_empty_one_is_message() {
    every_ending("event: a\nevent: b\ndata\n\nevent: c\nevent\ndata\n\n")
        .dispatches(&[("b", "", ""), ("message", "", "")]);
}

#[test]
fn an_event_type_does_not_outlive_its_block() {
    every_ending("event: a\n\ndata: x\n\n").dispatches(&[("message", "x", "")]);
}

#[test]
fn null_in_data_and_type_is_kept() {
    every_ending("event: a\0\ndata: \0\n\n").dispatches(&[("a\0", "\0", "")]);
}

// ===== bytes that are no text =====

#[test]
fn invalid_utf8_is_passed_on_as_it_is() {
    let stream = b"data: \xff\xc3\n\nid: \xe4\xbd\ndata: \xf0\x9f\r\ndata\xff: x\n\n";
    let all = exactly(stream);
    all.dispatches(&[
        ("message", "\u{fffd}\u{fffd}", ""),
        ("message", "\u{fffd}", "\u{fffd}"),
    ]);
    assert_eq!(all.decoding.blocks[0].bytes, b"data: \xff\xc3\n\n");
}

#[test]
fn a_character_may_be_cut() {
    every_ending("event: \u{7c7b}\ndata: {\"\u{4f60}\": \"\u{1f600}\"}\n\n").dispatches(&[(
        "\u{7c7b}",
        "{\"\u{4f60}\": \"\u{1f600}\"}",
        "",
    )]);
}

// ===== the end =====

#[test]
fn what_has_no_blank_line_is_left_over() {
    every_ending("data: a\n\ndata: b\n")
        .dispatches(&[("message", "a", "")])
        .blocks(&["data: a\n\n"], "data: b\n");
    every_ending("data: a\n\n: c\nid: 5\ndata: b")
        .last_event_id("")
        .blocks(&["data: a\n\n"], ": c\nid: 5\ndata: b");
}
