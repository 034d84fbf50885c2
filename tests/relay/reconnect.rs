//! The upstream is lost, and clients do not notice, or are told what there is to know.

use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;
use tower_sse::history::MemoryHistory;
use tower_sse::relay::{Key, RelayLayer, UpstreamState};

use crate::client::{App, Client, app, get, numbers, send};
use crate::upstream::{Call, Stream, upstream};

pub(crate) async fn opened(layer: &RelayLayer) -> (App, Receiver<Call>, Stream, Client) {
    let (fake, mut calls) = upstream();
    let app = app(layer, &fake);
    let waiting = send(&app, get("/"), "");
    let stream = calls.recv().await.unwrap().open();
    let client = waiting.client().await;
    (app, calls, stream, client)
}

#[tokio::test(start_paused = true)]
async fn a_lost_upstream_is_asked_for_what_is_behind_its_last_id() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    stream.events(1..=3, true).await;
    stream.send("id: 4\ndata: half of an ev").await;
    stream.fail().await;
    let call = calls.recv().await.unwrap();
    assert_eq!(call.last_event_id(), Some("3"));
    let stream = call.open();
    stream.events(4..=5, true).await;
    assert_eq!(client.texts(5).await, numbers(1..=5));
    // A clean end is no other to a GET that is shared.
    drop(stream);
    let call = calls.recv().await.unwrap();
    assert_eq!(call.last_event_id(), Some("5"));
    let _stream = call.open();
    assert!(client.is_silent().await);
}

