//! Random streams, cut at random places, through random stages.
//!
//! Seeds of failures are kept in `tests/properties.seeds`, and tried first.

#![allow(unreachable_pub)] // the modules from `support` have more than one user

use http::Response;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::FileFailurePersistence;
use tokio::time::Instant;
use tower_sse::stage::{EventIds, Pipeline, Stage, Times};

#[path = "support/decoding.rs"]
mod decoding;
#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/plan.rs"]
mod plan;
#[path = "support/sentence.rs"]
mod sentence;
#[path = "support/stages.rs"]
mod stages;

use plan::Plan;

/// So many cases, or as many as `PROPTEST_CASES` says.
fn config(cases: u32) -> ProptestConfig {
    let set = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: if set { default.cases } else { cases },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/properties.seeds",
        ))),
        ..default
    }
}

proptest! {
    #![proptest_config(config(4000))]

    /// Whatever comes in chunks comes out in events, and a client sees the same.
    #[test]
    fn a_decoded_stream_is_the_same_stream(
        stream in streams(),
        cuts in vec(0_usize..12, 0..40),
        limit in select(vec![0, 1, 7, 8, 9, 20, 100, 1 << 20]),
    ) {
        let chunks = cut(&stream.0, &cuts);
        let decoding = decoding::check(&stream.0, &chunks, limit);
        let whole = decoding::check(&stream.0, &[&stream.0], limit);
        prop_assert_eq!(&decoding.rest, &whole.rest);
        let bytes = |decoding: &decoding::Decoding| -> Vec<Vec<u8>> {
            decoding.blocks.iter().map(|block| block.bytes.clone()).collect()
        };
        prop_assert_eq!(bytes(&decoding), bytes(&whole));
        for block in decoding.blocks.iter().filter(|block| block.oversize) {
            // With LF in place of CR LF a line has a byte less than it came with.
            let lines = block.bytes.iter().filter(|byte| **byte == b'\n').count();
            prop_assert!(block.bytes.len() + lines > limit);
        }
    }

    /// For every stream, every chunking and every set of stages.
    #[test]
    fn a_client_sees_the_same_events_plus_what_the_stages_add(
        stream in streams(),
        plan in vec(any::<u8>(), 0..120),
    ) {
        let plan = Plan::from_bytes(&plan, stream.0.len());
        println!("{plan:?}"); // shown when it fails
        sentence::check(&stream.0, &plan);
    }
}

// ===== what was found =====

