//! A client whose place the relay does not have is brought there by an upstream request of its own.

use std::time::Duration;

use tokio::time::timeout;
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Key, RelayLayer, Secret};
use tower_sse::wire::{Epoch, SequentialId};

use crate::client::{App, Client, app, get, numbers, send};
use crate::upstream::{Call, Fake, Stream, upstream};

#[tokio::test(start_paused = true)]
async fn a_client_that_catches_up_gets_all_once_and_in_order() {
    // However the two streams of the upstream lie to each other.
    for own_is_ahead in [false, true] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let first = send(&app, get("/events"), "");
        let shared = calls.recv().await.unwrap().open();
        let mut first = first.client().await;
        shared.events(1..=10, true).await;
        assert_eq!(first.texts(10).await, numbers(1..=10));

        let of_another = get("/events").header("last-event-id", "row-of-another-5");
        let mut stranger = send(&app, of_another, "").client().await;
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("row-of-another-5"));
        let own = call.open();
        for number in 101..=105 {
            own.send(format!("id: old-{number}\ndata: {number}\n\n"))
                .await;
        }
        assert_eq!(stranger.texts(5).await, numbers(101..=105));
        for number in 11..=20 {
            let (one, other) = match own_is_ahead {
                true => (&own, &shared),
                false => (&shared, &own),
            };
            one.events([number], true).await;
            if own_is_ahead {
                assert_eq!(stranger.text().await, number.to_string());
            } else {
                assert_eq!(first.text().await, number.to_string());
            }
            other
                .try_send(format!("id: {number}\ndata: {number}\n\n"))
                .await;
            if own_is_ahead {
                assert_eq!(first.text().await, number.to_string());
                break;
            }
            assert_eq!(stranger.text().await, number.to_string());
        }
        own.cancelled().await;
        shared.events(21..=23, true).await;
        assert_eq!(stranger.texts(3).await, numbers(21..=23));
        assert_eq!(first.texts(3).await, numbers(21..=23));
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_given_more_than_a_slow_relay_has_goes_on_behind_that() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let first = send(&app, get("/events"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut first = first.client().await;

    let of_another = get("/events").header("last-event-id", "3");
    let mut stranger = send(&app, of_another, "").client().await;
    let own = calls.recv().await.unwrap().open();
    own.events(8..=9, true).await;
    assert_eq!(stranger.texts(2).await, numbers(8..=9));
    drop(own);
    for number in 6..=8 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        shared.events([number], true).await;
        assert_eq!(first.text().await, number.to_string());
        assert!(stranger.is_silent().await, "it had {number}");
    }
    shared.events(10..=11, true).await;
    let expected = ["stream-gap:null", "10", "11"];
    assert_eq!(stranger.texts(3).await, expected);
}

