//! No wrapper forgets a hook: every way to compose stages is driven through every hook.

use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use tokio::time::Instant;
use tower_sse::EventLayer;
use tower_sse::stage::{CloneStage, EventIds, Heartbeat, Outbox, Passing, Pipeline, Stage, Times};
use tower_sse::wire::LargeEvent;

use crate::client::{answer, read};
use crate::probe::Log;
use crate::upstream::upstream;

/// Calls every hook of a stage once, by hand.
fn every_hook(mut stage: impl Stage) {
    let (request, ()) = Request::new(()).into_parts();
    let (mut response, ()) = Response::new(()).into_parts();
    let times = Times::at(Instant::now());
    let mut out = Outbox::new();
    stage.on_request(&request, &times);
    stage.on_response(&mut response, &times, &mut out);
    stage.on_bypass(
        &response,
        tower_sse::stage::Bypass::NotAnEventStream,
        &times,
    );
    let event = tower_sse::wire::Event::builder().data("a").build();
    let event = stage.on_event(event, &times).expect("a probe keeps it");
    assert_eq!(event.to_bytes(), "data: a\n\n");
    assert!(stage.passes(), "all of them pass what is whole");
    assert!(matches!(stage.passing(), Passing::Unseen));
    stage.on_passed(2, &times);
    stage.on_large_event(&LargeEvent::default(), &times);
    assert_eq!(
        stage.deadline(&times),
        Some(times.opened + Duration::from_secs(1)),
        "the nearest deadline counts"
    );
    stage.on_deadline(&times, &mut out);
    stage.on_wait(std::task::Waker::noop());
    stage.on_sent(&times);
    stage.on_end(tower_sse::stage::End::Finished, &times);
}

/// What is logged when every hook of these probes is called, in this order.
fn expected(names: &[&str]) -> Vec<String> {
    [
        "on_request /",
        "on_response 200 OK",
        "on_bypass NotAnEventStream",
        "on_event data: a\\n\\n",
        "passes",
        "passing",
        "on_passed 2",
        "on_large_event none",
        "deadline",
        "on_deadline 0",
        "on_wait",
        "on_sent",
        "on_end upstream_end 0",
    ]
    .iter()
    .flat_map(|call| names.iter().map(move |name| format!("{name} {call}")))
    .collect()
}

#[test]
fn no_hook_is_forgotten() {
    let log = Log::default();
    // The nearest deadline is that of the probe with the highest number, wherever it stands.
    let p = |number: u64| {
        let wait = Duration::from_secs(if number == 1 { 1 } else { 1 + number });
        log.probe(number).with_deadline(wait)
    };
    let check = |names: &[&str]| assert_eq!(log.take(), expected(names));

    every_hook(p(1));
    check(&["1"]);
    every_hook(Some(p(1)));
    check(&["1"]);
    every_hook(Box::new(p(1)));
    check(&["1"]);
    every_hook(Box::new(p(1)) as Box<dyn Stage>);
    check(&["1"]);
    let boxed: Box<dyn CloneStage> = Box::new(p(1));
    every_hook(boxed.clone());
    check(&["1"]);

    let names: Vec<String> = (1..=12).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    macro_rules! tuples {
        ($($number:literal)+) => { tuples!(@ [] $($number)+) };
        (@ [$($before:literal)*]) => {};
        (@ [$($before:literal)*] $next:literal $($rest:literal)*) => {
            every_hook(($(p($before),)* p($next),));
            check(&names[..$next]);
            tuples!(@ [$($before)* $next] $($rest)*);
        };
    }
    tuples!(1 2 3 4 5 6 7 8 9 10 11 12);

    // The nearest deadline is found in the last place too.
    every_hook((p(3), p(2), p(1)));
    check(&["3", "2", "1"]);

    let none: Option<Box<dyn CloneStage>> = None;
    let nested = (
        (p(1), Some(p(2))),
        none,
        Box::new((Some(Box::new(p(3)) as Box<dyn CloneStage>), ())) as Box<dyn Stage>,
        (((p(4),),),),
    );
    every_hook(nested);
    check(&["1", "2", "3", "4"]);
}

#[test]
fn nothing_does_nothing() {
    let mut pipeline = Pipeline::open(
        (None::<Box<dyn Stage>>, ()),
        &mut Response::new(()).into_parts().0,
        Times::at(Instant::now()),
    );
    assert_eq!((pipeline.deadline(), pipeline.next()), (None, None));
    pipeline.push("data: a\n\n".into(), Instant::now());
    assert_eq!(pipeline.next().unwrap(), "data: a\n\n");
}

