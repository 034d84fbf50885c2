//! The stages that look at one event or at the head, seen by a client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Method, Response, response};
use tower_sse::EventLayer;
use tower_sse::stage::{
    Drain, DrainHandle, EventIds, Farewell, Heartbeat, HeartbeatFrame, IdleTimeout, Lifetime,
    NoBuffering, Outbox, Reason, Retry, Stage, Times,
};
use tower_sse::wire::{Decoded, Decoder, SequentialId};

use crate::client::{answer, read, seen};
use crate::upstream::{Upstream, upstream};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn retry_stands_at_the_beginning_and_the_upstreams_own_comes_later() {
    let upstream = upstream().chunk(1, "retry: 10\n\n");
    assert_eq!(
        seen(Retry::after(secs(3)), upstream, 10).await,
        [(1, "retry: 3000\nretry: 10\n\n")]
    );
}

#[tokio::test(start_paused = true)]
async fn retry_with_jitter_stays_within_its_bounds_and_uses_them() {
    let mut times = Vec::new();
    for _ in 0..200 {
        let upstream = upstream().chunk(0, "data: a\n\n");
        let got = seen(Retry::after(secs(3)).with_jitter(0.5), upstream, 1).await;
        let [(0, text)] = got[..] else {
            panic!("{got:?}")
        };
        let digits = text
            .strip_prefix("retry: ")
            .and_then(|text| text.strip_suffix("\ndata: a\n\n"))
            .expect(text);
        times.push(digits.parse::<u64>().unwrap());
    }
    assert!(times.iter().all(|time| (1500..=4500).contains(time)));
    assert!(times.iter().any(|time| *time < 2500) && times.iter().any(|time| *time > 3500));
}

/// The ids of all events, ours as `epoch` and a number that tells epochs apart, sequence and upstream's id.
async fn ids(stage: impl Stage + Clone, upstream: Upstream) -> Vec<String> {
    let text: String = seen(stage, upstream, 100)
        .await
        .into_iter()
        .filter_map(|(_, chunk)| (chunk != "(end)").then_some(chunk))
        .collect();
    let mut decoder = Decoder::new();
    decoder.push(text.into());
    let mut epochs = Vec::new();
    let mut ids = Vec::new();
    while let Some(Decoded::Event(event)) = decoder.next() {
        ids.push(match event.id().map(|id| (id, SequentialId::parse(id))) {
            None => "none".to_owned(),
            Some((id, None)) => id.escape_ascii().to_string(),
            Some((_, Some(id))) => {
                if !epochs.contains(&id.epoch) {
                    epochs.push(id.epoch);
                }
                let upstream = id
                    .upstream
                    .map(|id| format!(".{}", id.escape_ascii()))
                    .unwrap_or_default();
                format!("ours {}{upstream}", id.sequence)
            }
        });
    }
    assert!(epochs.len() <= 1, "one stream has one epoch");
    ids
}

fn some_with_ids() -> Upstream {
    upstream()
        .chunk(1, "data: a\n\nid: 7\ndata: b\n\ndata: c\n\n: d\n\nda")
        .chunk(2, "ta: e\n\nid: 8\n\ndata: f\n\nid\ndata: g\n\ndata: h\n\n")
        .chunk(3, "id: bad\0\ndata: i\n\n")
        .end(4)
}

