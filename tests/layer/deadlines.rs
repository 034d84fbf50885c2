//! A stage whose deadline stays where it was gets no more than a call each 10 ms, and starves nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower_sse::stage::{Heartbeat, Lifetime, Outbox, Pipeline, Stage, Times};

use crate::client::{open, seen};
use crate::upstream::upstream;

/// Never content with when it was called.
#[derive(Clone)]
struct Impatient {
    deadline: fn(&Times) -> Instant,
    writes: bool,
    calls: Arc<AtomicU64>,
}

/// A test that would never end fails at this many calls.
const FAR_TOO_MANY: u64 = 50_000;

impl Impatient {
    /// One for each deadline that does not move, which writes or does not.
    fn all() -> Vec<Self> {
        let deadlines: [fn(&Times) -> Instant; 4] = [
            |times| times.now,
            |times| times.now - secs(1),
            |times| times.opened,
            |times| times.opened - secs(1),
        ];
        let stages = deadlines.map(|deadline| {
            [false, true].map(|writes| Impatient {
                deadline,
                writes,
                calls: Arc::default(),
            })
        });
        stages.concat()
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Stage for Impatient {
    fn deadline(&self, times: &Times) -> Option<Instant> {
        Some((self.deadline)(times))
    }

    fn on_deadline(&mut self, _: &Times, out: &mut Outbox) {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        assert!(before < FAR_TOO_MANY, "it spins");
        if self.writes {
            out.comment("impatient");
        }
    }
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What came beside the comments of the impatient.
fn without_comments(seen: Vec<(u64, &'static str)>) -> Vec<(u64, &'static str)> {
    seen.into_iter()
        .filter(|(_, text)| *text != ": impatient\n")
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_does_not_move_is_met_a_hundred_times_a_second_at_most() {
    for stage in Impatient::all() {
        let upstream = upstream().chunk(3, "data: a\n\n").chunk(7, "data: b\n\n");
        let stages = (stage.clone(), Lifetime::at_most(secs(20)).with_jitter(0.0));
        let got = without_comments(seen(stages, upstream, 100).await);
        let farewell = got.iter().position(|(_, text)| text.contains("lifetime"));
        assert_eq!(got[..2], [(3, "data: a\n\n"), (7, "data: b\n\n")]);
        assert_eq!((farewell, got.len()), (Some(2), 4), "{got:?}");
        assert_eq!((got[2].0, got[3]), (20, (20, "(end)")));
        let calls = stage.calls();
        assert!((1_000..=2_100).contains(&calls), "{calls}");
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_beside_it_come_as_ever() {
    for stage in Impatient::all().into_iter().filter(|stage| !stage.writes) {
        for first in [true, false] {
            let heartbeat = Heartbeat::every(secs(15));
            let got = if first {
                seen((stage.clone(), heartbeat), upstream(), 50).await
            } else {
                seen((heartbeat, stage.clone()), upstream(), 50).await
            };
            assert_eq!(got, [(15, ":\n"), (30, ":\n"), (45, ":\n")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_always_has_something_is_read_to_its_end() {
    for stage in Impatient::all() {
        let mut busy = upstream();
        for _ in 0..1_000 {
            busy = busy.chunk(0, "data: a\n\n");
        }
        let got = without_comments(seen(stage.clone(), busy.end(0), 10).await);
        let events: usize = got
            .iter()
            .map(|(_, text)| text.matches("data").count())
            .sum();
        assert_eq!(events, 1_000);
        assert_eq!(got.last(), Some(&(0, "(end)")));
        assert!(stage.calls() <= 2, "no time went by");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_heard_and_one_that_does_not_read_costs_nothing() {
    for stage in Impatient::all() {
        let mut body = open(stage.clone(), upstream()).await;
        let first = tokio::time::timeout(secs(1), body.frame()).await;
        assert_eq!(first.is_ok(), stage.writes);
        let before = stage.calls();
        tokio::time::sleep(secs(10)).await;
        assert_eq!(stage.calls(), before, "nobody polled it");
        assert!(!body.is_end_stream());
        drop(body);
        assert_eq!(stage.calls(), before);
    }
}

#[test]
fn whoever_drives_a_pipeline_is_told_when_to_come_back() {
    let start = Instant::now();
    for stage in Impatient::all() {
        let (mut head, ()) = Response::new(()).into_parts();
        let mut pipeline = Pipeline::open(stage.clone(), &mut head, Times::at(start));
        let at = |millis| start + Duration::from_millis(millis);
        assert!(pipeline.deadline().is_some_and(|due| due <= start));
        let mut now = start;
        while now < at(1_000) {
            pipeline.tick(now);
            while pipeline.next().is_some() {}
            now = now.max(pipeline.deadline().expect("it always has one"));
        }
        assert_eq!(stage.calls(), 100);
        pipeline.push(Bytes::from("data: a\n\n"), at(1_003));
        let mut got = Vec::new();
        while let Some(bytes) = pipeline.next() {
            got.extend_from_slice(&bytes);
        }
        assert_eq!(got, b"data: a\n\n");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_moves_is_met_at_once_however_near_it_is() {
    /// Writes each millisecond.
    #[derive(Clone)]
    struct Ticker(Instant);

    impl Stage for Ticker {
        fn deadline(&self, _: &Times) -> Option<Instant> {
            Some(self.0)
        }

        fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
            if self.0 <= times.now {
                self.0 = times.now + Duration::from_millis(1);
                out.comment("tick");
            }
        }
    }

    let got = seen(Ticker(Instant::now()), upstream(), 2).await;
    assert!((1_990..=2_001).contains(&got.len()), "{}", got.len());
}
