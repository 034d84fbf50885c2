//! What is copied, what is held, and for how long.

use std::sync::Arc;

use bytes::Bytes;
use tower_sse::wire::{Decoded, Decoder, Event};

/// A chunk, and a count that falls to one when nothing refers to it any more.
fn watched(text: &str) -> (Bytes, Arc<()>) {
    struct Owner(Vec<u8>, #[allow(dead_code)] Arc<()>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let watch = Arc::new(());
    let chunk = Bytes::from_owner(Owner(text.as_bytes().to_vec(), watch.clone()));
    (chunk, watch)
}

fn next(decoder: &mut Decoder) -> Event {
    match decoder.next() {
        Some(Decoded::Event(event)) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_event_is_a_slice_of_its_chunk() {
    let chunk = Bytes::from_static(b"data: a\n\n:c\ndata: b\n\nid: 1\n\ndata: half");
    let begin = chunk.as_ptr();
    let mut decoder = Decoder::new();
    decoder.push(chunk);
    for at in [0, 9, 21] {
        let bytes = next(&mut decoder).to_bytes();
        assert_eq!(bytes.as_ptr() as usize - begin as usize, at);
    }
}

#[test]
fn a_chunk_that_is_one_event_is_handed_on_as_it_is() {
    for text in ["data: a\n\n", ": heartbeat\n", "data: a\r\r"] {
        let chunk = Bytes::from_static(text.as_bytes());
        let mut decoder = Decoder::new();
        decoder.push(chunk.clone());
        let bytes = next(&mut decoder).to_bytes();
        assert_eq!((bytes.as_ptr(), bytes.len()), (chunk.as_ptr(), chunk.len()));
    }
}

#[test]
fn parts_of_a_large_event_are_not_copied() {
    let mut decoder = Decoder::new().with_max_event_bytes(4);
    for _ in 0..3 {
        let chunk = Bytes::from_static(b"data: large");
        decoder.push(chunk.clone());
        let Some(Decoded::Oversize { bytes, last: false }) = decoder.next() else {
            panic!()
        };
        assert_eq!(bytes.as_ptr(), chunk.as_ptr());
        assert!(decoder.next().is_none());
    }
}

#[test]
fn the_beginning_of_an_event_does_not_keep_its_chunk() {
    let (chunk, watch) = watched("data: a\n\ndata: the beginning of an event");
    let mut decoder = Decoder::new();
    decoder.push(chunk);
    drop(next(&mut decoder));
    assert!(decoder.next().is_none());
    assert_eq!(decoder.held_bytes(), 31);
    assert_eq!(
        Arc::strong_count(&watch),
        1,
        "the chunk is still referred to"
    );
}

#[test]
fn a_quiet_stream_does_not_keep_its_last_chunk() {
    for text in [
        "data: a\n\ndata: b\n\n",
        "data: a\n\n",
        "data: a\n\n:c\n",
        "data: a\n\r",
        "data: a",
    ] {
        let (chunk, watch) = watched(text);
        let mut decoder = Decoder::new();
        decoder.push(chunk);
        while let Some(decoded) = decoder.next() {
            drop(decoded);
        }
        assert_eq!(
            Arc::strong_count(&watch),
            1,
            "{text:?} is still referred to"
        );
    }
}

#[test]
fn no_more_than_the_limit_is_held_back() {
    for limit in [0, 1, 10, 1000] {
        let mut decoder = Decoder::new().with_max_event_bytes(limit);
        let mut most = 0;
        for _ in 0..2 * limit + 8 {
            decoder.push("x".into());
            while decoder.next().is_some() {}
            most = most.max(decoder.held_bytes());
        }
        assert_eq!(most, limit);
    }
}

#[test]
fn what_is_handed_on_is_held_no_longer() {
    let mut decoder = Decoder::new();
    for _ in 0..10 {
        decoder.push("data: a".into());
        assert!(decoder.next().is_none());
        assert_eq!(decoder.held_bytes(), 7);
        decoder.push("\n\n".into());
        assert_eq!(next(&mut decoder).len(), 9);
        assert_eq!(decoder.held_bytes(), 0);
    }
}