fn through(stage: impl Stage, chunks: &[&str]) -> String {
    let now = Instant::now();
    let (mut head, ()) = Response::new(()).into_parts();
    let mut pipeline = Pipeline::open(stage, &mut head, Times::at(now));
    let mut out = Vec::new();
    for chunk in chunks {
        pipeline.push(chunk.to_string().into(), now);
        while let Some(bytes) = pipeline.next() {
            out.extend_from_slice(&bytes);
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn an_event_that_got_an_id_stays_behind_one_that_had_one() {
    let out = through(EventIds::sequential(), &["id: 1\ndata: a\n\ndata: b\n\n"]);
    let (first, second) = out.split_at("id: 1\ndata: a\n\n".len());
    assert_eq!(first, "id: 1\ndata: a\n\n");
    assert!(second.starts_with("id: ts") && second.ends_with("-1.1\ndata: b\n\n"));
}

#[test]
fn a_second_byte_order_mark_is_not_taken_for_the_first() {
    let out = through((), &["\u{feff}\u{feff}data: a\n\n", "data: b\n\n"]);
    assert_eq!(out, ":\n\u{feff}data: a\n\ndata: b\n\n");
    assert_eq!(oracle::read(out.as_bytes()).events().len(), 1);
}

#[test]
fn an_id_that_is_too_long_to_be_carried_stays_the_last_event_id() {
    let long = "x".repeat(257);
    let upstream = format!("id: {long}\ndata: a\n\ndata: b\n\n");
    for stage in [EventIds::sequential(), EventIds::sequential().replacing()] {
        assert_eq!(through(stage, &[&upstream]), upstream);
    }
    let out = through(EventIds::sequential(), &[&upstream, "id: 2\n\ndata: c\n\n"]);
    assert!(out.ends_with("-1.2\ndata: c\n\n"));
}

/// A stream, shown as text.
#[derive(Clone)]
struct Stream(Vec<u8>);

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Streams made of lines that mean something, or nearly, and now and then of anything.
fn streams() -> impl Strategy<Value = Stream> {
    prop_oneof![
        6 => (select(vec![&b""[..], b"\xef\xbb\xbf"]), blocks("\n")).prop_map(join),
        3 => (select(vec![&b""[..], b"\xef\xbb\xbf"]), blocks("\r\n")).prop_map(join),
        2 => (select(vec![&b""[..], b"\xef\xbb\xbf"]), blocks("\r")).prop_map(join),
        4 => (select(vec![&b""[..], b"\xef\xbb\xbf", b"\xef\xbb"]), vec(mixed_line(), 0..24)).prop_map(join),
        2 => vec(select(b"\r\n:  \0dataeventidretry15\xef\xbb\xbf\xff".to_vec()), 0..80).prop_map(Stream),
        1 => vec(any::<u8>(), 0..80).prop_map(Stream),
    ]
}

fn join((start, parts): (&[u8], Vec<Vec<u8>>)) -> Stream {
    Stream([start, &parts.concat()].concat())
}

/// Lines that all end in the same way, with a blank one now and then.
fn blocks(ending: &'static str) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let ended = move |line: Vec<u8>| [&line, ending.as_bytes()].concat();
    let line = prop_oneof![5 => line(), 3 => Just(Vec::new())].prop_map(ended);
    // A line of data and a blank line as one part, so that many events are whole.
    let event = (value(), value()).prop_map(move |(id, data)| {
        [
            &b"id: "[..],
            &id,
            ending.as_bytes(),
            b"data: ",
            &data,
            ending.as_bytes(),
            ending.as_bytes(),
        ]
        .concat()
    });
    let data = value().prop_map(move |data| {
        [&b"data:"[..], &data, ending.as_bytes(), ending.as_bytes()].concat()
    });
    (
        vec(prop_oneof![4 => line, 1 => event, 2 => data], 0..20),
        any::<bool>(),
    )
        .prop_map(|(mut parts, unfinished)| {
            if unfinished {
                parts.push(b"data: unfinished".to_vec());
            }
            parts
        })
}

fn mixed_line() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![5 => line(), 4 => Just(Vec::new())];
    (
        line,
        select(vec!["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", ""]),
    )
        .prop_map(|(line, ending)| [&line, ending.as_bytes()].concat())
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let name = select(vec![
        "data",
        "data",
        "data",
        "event",
        "event",
        "id",
        "id",
        "retry",
        "retry",
        "",
        "",
        "data ",
        "Data",
        "dat",
        "datax",
        "idx",
        "events",
        "retr",
        "foo",
        "\u{feff}data",
        " id",
    ]);
    let colon = select(vec![": ", ": ", ":", "", ":  ", "::", " :"]);
    (name, colon, value()).prop_map(|(name, colon, value)| {
        // Without a colon the value would be part of the name.
        let value = if colon.is_empty() { &[][..] } else { &value };
        [name.as_bytes(), colon.as_bytes(), value].concat()
    })
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        &b""[..],
        b"a",
        b"1",
        b"0042",
        b"3000",
        b"+1",
        b"99999999999999999999999",
        b"drop",
        b"message",
        b"a\0b",
        b"data: x",
        b"\xc3\xa9",
        b"\xf0\x9f\x98\x80",
        b"\xff\xfe",
        b"\xe4\xbd",
        b"\xef\xbb\xbf",
        b" two ",
        b"a value that is longer than a line of a stream mostly is",
        b"ts0000000000009a-7.row",
    ]);
    let long = (250_usize..260).prop_map(|len| vec![b'x'; len]);
    prop_oneof![
        30 => known.prop_map(<[u8]>::to_vec),
        1 => long,
        4 => vec(any::<u8>().prop_filter("no line end", |byte| !b"\r\n".contains(byte)), 0..6),
    ]
}

fn cut<'a>(mut stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    for &len in cuts {
        let (chunk, rest) = stream.split_at(len.min(stream.len()));
        chunks.push(chunk);
        stream = rest;
    }
    chunks.push(stream);
    chunks
}