#[tokio::test(start_paused = true)]
async fn ids_fill_what_is_missing() {
    assert_eq!(
        ids(EventIds::sequential(), some_with_ids()).await,
        [
            "ours 1", "7", "ours 2.7", "ours 3.7", "8", "ours 4.8", "", "ours 5", "ours 6"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn ids_replace_all() {
    assert_eq!(
        ids(EventIds::sequential().replacing(), some_with_ids()).await,
        [
            "ours 1", "ours 2.7", "ours 3.7", "ours 4.7", "8", "ours 5.8", "ours 6", "ours 7",
            "ours 8"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn ids_leave_the_bytes_of_an_event_as_they_were() {
    let upstream = upstream().chunk(1, "event:add\r\ndata:  a\r\n\r\n");
    let got = seen(EventIds::sequential(), upstream, 10).await;
    let [(1, text)] = got[..] else {
        panic!("{got:?}")
    };
    let (id, rest) = text.split_once("\r\n").unwrap();
    assert!(id.starts_with("id: ts") && id.ends_with("-1"), "{id}");
    assert_eq!(rest, "event:add\r\ndata:  a\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn every_stream_has_an_epoch_of_its_own() {
    let layer = EventLayer::new(EventIds::sequential());
    let mut epochs = Vec::new();
    for _ in 0..2 {
        let response = upstream().chunk(0, "data: a\n\n").end(0).response();
        let response = answer(&layer, Method::GET, response).await;
        let got = read(response.into_body(), 10).await;
        let id = got[0].1.lines().next().unwrap();
        let id = SequentialId::parse(id.strip_prefix("id: ").unwrap().as_bytes()).unwrap();
        assert_eq!(id.sequence, 1);
        epochs.push(id.epoch);
    }
    assert_ne!(epochs[0], epochs[1]);
}

#[tokio::test(start_paused = true)]
async fn lifetimes_are_spread() {
    let mut ends = Vec::new();
    for _ in 0..200 {
        let got = seen(Lifetime::at_most(secs(100)), upstream(), 200).await;
        let [(_, ": closing: lifetime\n"), (end, "(end)")] = got[..] else {
            panic!("{got:?}")
        };
        ends.push(end);
    }
    assert!(ends.iter().all(|end| (90..=110).contains(end)));
    assert!(ends.iter().any(|end| *end < 97) && ends.iter().any(|end| *end > 103));
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_is_that_of_the_stream_though_events_flow() {
    let mut busy = upstream();
    for second in 0..20 {
        busy = busy.chunk(second, "data: a\n\n");
    }
    let lifetime = Lifetime::at_most(secs(3)).with_jitter(0.0);
    assert_eq!(
        seen(lifetime, busy, 100).await,
        [
            (0, "data: a\n\n"),
            (1, "data: a\n\n"),
            (2, "data: a\n\n"),
            (3, "data: a\n\n"),
            (3, ": closing: lifetime\n"),
            (3, "(end)")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_farewell_is_that_of_the_stage_that_ends_the_stream() {
    async fn last_words(stage: impl Stage + Clone, reason: &str) {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let got = seen(stage, upstream().chunk(0, "data: a\r\n\r\n"), 100).await;
        let [(0, _), (5, words), (5, "(end)")] = got[..] else {
            panic!("{got:?}")
        };
        let time = words
            .strip_prefix(&format!(
                ": closing: {reason}\r\nretry: 60000\r\nevent: pause\r\ndata: "
            ))
            .and_then(|rest| rest.strip_suffix("\r\n\r\n"))
            .unwrap_or_else(|| panic!("{words}"));
        let time = Duration::from_millis(time.parse().unwrap());
        let at_least = before + secs(60) - Duration::from_millis(1);
        assert!(
            time >= at_least && time < at_least + secs(60),
            "the time is that of the wall's clock"
        );
    }

    let farewell = Farewell::new()
        .with_retry(secs(60), 0.0)
        .with_event("pause")
        .unwrap();
    let lifetime = Lifetime::at_most(secs(5)).with_jitter(0.0);
    last_words(lifetime.with_farewell(farewell.clone()), "lifetime").await;
    let idle = IdleTimeout::after(secs(5));
    last_words(idle.with_farewell(farewell.clone()), "idle").await;
    let handle = DrainHandle::new();
    let drain = Drain::on(&handle)
        .with_window(Duration::ZERO)
        .with_farewell(farewell);
    tokio::spawn(async move {
        tokio::time::sleep(secs(5)).await;
        handle.start();
    });
    last_words(drain, "drain").await;
}

#[tokio::test(start_paused = true)]
async fn hops_are_asked_not_to_buffer_event_streams_alone() {
    let layer = EventLayer::new(NoBuffering);
    let mut response = upstream().response();
    let fields = response.headers_mut();
    fields.insert("cache-control", "private, max-age=60".parse().unwrap());
    fields.insert("x-accel-buffering", "yes".parse().unwrap());
    let response = answer(&layer, Method::GET, response).await;
    assert_eq!(
        response.headers()["cache-control"],
        "private, no-cache, no-transform"
    );
    assert_eq!(response.headers()["x-accel-buffering"], "no");

    let response = answer(&layer, Method::GET, Response::new(upstream())).await;
    assert!(response.headers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_above_the_limit_passes_unseen_and_the_next_is_seen() {
    let layer = EventLayer::new(EventIds::sequential()).with_max_event_bytes(32);
    let upstream = upstream()
        .chunk(1, "data: 0123456789012345")
        .chunk(2, "0123456789012345\n")
        .chunk(3, "\ndata: b\n\n")
        .end(4);
    let response = answer(&layer, Method::GET, upstream.response()).await;
    let got = read(response.into_body(), 10).await;
    let [(2, first), (3, rest), (3, next), (4, "(end)")] = got[..] else {
        panic!("{got:?}")
    };
    assert_eq!(first, "data: 01234567890123450123456789012345\n");
    assert_eq!(rest, "\n");
    assert!(next.starts_with("id: ts") && next.ends_with("-1\ndata: b\n\n"));
}

/// Says in every way it can what would be an event if it broke out of its line.
#[derive(Clone)]
struct Says(&'static str);

impl Stage for Says {
    fn on_response(&mut self, _: &mut response::Parts, times: &Times, out: &mut Outbox) {
        out.comment(self.0);
        Heartbeat::every(secs(1))
            .with_frame(HeartbeatFrame::Text(self.0.to_owned()))
            .at_open()
            .on_response(&mut Response::new(()).into_parts().0, times, out);
        Farewell::new().write(Reason::new(self.0), out);
    }
}

#[tokio::test(start_paused = true)]
async fn no_text_of_a_stage_breaks_out_of_its_line() {
    for text in ["a\ndata: b\n\n", "a\rid: b\r\r", "a\r\nretry: 1\r\n\r\n"] {
        let got = seen(Says(text), upstream(), 1).await;
        let [(0, said), (0, "(end)")] = got[..] else {
            panic!("{got:?}")
        };
        assert!(said.lines().all(|line| line.starts_with(':')), "{said:?}");
        assert!(!said.contains('\r'), "{said:?}");
    }
    for name in ["a\n", "a\rb", "\0"] {
        assert!(HeartbeatFrame::event(name).is_err());
        assert!(Farewell::new().with_event(name).is_err());
    }
}
