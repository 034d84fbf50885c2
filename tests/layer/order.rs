//! What comes in one chunk goes out in the same order, whatever the stages did to it.

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;
use tower_sse::stage::{EventIds, Pipeline, Stage, Times};
use tower_sse::wire::{Decoded, Decoder, Event, SequentialId};

/// The data of the events, in order, with an asterisk where the id is one of ours.
fn through(stage: impl Stage, chunk: Bytes) -> Vec<String> {
    let now = Instant::now();
    let (mut head, ()) = Response::new(()).into_parts();
    let mut pipeline = Pipeline::open(stage, &mut head, Times::at(now));
    pipeline.push(chunk, now);
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    while let Some(bytes) = pipeline.next() {
        decoder.push(bytes);
        while let Some(decoded) = decoder.next() {
            let Decoded::Event(event) = decoded else {
                panic!("no event is that large")
            };
            let ours = event
                .id()
                .is_some_and(|id| SequentialId::parse(id).is_some());
            let data = String::from_utf8(event.data().unwrap().into_owned()).unwrap();
            let name = data.trim_end_matches('.');
            events.push(format!("{name}{}", if ours { "*" } else { "" }));
        }
    }
    events
}

/// An event with an id or without one, filled up to about this size.
fn event(name: &str, id: bool, size: usize) -> String {
    let id = if id { "id: x\n" } else { "" };
    format!("{id}data: {name}{}\n\n", ".".repeat(size))
}

#[test]
fn events_with_and_without_ids_keep_their_order() {
    for sizes in [
        [0, 0, 0],
        [2000, 0, 2000],
        [0, 2000, 0],
        [20_000, 20_000, 20_000],
    ] {
        for ids in 0..8 {
            let mut chunk = String::new();
            let mut expected = Vec::new();
            for (place, size) in sizes.into_iter().enumerate() {
                let id = ids & (1 << place) != 0;
                chunk += &event(&place.to_string(), id, size);
                expected.push(format!("{place}{}", if id { "" } else { "*" }));
            }
            let got = through(EventIds::sequential(), chunk.into());
            assert_eq!(got, expected, "sizes {sizes:?}");
        }
    }
}

#[test]
fn events_of_every_fate_keep_their_order() {
    /// Drops, keeps, gives an id, or puts another in its place.
    #[derive(Clone)]
    struct Fates;

    impl Stage for Fates {
        fn on_event(&mut self, event: Event, _: &Times) -> Option<Event> {
            match event.event_type() {
                b"drop" => None,
                b"id" => Some(event.with_id(tower_sse::wire::EventId::new("y").unwrap())),
                b"other" => {
                    let data = event.data().unwrap().into_owned();
                    Some(Event::builder().data(data).build())
                }
                _ => Some(event),
            }
        }
    }

    let fates = ["keep", "drop", "id", "other"];
    for size in [0, 600, 3000] {
        for plan in 0..4_usize.pow(5) {
            let mut chunk = String::new();
            let mut expected = Vec::new();
            for place in 0..5 {
                let fate = fates[plan / 4_usize.pow(place) % 4];
                chunk += &format!("event: {fate}\ndata: {place}{}\n\n", ".".repeat(size));
                if fate != "drop" {
                    expected.push(place.to_string());
                }
            }
            assert_eq!(through(Fates, chunk.into()), expected, "plan {plan}");
        }
    }
}