#[tokio::test(start_paused = true)]
async fn who_was_ahead_of_a_relay_and_comes_back_is_not_taken_back() {
    for comes_to_it in [true, false] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let first = send(&app, get("/events"), "");
        let shared = calls.recv().await.unwrap().open();
        let mut first = first.client().await;
        shared.events(1..=5, true).await;
        assert_eq!(first.texts(5).await, numbers(1..=5));

        let of_another = get("/events").header("last-event-id", "of-another-3");
        let mut ahead = send(&app, of_another, "").client().await;
        let own = calls.recv().await.unwrap().open();
        own.events(8..=9, true).await;
        assert_eq!(ahead.texts(2).await, numbers(8..=9));
        let back = get("/events").header("last-event-id", &ahead.last_id);
        drop((ahead, own));

        // Its next request of its own gives nothing.
        let mut back = send(&app, back, "").client().await;
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("9"));
        drop(call.answer(503, &[]));
        for number in 6..=8 {
            tokio::time::sleep(Duration::from_secs(5)).await;
            shared.events([number], true).await;
            assert_eq!(first.text().await, number.to_string());
            assert!(back.is_silent().await, "it had {number}");
        }
        if comes_to_it {
            shared.events(9..=10, true).await;
            assert_eq!(back.text().await, "10", "nothing is missing");
        } else {
            shared.events([10], true).await;
            assert_eq!(back.texts(2).await, ["stream-gap:null", "10"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_ahead_of_a_relay_is_not_taken_back_when_both_were_silent() {
    for comes_back in [false, true] {
        for comes_to_it in [true, false] {
            let (fake, mut calls) = upstream();
            let app = app(&RelayLayer::shared(Key::default()), &fake);
            let first = send(&app, get("/events"), "");
            let shared = calls.recv().await.unwrap().open();
            let mut first = first.client().await;
            shared.events([5], true).await;
            assert_eq!(first.text().await, "5");

            let of_another = get("/events").header("last-event-id", "of-another-3");
            let mut ahead = send(&app, of_another, "").client().await;
            let mut own = calls.recv().await.unwrap().open();
            own.events(8..=9, true).await;
            assert_eq!(ahead.texts(2).await, numbers(8..=9));
            if comes_back {
                let back = get("/events").header("last-event-id", &ahead.last_id);
                ahead = send(&app, back, "").client().await;
                own = calls.recv().await.unwrap().open();
            }
            tokio::time::sleep(Duration::from_secs(20)).await;
            own.cancelled().await;
            for number in 6..=7 {
                shared.events([number], true).await;
                assert_eq!(first.text().await, number.to_string());
                assert!(ahead.is_silent().await, "it had {number}");
            }
            if comes_to_it {
                shared.events(8..=10, true).await;
                assert_eq!(ahead.text().await, "10", "nothing is missing");
            } else {
                shared.events([10], true).await;
                assert_eq!(ahead.texts(2).await, ["stream-gap:null", "10"]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_catches_up_while_the_relay_is_lost_waits_for_it() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let first = send(&app, get("/events"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut first = first.client().await;
    shared.events([5], true).await;
    assert_eq!(first.text().await, "5");
    shared.fail().await;
    let lost = calls.recv().await.unwrap();
    drop(lost.answer(503, &[("retry-after", "30")]));

    let of_another = get("/events").header("last-event-id", "of-another-3");
    let mut ahead = send(&app, of_another, "").client().await;
    let own = calls.recv().await.unwrap().open();
    own.events(8..=9, true).await;
    assert_eq!(ahead.texts(2).await, numbers(8..=9));
    let call = calls.recv().await.unwrap();
    assert_eq!(call.last_event_id(), Some("5"), "30 s later");
    assert!(ahead.is_silent().await);
    let shared = call.open();
    shared.events(6..=10, true).await;
    assert_eq!(ahead.text().await, "10", "nothing is missing");
    assert_eq!(first.texts(5).await, numbers(6..=10));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_begins_with_what_it_was_asked_behind_gives_nothing_twice() {
    // Or one whose ids are all the same, and tell nothing.
    for ids_tell in [true, false] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let first = send(&app, get("/events"), "");
        let shared = calls.recv().await.unwrap().open();
        let mut first = first.client().await;
        let id = |number: u64| match ids_tell {
            true => number,
            false => 3,
        };
        let event = |number: u64| format!("id: {}\ndata: {number}\n\n", id(number));
        for number in 6..=7 {
            shared.send(event(number)).await;
            assert_eq!(first.text().await, number.to_string());
        }
        let of_another = SequentialId {
            epoch: Epoch::from_bits(7),
            sequence: 1,
            upstream: Some(b"of-another"),
        };
        let id_of_another = match ids_tell {
            true => "3".to_owned(),
            false => String::from_utf8(of_another.to_event_id().as_bytes().to_vec()).unwrap(),
        };
        let back = get("/events").header("last-event-id", id_of_another);
        let mut back = send(&app, back, "").client().await;
        let own = calls.recv().await.unwrap().open();
        if ids_tell {
            own.events(3..=6, true).await;
            assert_eq!(back.texts(4).await, numbers(4..=7));
        } else {
            for number in [8, 9] {
                own.send(format!("id: of-another\ndata: {number}\n\n"))
                    .await;
            }
            assert_eq!(back.text().await, "stream-gap:null");
        }
        shared.send(event(8)).await;
        assert_eq!(back.text().await, "8");
    }
}

#[tokio::test(start_paused = true)]
async fn a_catch_up_that_gives_nothing_is_a_gap() {
    for (status, kind) in [
        (204, "text/plain"),
        (404, "text/plain"),
        (200, "application/json"),
    ] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let stranger = send(&app, get("/events").header("last-event-id", "77"), "");
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), None);
        let shared = call.open();
        let mut stranger = stranger.client().await;
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("77"));
        drop(call.answer(status, &[("content-type", kind)]));
        assert_eq!(stranger.text().await, "stream-gap:null", "{status}");
        shared.events([1], true).await;
        assert_eq!(stranger.text().await, "1");
        assert!(stranger.last_id.ends_with(".1"), "{}", stranger.last_id);
    }
}

/// Three events are kept, of ten, and a client comes back that has had the first.
async fn with_what_is_not_kept(
    calls: &mut tokio::sync::mpsc::Receiver<Call>,
    app: &App,
) -> (Stream, Client, Call) {
    let first = send(app, get("/events"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut first = first.client().await;
    shared.events([1], true).await;
    assert_eq!(first.text().await, "1");
    let id = first.last_id.clone();
    for number in 2..=10 {
        shared.events([number], true).await;
        assert_eq!(first.text().await, number.to_string());
    }
    let back = send(app, get("/events").header("last-event-id", id), "");
    let back = back.client().await;
    let own = calls.recv().await.unwrap();
    assert_eq!(own.last_event_id(), Some("1"));
    (shared, back, own)
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_any_more_is_asked_for_and_given_once_and_in_order() {
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_events(3);
    let app = app(&RelayLayer::shared_in(Key::default(), history), &fake);
    let (shared, mut back, own) = with_what_is_not_kept(&mut calls, &app).await;
    let own = own.open();
    own.send("retry: 10\n\n:hello\n\n").await;
    own.events(2..=10, true).await;
    assert_eq!(back.texts(9).await, numbers(2..=10));
    own.cancelled().await;
    shared.events(11..=12, true).await;
    assert_eq!(back.texts(2).await, numbers(11..=12));
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_has_no_more_either_is_told_with_its_number() {
    for begins_at in [None, Some(8), Some(10)] {
        let (fake, mut calls) = upstream();
        let history = MemoryHistory::new().with_events(3);
        let app = app(&RelayLayer::shared_in(Key::default(), history), &fake);
        let (shared, mut back, own) = with_what_is_not_kept(&mut calls, &app).await;
        let own = own.open();
        own.send(":hello\n\n").await;
        if let Some(begins_at) = begins_at {
            own.events(begins_at..=10, true).await;
        }
        let expected = ["stream-gap:6", "8", "9", "10"];
        assert_eq!(back.texts(4).await, expected, "{begins_at:?}");
        shared.events([11], true).await;
        assert_eq!(back.text().await, "11");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_from_elsewhere_is_told_before_what_it_may_have_had() {
    let id = SequentialId {
        epoch: Epoch::from_bits(7),
        sequence: 9,
        upstream: Some(b"7"),
    };
    let id = String::from_utf8(id.to_event_id().as_bytes().to_vec()).unwrap();
    for (came_with, has_id, expected) in [
        (&*id, false, &["stream-gap:null", "8", "9"][..]),
        (&*id, true, &["8", "9"]),
        // The upstream's own says where the client is.
        ("7", false, &["8", "9"]),
    ] {
        let (fake, mut calls) = upstream();
        let app = app(&RelayLayer::shared(Key::default()), &fake);
        let waiting = send(&app, get("/events").header("last-event-id", came_with), "");
        let _shared = calls.recv().await.unwrap().open();
        let mut client = waiting.client().await;
        let own = calls.recv().await.unwrap();
        assert_eq!(own.last_event_id(), Some("7"));
        let own = own.open();
        own.events([8], has_id).await;
        own.events([9], true).await;
        assert_eq!(client.texts(expected.len()).await, expected, "{came_with}");
    }
}

#[tokio::test(start_paused = true)]
async fn how_many_of_those_gone_were_missed_is_not_known_of_who_may_have_had_some() {
    let new_app = |fake: &Fake| {
        let history = MemoryHistory::new().with_events(3);
        let layer = RelayLayer::shared_in(Key::default(), history);
        app(&layer.with_secret(Secret::new([7; 32]).unwrap()), fake)
    };
    for (third_has_id, gap) in [(false, "stream-gap:null"), (true, "stream-gap:3")] {
        let (fake, mut calls) = upstream();
        let before = send(&new_app(&fake), get("/events"), "");
        let shared = calls.recv().await.unwrap().open();
        let mut before = before.client().await;
        shared.events([1], true).await;
        shared.events([2], false).await;
        assert_eq!(before.texts(2).await, numbers(1..=2));
        let id = before.last_id.clone();

        // Another relay goes on behind that, and some of it is not kept when the client comes.
        let app = new_app(&fake);
        let come = || send(&app, get("/events").header("last-event-id", &id), "");
        let first = come();
        let shared = calls.recv().await.unwrap();
        assert_eq!(shared.last_event_id(), Some("1"));
        let shared = shared.open();
        let mut first = first.client().await;
        shared.events([2], false).await;
        assert_eq!(first.texts(2).await, ["stream-gap:null", "2"]);
        for number in 3..=7 {
            let has_id = number == 3 && third_has_id;
            shared.events([number], has_id).await;
            assert_eq!(first.text().await, number.to_string());
        }
        let mut back = come().client().await;
        let own = calls.recv().await.unwrap();
        assert_eq!(own.last_event_id(), Some("1"));
        drop(own.answer(503, &[]));
        assert_eq!(back.texts(4).await, [gap, "5", "6", "7"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_the_upstream_sets_again_and_again_is_not_asked_with() {
    let (fake, mut calls) = upstream();
    let history = MemoryHistory::new().with_events(3);
    let app = app(&RelayLayer::shared_in(Key::default(), history), &fake);
    let first = send(&app, get("/events"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut first = first.client().await;
    let mut id = String::new();
    for number in 1..=10 {
        shared.send(format!("id: one\ndata: {number}\n\n")).await;
        assert_eq!(first.text().await, number.to_string());
        if number == 1 {
            id = first.last_id.clone();
        }
    }
    let mut back = send(&app, get("/events").header("last-event-id", id), "")
        .client()
        .await;
    assert_eq!(back.texts(2).await, ["stream-gap:6", "8"]);
    assert!(calls.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn who_catches_up_where_only_heartbeats_come_has_missed_nothing() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let waiting = send(&app, get("/events").header("last-event-id", "5"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    let own = calls.recv().await.unwrap().open();
    for _ in 0..20 {
        for stream in [&shared, &own] {
            stream.try_send(":hb\n\n").await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    shared.events([6], true).await;
    assert_eq!(client.text().await, "6");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_began_with_a_comment_is_met_at_its_first_event() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let waiting = send(&app, get("/events").header("last-event-id", "5"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut client = waiting.client().await;
    let own = calls.recv().await.unwrap().open();
    for stream in [&shared, &own] {
        stream.send("retry: 10\n\n:hello\n\n").await;
        stream.events(6..=7, true).await;
    }
    assert_eq!(client.texts(2).await, numbers(6..=7));
}

#[tokio::test(start_paused = true)]
async fn what_has_no_id_behind_the_last_that_has_one_is_told_when_it_comes_again() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let first = send(&app, get("/events"), "");
    let shared = calls.recv().await.unwrap().open();
    let mut first = first.client().await;
    let back = get("/events").header("last-event-id", "3");
    let mut back = send(&app, back, "").client().await;
    let own = calls.recv().await.unwrap().open();
    own.events([8], true).await;
    own.events(9..=10, false).await;
    assert_eq!(back.texts(3).await, numbers(8..=10));
    drop(own);
    shared.events([8], true).await;
    shared.events(9..=11, false).await;
    assert_eq!(first.texts(4).await, numbers(8..=11));
    assert_eq!(back.texts(4).await, ["stream-gap:null", "9", "10", "11"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_gateway_behind_has_counted_anew_is_told_when_it_may_come_again() {
    // The gateway behind gives ids to events of an upstream that has set one on the third alone.
    let id = |epoch, sequence, upstream: &[u8]| {
        let id = SequentialId {
            epoch: Epoch::from_bits(epoch),
            sequence,
            upstream: Some(upstream),
        };
        String::from_utf8(id.to_event_id().as_bytes().to_vec()).unwrap()
    };
    let before = id(1, 5, b"row-3");
    let of_earlier_process = id(2, 5, before.as_bytes());
    for is_shared in [true, false] {
        let layer = match is_shared {
            true => RelayLayer::shared(Key::default()),
            false => RelayLayer::resumable(),
        };
        let (fake, mut calls) = upstream();
        let app = app(&layer, &fake);
        let back = get("/events").header("last-event-id", &of_earlier_process);
        let back = send(&app, back, "");
        // Where the stream is shared, the first request is not for this client alone.
        let mut call = calls.recv().await.unwrap();
        let mut streams = Vec::new();
        if is_shared {
            streams.push(call.open());
            call = calls.recv().await.unwrap();
        }
        assert_eq!(call.last_event_id(), Some(&*before));
        let own = call.open();
        for (sequence, number) in [(1, 4), (2, 5), (3, 6)] {
            let id = id(3, sequence, b"row-3");
            own.send(format!("id: {id}\ndata: {number}\n\n")).await;
        }
        let texts = back.client().await.texts(4).await;
        assert_eq!(texts, ["stream-gap:null", "4", "5", "6"]);
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_catch_up_at_the_same_time() {
    let (fake, mut calls) = upstream();
    let app = app(&RelayLayer::shared(Key::default()), &fake);
    let first = send(&app, get("/events"), "");
    let _shared = calls.recv().await.unwrap().open();
    let _first = first.client().await;
    let mut clients = Vec::new();
    for number in 0..80 {
        let request = get("/events").header("last-event-id", format!("of-{number}"));
        clients.push(send(&app, request, "").client().await);
    }
    let mut asked = Vec::new();
    while let Ok(call) = timeout(Duration::from_secs(1), calls.recv()).await {
        asked.push(call.unwrap());
    }
    assert_eq!(asked.len(), 64);
    let one = asked.pop().expect("64 of them");
    drop(one.answer(204, &[]));
    assert!(calls.recv().await.is_some(), "the next one has its turn");
}