#[test]
fn ids_are_given_unseen_by_one_stage_alone_and_if_no_other_wants_to_see() {
    let passing = |stage: &mut dyn Stage| match stage.passing() {
        Passing::Unseen => "unseen",
        Passing::WithIds(_) => "with ids",
        _ => "seen",
    };
    let ids = EventIds::sequential;
    let boxed = || Some(Box::new(ids()) as Box<dyn Stage>);
    let heartbeat = || Heartbeat::every(Duration::from_secs(15));
    assert_eq!(passing(&mut ()), "unseen");
    assert_eq!(passing(&mut (heartbeat(), heartbeat())), "unseen");
    assert_eq!(passing(&mut (heartbeat(), ids(), heartbeat())), "with ids");
    assert_eq!(
        passing(&mut (heartbeat(), (None::<EventIds>, boxed()))),
        "with ids"
    );
    assert_eq!(passing(&mut (ids(), heartbeat(), ids())), "seen");
    assert_eq!(passing(&mut (ids(), Looks)), "seen");
    assert_eq!(passing(&mut (Looks, heartbeat())), "seen");
}

/// Says nothing of what it wants.
struct Looks;

impl Stage for Looks {}

#[tokio::test(start_paused = true)]
async fn hooks_are_called_in_the_order_that_is_promised() {
    let log = Log::default();
    let stages = (
        log.probe("a").with_deadline(Duration::from_secs(9)),
        log.probe("b").with_deadline(Duration::from_secs(5)),
    );
    let layer = EventLayer::new(stages);
    let upstream = upstream()
        .chunk(2, "data: x\n\n: y\n")
        .chunk(7, "data: z\n\n")
        .chunk(8, "data: v\n\ndata: w\n\n")
        .end(9);
    let response = answer(&layer, Method::GET, upstream.response()).await;
    assert_eq!(
        read(response.into_body(), 20).await,
        [
            (0, ": a\n: b\n"),
            (2, "data: x\n\n: y\n"),
            (5, ": b\n"),
            (7, "data: z\n\n"),
            (8, "data: v\n\ndata: w\n\n"),
            (9, "(end)")
        ]
    );
    let mut calls = log.take();
    calls.retain(|call| !call.ends_with("deadline") && !call.ends_with("passing"));
    assert_eq!(
        calls,
        [
            "a on_request /",
            "b on_request /",
            "a on_response 200 OK",
            "b on_response 200 OK",
            "a on_sent",
            "b on_sent",
            "a on_wait",
            "b on_wait",
            "a on_event data: x\\n\\n",
            "b on_event data: x\\n\\n",
            "a on_event : y\\n",
            "b on_event : y\\n",
            "a on_sent",
            "b on_sent",
            "a on_deadline 5",
            "b on_deadline 5",
            "a on_sent",
            "b on_sent",
            "a on_event data: z\\n\\n",
            "b on_event data: z\\n\\n",
            "a on_sent",
            "b on_sent",
            "a on_passed 2",
            "b on_passed 2",
            "a on_sent",
            "b on_sent",
            "a on_end upstream_end 9",
            "b on_end upstream_end 9",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_stage_dropped_the_next_ones_do_not_see() {
    #[derive(Clone)]
    struct Odd(bool);

    impl Stage for Odd {
        fn on_event(
            &mut self,
            event: tower_sse::wire::Event,
            _: &Times,
        ) -> Option<tower_sse::wire::Event> {
            self.0 = !self.0;
            self.0.then_some(event)
        }
    }

    let log = Log::default();
    let upstream = upstream()
        .chunk(0, "data: 1\n\ndata: 2\n\ndata: 3\n\n")
        .end(0);
    let got = crate::client::seen((Odd(false), log.probe("p")), upstream, 10).await;
    let text: String = got.iter().map(|(_, text)| *text).collect();
    assert_eq!(text, ": p\ndata: 1\n\ndata: 3\n\n(end)");
    let mut events = log.take();
    events.retain(|call| call.contains("on_event"));
    assert_eq!(
        events,
        ["p on_event data: 1\\n\\n", "p on_event data: 3\\n\\n"]
    );
}

#[tokio::test(start_paused = true)]
async fn every_bypass_is_told() {
    let log = Log::default();
    let layer = EventLayer::new((log.probe("p"),));
    let mut missing = upstream().response();
    *missing.status_mut() = StatusCode::NOT_FOUND;
    answer(&layer, Method::GET, missing).await;
    answer(&layer, Method::HEAD, upstream().response()).await;
    let mut encoded = upstream().response();
    let fields = encoded.headers_mut();
    fields.insert("content-encoding", "gzip".parse().unwrap());
    answer(&layer, Method::GET, encoded).await;
    assert_eq!(
        log.take(),
        [
            "p on_request /",
            "p on_bypass NotAnEventStream",
            "p on_request /",
            "p on_bypass NotAnEventStream",
            "p on_request /",
            "p on_bypass Encoded",
        ]
    );
}