#[tokio::test(start_paused = true)]
async fn without_an_id_something_may_be_missing_and_clients_are_told() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    stream.events(1..=2, false).await;
    stream.fail().await;
    let call = calls.recv().await.unwrap();
    assert_eq!(call.last_event_id(), None);
    call.open().events([3], false).await;
    assert_eq!(client.texts(4).await, ["1", "2", "stream-gap:null", "3"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_is_given_once() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    stream.events(1..=3, true).await;
    stream.send("data: no id\n\n").await;
    stream.events([4], true).await;
    stream.fail().await;
    // It takes no notice of the id, and begins anew.
    let stream = calls.recv().await.unwrap().open();
    stream.events(1..=3, true).await;
    stream.send("data: no id\n\n").await;
    stream.send("id: 4\ndata: other\n\n").await;
    stream.events(5..=6, true).await;
    stream.send("id: 6\ndata: 6\n\n").await;
    assert_eq!(
        client.texts(10).await,
        [
            "1",
            "2",
            "3",
            "no id",
            "4",
            // The same number for something else: it has begun anew, and what it had behind 4 before is gone.
            "stream-gap:null",
            "other",
            "5",
            "6",
            "6"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_is_known_however_it_is_cut() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    stream.send(":c\rid: 1\r").await;
    stream.send("data: 1\r\r").await;
    stream.send("data: no id\r\r:hb\r\rretry: 9\r").await;
    stream.send("data: nor this\r\rid: 2\rdata: 2\r\r").await;
    stream.fail().await;
    let stream = calls.recv().await.unwrap().open();
    stream.send(":c\r").await;
    stream.send("id: 1\rdata: 1\r\r:hb\r\r").await;
    stream.send("data: no id\r\rretry: 9\rdata: nor").await;
    stream.send(" this\r\rid: 2\rdata: 2\r\rdata: 3\r\r").await;
    assert_eq!(client.texts(5).await, ["1", "no id", "nor this", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_id_is_known_behind_the_one_that_was_asked_for() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    stream.events([1], true).await;
    stream.events(2..=3, false).await;
    stream.fail().await;
    let call = calls.recv().await.unwrap();
    assert_eq!(call.last_event_id(), Some("1"));
    let stream = call.open();
    stream.events(2..=4, false).await;
    assert_eq!(client.texts(4).await, ["1", "2", "3", "4"]);
    stream.fail().await;
    let stream = calls.recv().await.unwrap().open();
    stream.events(2..=5, false).await;
    assert_eq!(client.text().await, "5");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_id_and_is_not_kept_any_more_is_told_when_it_comes_again() {
    for from in [2, 7] {
        let history = MemoryHistory::new().with_events(3);
        let layer = RelayLayer::shared_in(Key::default(), history);
        let (_app, mut calls, stream, mut client) = opened(&layer).await;
        stream.events([1], true).await;
        stream.events(2..=6, false).await;
        assert_eq!(client.texts(6).await, ["1", "2", "3", "4", "5", "6"]);
        stream.fail().await;
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("1"));
        let stream = call.open();
        // What it had before with no id of its own, or what is new: who has read 4 to 6 cannot tell.
        stream.events(from..=8, false).await;
        assert_eq!(client.text().await, "stream-gap:null");
        for number in from..=8 {
            assert_eq!(client.text().await, number.to_string());
        }
        stream.events([9], true).await;
        assert_eq!(client.text().await, "9");
        stream.fail().await;
        let stream = calls.recv().await.unwrap().open();
        stream.events([10], false).await;
        assert_eq!(client.text().await, "10");
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_in_a_new_count_is_none_of_the_old_one() {
    let history = MemoryHistory::new().with_events(4);
    let layer = RelayLayer::shared_in(Key::default(), history);
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    stream.events(1..=6, true).await;
    assert_eq!(client.texts(6).await, numbers(1..=6));
    stream.fail().await;
    for last in [6, 7] {
        let stream = calls.recv().await.unwrap().open();
        stream.events([1], true).await;
        assert_eq!(client.texts(2).await, ["stream-gap:null", "1"]);
        // Those from before are kept, and have the same ids and data.
        stream.events(2..=last, true).await;
        assert_eq!(client.texts(last as usize - 1).await, numbers(2..=last));
        stream.fail().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_without_an_id_that_is_alike_by_chance_hides_no_repetition() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    let all = [(0, false), (1, true), (0, false), (2, true), (0, false)];
    for (number, with_id) in all {
        stream.events([number], with_id).await;
    }
    assert_eq!(client.texts(5).await, ["0", "1", "0", "2", "0"]);
    stream.fail().await;
    // It begins anew, and its first event is like the one behind the id that it was asked with.
    let stream = calls.recv().await.unwrap().open();
    for (number, with_id) in all {
        stream.events([number], with_id).await;
    }
    stream.events([3], true).await;
    assert_eq!(client.text().await, "3");
}

#[tokio::test(start_paused = true)]
async fn each_answer_to_a_reconnect_has_its_meaning() {
    let html = [("content-type", "text/html")];
    let later = [("retry-after", "120")];
    for (status, fields, goes_on) in [
        (500, &[][..], true),
        (503, &later, true),
        (429, &later, true),
        (301, &[("location", "/x")], true),
        (200, &html, true),
        (401, &[], false),
        (404, &[], false),
    ] {
        let layer = RelayLayer::shared(Key::default());
        let (app, mut calls, stream, mut client) = opened(&layer).await;
        stream.events([1], true).await;
        assert_eq!(client.text().await, "1");
        stream.fail().await;
        drop(calls.recv().await.unwrap().answer(status, fields));
        let answered = Instant::now();
        if goes_on {
            let stream = calls.recv().await.unwrap().open();
            let wait = if fields == later { 120 } else { 0 };
            assert!(answered.elapsed() >= Duration::from_secs(wait), "{status}");
            stream.events([2], true).await;
            assert_eq!(client.text().await, "2", "{status}");
        } else {
            assert_eq!(client.text().await, "(end)", "{status}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(layer.relays().is_empty(), "{status}");
            // It is not kept: the next one asks for itself.
            let waiting = send(&app, get("/"), "");
            drop(calls.recv().await.unwrap().answer(status, &[]));
            assert_eq!(waiting.answer().await.status().as_u16(), status);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_date_to_come_back_at_is_waited_for() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    stream.fail().await;
    let fields = [
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("retry-after", "Sun, 06 Nov 1994 08:51:37 GMT"),
    ];
    drop(calls.recv().await.unwrap().answer(503, &fields));
    let answered = Instant::now();
    let stream = calls.recv().await.unwrap().open();
    let waited = answered.elapsed().as_secs();
    assert!((120..125).contains(&waited), "{waited}");
    stream.events([1], true).await;
    assert_eq!(client.texts(2).await, ["stream-gap:null", "1"]);
}

#[tokio::test(start_paused = true)]
async fn no_content_ends_it_for_all_once_they_have_had_all() {
    let layer = RelayLayer::shared(Key::default());
    let (app, mut calls, stream, mut client) = opened(&layer).await;
    stream.events([1], false).await;
    assert_eq!(client.text().await, "1");
    let after_1 = client.last_id.clone();
    stream.events([2], false).await;
    assert_eq!(client.text().await, "2");
    drop(stream);
    drop(calls.recv().await.unwrap().answer(204, &[]));
    assert_eq!(client.text().await, "(end)");
    let request = |id: &str| get("/").header("last-event-id", id);
    let mut behind = send(&app, request(&after_1), "").client().await;
    assert_eq!(behind.texts(2).await, ["2", "(end)"]);
    for request in [get("/"), request(&client.last_id), request("guessed")] {
        let answer = send(&app, request, "").answer().await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(layer.relays()[0].upstream, UpstreamState::Ended);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert!(layer.relays().is_empty());
    let _waiting = send(&app, get("/"), "");
    calls.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_never_comes_back_is_given_up_and_not_in_a_hurry() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    stream.events([1], true).await;
    assert_eq!(client.text().await, "1");
    let lost = Instant::now();
    stream.fail().await;
    let asking = tokio::spawn(async move {
        let mut asked = 0;
        while let Some(call) = calls.recv().await {
            asked += 1;
            // A head and nothing behind it, or an error.
            if asked % 2 == 0 {
                call.open().fail().await;
            } else {
                drop(call.answer(502, &[]));
            }
        }
        asked
    });
    assert_eq!(client.text().await, "(end)");
    let after = lost.elapsed().as_secs();
    assert!((295..=301).contains(&after), "{after}");
    assert!(layer.relays().is_empty());
    drop(_app);
    let asked = asking.await.unwrap();
    assert!((10..120).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_does_not_answer_is_asked_again_within_a_second() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, stream, mut client) = opened(&layer).await;
    stream.send("retry: 5000\n").await;
    stream.events([1], true).await;
    assert_eq!(client.text().await, "1");
    stream.fail().await;
    let mut call = calls.recv().await.unwrap();
    for _ in 0..100 {
        let asked = Instant::now();
        call.leave_unanswered();
        call = calls.recv().await.unwrap();
        let waited = asked.elapsed().as_millis();
        assert!((250..=1001).contains(&waited), "{waited}");
    }
    call.open().events([2], true).await;
    assert_eq!(client.text().await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_brought_an_event_is_a_new_beginning() {
    let layer = RelayLayer::shared(Key::default());
    let (_app, mut calls, mut stream, mut client) = opened(&layer).await;
    for number in 1..=20 {
        stream.events([number], true).await;
        assert_eq!(client.text().await, number.to_string());
        stream.fail().await;
        let lost = Instant::now();
        stream = calls.recv().await.unwrap().open();
        assert!(lost.elapsed() <= Duration::from_millis(1001), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_opened_when_there_is_no_upstream_yet() {
    for layer in [RelayLayer::shared(Key::default()), RelayLayer::resumable()] {
        let layer = layer.with_hold_without_upstream(true);
        let (fake, mut calls) = upstream();
        let app = app(&layer, &fake);
        let waiting = send(&app, get("/"), "");
        calls.recv().await.unwrap().leave_unanswered();
        let mut client = waiting.client().await;
        calls.recv().await.unwrap().leave_unanswered();
        calls.recv().await.unwrap().open().events([1], false).await;
        assert_eq!(client.text().await, "1", "there is no gap before the first");
        // What the upstream answers passes.
        let waiting = send(&app, get("/other"), "");
        drop(calls.recv().await.unwrap().answer(502, &[]));
        assert_eq!(waiting.answer().await.status(), StatusCode::BAD_GATEWAY);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_to_be_asked_too_late_is_asked_once_more_before_all_is_given_up() {
    let hour: &[_] = &[("retry-after", "3600")];
    for (retry, fields) in [("", hour), ("retry: 3600000\n\n", &[])] {
        for comes_back in [true, false] {
            let layer = RelayLayer::shared(Key::default());
            let (_app, mut calls, stream, mut client) = opened(&layer).await;
            if !retry.is_empty() {
                stream.send(retry).await;
                assert_eq!(client.chunk().await.unwrap(), retry);
            }
            stream.events([1], true).await;
            assert_eq!(client.text().await, "1");
            let lost = Instant::now();
            stream.fail().await;
            if !fields.is_empty() {
                drop(calls.recv().await.unwrap().answer(503, fields));
            }
            let mut last = calls.recv().await.unwrap();
            assert_eq!(lost.elapsed().as_secs(), 300);
            assert_eq!(last.last_event_id(), Some("1"));
            if comes_back {
                // It has some time for its answer, though the time for all is over.
                tokio::time::sleep(Duration::from_secs(9)).await;
                last.open().events([2], true).await;
                assert_eq!(client.text().await, "2");
            } else {
                last.cancelled().await;
                assert_eq!(lost.elapsed().as_secs(), 310);
                assert_eq!(client.text().await, "(end)");
                assert!(layer.relays().is_empty());
                assert!(calls.try_recv().is_err());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_reconnection_time_of_the_upstream_is_waited_for() {
    let layer = RelayLayer::shared(Key::default());
    let (app, mut calls, stream, mut client) = opened(&layer).await;
    stream.send("retry: 20000\n").await;
    stream.events([1], true).await;
    assert_eq!(client.text().await, "1");
    let mut late = send(&app, get("/"), "").client().await;
    stream.events([2], true).await;
    let chunk = late.chunk().await.unwrap();
    assert!(chunk.starts_with(b"retry: 20000\nid: "), "{chunk:?}");
    stream.fail().await;
    let lost = Instant::now();
    calls.recv().await.unwrap();
    let waited = lost.elapsed().as_secs();
    assert!((20..=21).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_held_stream_is_open_before_the_upstream_is() {
    for open_after in [None, Some(Duration::from_secs(2))] {
        let layer = RelayLayer::shared(Key::default())
            .with_hold(open_after.is_none())
            .with_open_after(open_after);
        let (fake, mut calls) = upstream();
        let app = app(&layer, &fake);
        let waiting = send(&app, get("/"), "");
        let call = calls.recv().await.unwrap();
        let asked = Instant::now();
        let answer = waiting.answer().await;
        assert_eq!(
            asked.elapsed().as_secs(),
            open_after.map_or(0, |time| time.as_secs())
        );
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut client = Client::of(answer);
        drop(call.answer(503, &[]));
        calls.recv().await.unwrap().open().events([1], false).await;
        assert_eq!(client.text().await, "1", "there is no gap before the first");
    }
}

#[tokio::test(start_paused = true)]
async fn when_nothing_runs_the_upstreams_part_of_an_id_is_sent() {
    let layer = RelayLayer::shared(Key::default());
    let (app, mut calls, stream, mut client) = opened(&layer).await;
    stream.events(7..=7, true).await;
    assert_eq!(client.text().await, "7");
    let id = client.last_id.clone();
    assert!(
        id.starts_with("ts") && id.contains("-1~") && id.ends_with(".7"),
        "{id}"
    );
    drop(client);
    stream.cancelled().await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let waiting = send(&app, get("/").header("last-event-id", &id), "");
    let call = calls.recv().await.unwrap();
    assert_eq!(call.last_event_id(), Some("7"));
    call.open().events([8], true).await;
    assert_eq!(waiting.client().await.text().await, "8");
}

#[tokio::test(start_paused = true)]
async fn ids_of_the_upstream_are_kept_where_they_are_trusted() {
    let layer = RelayLayer::shared(Key::default()).with_upstream_ids(true);
    let (app, _calls, stream, mut client) = opened(&layer).await;
    stream.events(1..=3, true).await;
    assert_eq!(client.texts(3).await, numbers(1..=3));
    assert_eq!(client.last_id, "3");
    let mut back = send(&app, get("/").header("last-event-id", "1"), "")
        .client()
        .await;
    assert_eq!(back.texts(2).await, ["2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_too_large_is_a_gap_of_one() {
    let layer = RelayLayer::shared(Key::default()).with_max_event_bytes(1000);
    let (_app, _calls, stream, mut client) = opened(&layer).await;
    stream.events([1], false).await;
    stream.send(format!("data: {}", "x".repeat(900))).await;
    stream
        .send(format!("{}\n\ndata: 2\n\n", "x".repeat(900)))
        .await;
    assert_eq!(client.texts(3).await, ["1", "stream-gap:1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn ids_that_begin_anew_are_a_gap_that_is_told() {
    for evicted in [false, true] {
        let history = match evicted {
            false => MemoryHistory::new(),
            true => MemoryHistory::new().with_events(2),
        };
        let layer = RelayLayer::shared_in(Key::default(), history);
        let (_app, mut calls, stream, mut client) = opened(&layer).await;
        for number in 1..=5 {
            stream.events([number], true).await;
            assert_eq!(client.text().await, number.to_string());
        }
        stream.fail().await;
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("5"));
        // Another process, which counts from one again and knows nothing of what was.
        let stream = call.open();
        for number in 1..=3 {
            stream
                .send(format!("id: {number}\ndata: new {number}\n\n"))
                .await;
            if number == 1 {
                assert_eq!(client.text().await, "stream-gap:null");
            }
            assert_eq!(client.text().await, format!("new {number}"), "told once");
        }
        stream.fail().await;
        let call = calls.recv().await.unwrap();
        assert_eq!(call.last_event_id(), Some("3"));
        let stream = call.open();
        stream.events([4], true).await;
        assert_eq!(client.text().await, "4", "evicted: {evicted}");
    }
}
