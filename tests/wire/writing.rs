//! What we write is read as it was meant, also behind and in front of what an upstream wrote.

use std::time::Duration;

use tower_sse::wire::{
    Decoded, Decoder, Epoch, Event, EventBuilder, EventId, LineEnding, SequentialId,
};

use crate::cuts::with_ending;
use crate::decoding::check_accessors;
use crate::oracle;

const ENDINGS: [LineEnding; 3] = [LineEnding::Lf, LineEnding::CrLf, LineEnding::Cr];

fn decode(stream: &[u8]) -> Vec<Event> {
    let mut decoder = Decoder::new();
    decoder.push(stream.to_vec().into());
    std::iter::from_fn(|| decoder.next())
        .map(|decoded| match decoded {
            Decoded::Event(event) => event,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn data_is_read_as_it_was_given_but_for_its_line_ends() {
    for text in [
        "",
        " ",
        "a",
        "a\nb",
        "\n",
        "\n\n",
        "a\rb",
        "a\r\nb",
        "\r\n\r",
        ": x",
        "data: x\n\nid: 1",
        "\0",
    ] {
        for ending in ENDINGS {
            let event = EventBuilder::new().data(text).line_ending(ending).build();
            check_accessors(&event);
            let lines = String::from_utf8(with_ending(text.as_bytes(), LineEnding::Lf)).unwrap();
            assert_eq!(event.data().unwrap(), lines.as_bytes());
            let seen = oracle::read(&event.to_bytes());
            assert_eq!(seen.events().len(), 1);
            assert_eq!(seen.events()[0].data, lines);
            assert_eq!(event.line_ending(), ending);
        }
    }
}

#[test]
fn comments_are_read_as_they_were_given() {
    for text in [
        "",
        " ",
        "a",
        ":a",
        "a\n:b",
        "a\n\nb",
        "\n",
        "x\r\ndata: y\rid: 2",
        "\n\n:",
    ] {
        for ending in ENDINGS {
            let event = EventBuilder::new()
                .comment(text)
                .comment(":z")
                .line_ending(ending)
                .build();
            check_accessors(&event);
            let given = String::from_utf8(with_ending(text.as_bytes(), LineEnding::Lf)).unwrap();
            let given: Vec<_> = given.split('\n').chain([":z"]).map(str::as_bytes).collect();
            assert_eq!(event.comments().collect::<Vec<_>>(), given, "{text:?}");
            let seen = oracle::read(&event.to_bytes());
            assert_eq!((seen.effects.len(), seen.last_event_id.as_str()), (0, ""));
        }
    }
}

#[test]
fn line_ends_and_null_in_ids_and_event_types_are_errors() {
    for bad in ["\r", "\n", "\0", "a\nb", "a\r\nb", "ab\0"] {
        assert!(EventId::new(bad).is_err());
        assert!(EventBuilder::new().event_type(bad).is_err());
    }
    for good in ["", " ", ":", "a b", "\u{e9}", "\u{feff}", "\u{85}\u{2028}"] {
        for ending in ENDINGS {
            let event = EventBuilder::new()
                .event_type(good)
                .unwrap()
                .id(EventId::new(good).unwrap())
                .data("x")
                .line_ending(ending)
                .build();
            check_accessors(&event);
            assert_eq!(event.id(), Some(good.as_bytes()));
            let event_type = if good.is_empty() { "message" } else { good };
            assert_eq!(event.event_type(), event_type.as_bytes());
        }
    }
}

#[test]
fn an_upstreams_id_that_is_none_is_left_out_of_ours() {
    for bad in ["a\ndata: b\n\n", "a\r", "\r\n", "a\0"] {
        for ending in ENDINGS {
            let id = SequentialId {
                epoch: Epoch::from_bits(1),
                sequence: 7,
                upstream: Some(bad.as_bytes()),
            };
            let event = EventBuilder::new()
                .id(id.to_event_id())
                .data("x")
                .line_ending(ending)
                .build();
            check_accessors(&event);
            let seen = oracle::read(&event.to_bytes());
            assert_eq!(seen.events().len(), 1);
            let read = SequentialId::parse(seen.last_event_id.as_bytes());
            let upstream = None;
            assert_eq!(read, Some(SequentialId { upstream, ..id }), "{bad:?}");
        }
    }
}

#[test]
fn a_reconnection_time_is_whole_milliseconds() {
    for (time, millis) in [
        (Duration::ZERO, 0),
        (Duration::from_micros(1999), 1),
        (Duration::from_secs(3), 3000),
        (Duration::MAX, u64::MAX),
    ] {
        let event = EventBuilder::new().retry(time).build();
        check_accessors(&event);
        assert_eq!(event.retry(), Some(Duration::from_millis(millis)));
    }
}

#[test]
fn everything_at_once_is_decoded_as_it_was_built() {
    for ending in ENDINGS {
        let built = EventBuilder::new()
            .comment("c")
            .retry(Duration::from_secs(1))
            .event_type("t")
            .unwrap()
            .id(EventId::new("7").unwrap())
            .data("a\nb")
            .line_ending(ending)
            .build();
        let stream = built.to_bytes();
        let [read] = &decode(&stream)[..] else {
            panic!()
        };
        assert_eq!(read.to_bytes(), stream);
        assert_eq!(read.data(), built.data());
        assert_eq!(read.id(), built.id());
        assert_eq!(read.event_type(), built.event_type());
        assert_eq!(read.retry(), built.retry());
        assert!(read.comments().eq(built.comments()));
        assert_eq!(read.has_blank_line(), built.has_blank_line());
    }
}

#[test]
fn an_id_goes_in_front_with_the_line_ending_of_the_stream() {
    for (stream, expected) in [
        ("data: a\n\n", "id: 7\ndata: a\n\n"),
        ("data: a\r\n\r\n", "id: 7\r\ndata: a\r\n\r\n"),
        ("data: a\r\r", "id: 7\rdata: a\r\r"),
        (
            ":c\nretry: 1\ndata: a\n\n",
            "id: 7\n:c\nretry: 1\ndata: a\n\n",
        ),
    ] {
        let [event] = &decode(stream.as_bytes())[..] else {
            panic!()
        };
        assert_eq!(
            event.clone().with_id(EventId::new("7").unwrap()).to_bytes(),
            expected
        );
    }
}

#[test]
fn an_id_that_is_there_is_replaced() {
    for (stream, expected) in [
        ("id: 1\ndata: a\n\n", "id: 7\ndata: a\n\n"),
        ("data: a\r\nid\r\nid: 2\r\n\r\n", "id: 7\r\ndata: a\r\n\r\n"),
        ("id: \0\ndata: a\n\n", "id: 7\ndata: a\n\n"),
        ("idx: 1\nid:\n\n", "id: 7\nidx: 1\n\n"),
    ] {
        let [event] = &decode(stream.as_bytes())[..] else {
            panic!()
        };
        let event = event.clone().with_id(EventId::new("7").unwrap());
        assert_eq!(event.to_bytes(), expected);
        assert_eq!(event.id(), Some(&b"7"[..]));
        check_accessors(&event);
    }
}

#[test]
fn an_event_stays_whole_when_its_id_is_replaced_under_mixed_line_endings() {
    let lines = ["id: 1", "data: a", ":c", "id: 2"];
    for mix in 0..3_usize.pow(5) {
        let mut stream = Vec::new();
        let mut digits = mix;
        for line in lines.iter().chain([&""]) {
            stream.extend_from_slice(line.as_bytes());
            stream.extend_from_slice(ENDINGS[digits % 3].as_bytes());
            digits /= 3;
        }
        for event in decode(&stream) {
            let mut event = event
                .with_id(EventId::new("7").unwrap())
                .to_bytes()
                .to_vec();
            event.extend_from_slice(b"data: next\n\n");
            let seen = oracle::read(&event);
            assert_eq!(
                seen.events().len(),
                2,
                "{:?}",
                stream.escape_ascii().to_string()
            );
            assert_eq!(seen.events()[0].last_event_id, "7");
            assert_eq!(seen.events()[0].data, "a");
            assert_eq!(seen.events()[1].data, "next");
        }
    }
}

#[test]
fn comment_lines_ahead_of_their_block_take_no_id() {
    let [event] = &decode(b": c\nretry: 1\n")[..] else {
        panic!()
    };
    let event = event.clone().with_id(EventId::new("7").unwrap());
    assert_eq!(
        (event.id(), &event.to_bytes()[..]),
        (None, &b": c\nretry: 1\n"[..])
    );
}
