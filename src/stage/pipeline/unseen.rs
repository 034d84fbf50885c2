//! Chunks that are known to be whole events, which need not be taken apart again.

use tokio::time::Instant;

use super::Pipeline;
use crate::level::{Given, PAUSE};
use crate::stage::Stage;

impl<S: Stage> Pipeline<S> {
    /// Takes a chunk that is known to be so many events, all of them whole and with data. If the stages pass it unread, it is
    /// what goes out next, and true is given; otherwise it is to be [pushed](Self::push). What is sent, counted and timed
    /// is the same.
    #[inline]
    pub(crate) fn pass_whole(&mut self, chunk: &[u8], events: u64, now: Instant) -> bool {
        // What goes out first may need something in front of it.
        let is_free = !self.begins && !self.has_output() && !self.is_ended();
        if !(is_free && self.stage.passes() && self.decoder.skip(chunk)) {
            return false;
        }
        self.times.now = now;
        self.times.received = now;
        self.times.counts.events += events;
        self.times.counts.event_bytes += chunk.len() as u64;
        self.stage.on_passed(events, &self.times);
        self.sent(chunk.len());
        true
    }

    /// Whether the next chunk would pass so, if it is one.
    #[inline(never)]
    pub(crate) fn would_pass_whole(&self) -> bool {
        let is_free = !self.begins && !self.has_output() && !self.is_ended();
        is_free && self.stage.passes() && self.decoder.is_between()
    }

    /// Takes what a server has written by itself, as if it had [passed](Self::pass_whole) piece by piece.
    #[inline(never)]
    pub(crate) fn pass_given(&mut self, given: &Given) {
        if self.is_ended() {
            return;
        }
        self.times.counts.events += given.events;
        self.times.counts.event_bytes += given.bytes;
        // No pause was longer, so none is made here that is.
        let time = given.last.saturating_duration_since(self.times.received);
        let pauses = (time.as_nanos() / PAUSE.as_nanos() + 1).min(given.events.into());
        let pauses = u32::try_from(pauses).unwrap_or(u32::MAX);
        for pause in 1..=pauses {
            let events = match pause {
                1 => given.events - u64::from(pauses - 1),
                _ => 1,
            };
            self.times.now = given.last - time / pauses * (pauses - pause);
            self.times.received = self.times.now;
            self.stage.on_passed(events, &self.times);
        }
        self.sent(given.bytes as usize);
    }
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    //! The same reads through the same stages, once unseen and once taken apart: nobody can tell them from each other.

    use std::task::Waker;
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Response, request, response};
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::stage::{
        Bypass, End, EventIds, Heartbeat, HeartbeatFrame, IdleTimeout, Lifetime, Metrics,
        NoBuffering, Outbox, Retry, Times,
    };
    use crate::wire::{Event, LargeEvent};

    /// What comes, and what is done.
    #[derive(Clone, Debug)]
    enum Step {
        /// Events with data, as a follower of a history reads them.
        Whole(Vec<String>),
        /// Anything else: comments, blocks without data, parts of events.
        Other(&'static str),
        Wait(u64),
    }

    #[derive(Clone, Debug)]
    struct Plan {
        steps: Vec<Step>,
        /// Nobody says of what comes that it is whole.
        is_known: bool,
        /// Ids are given, in place of the upstream's or not.
        ids: Option<bool>,
        end: Option<bool>,
        limit: usize,
        retry: bool,
        frame: usize,
        at_open: bool,
        events_only: bool,
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn both_roads_are_one(plan in plans()) {
            let start = Instant::now();
            let (unseen, _) = run(&plan, start, |stage| stage);
            let (seen, none) = run(&plan, start, TakenApart);
            prop_assert_eq!(unseen, seen);
            prop_assert_eq!(none, 0);
        }

        #[test]
        fn what_a_server_wrote_is_as_if_it_had_passed(
            plan in plans(),
            batches in vec((0_u64..PAUSE.as_millis() as u64, 1_u64..4), 1..40),
        ) {
            let start = Instant::now();
            let passed = written(&plan, &batches, start, |pipeline, chunks| {
                for (at, events) in chunks {
                    let chunk = EVENT.repeat(*events as usize);
                    assert!(pipeline.pass_whole(chunk.as_bytes(), *events, *at));
                }
            });
            let given = written(&plan, &batches, start, |pipeline, chunks| {
                let events = chunks.iter().map(|(_, events)| events).sum();
                pipeline.pass_given(&Given {
                    events,
                    bytes: events * EVENT.len() as u64,
                    last: chunks.last().expect("some").0,
                });
            });
            prop_assert_eq!(passed, given);
        }
    }

    const EVENT: &str = "data: x\n\n";

    /// What is seen of events that come so many milliseconds behind one another, and of ten seconds behind them.
    fn written(
        plan: &Plan,
        batches: &[(u64, u64)],
        start: Instant,
        write: fn(&mut Pipeline<Stages>, &[(Instant, u64)]),
    ) -> Vec<String> {
        recorded(|| {
            let (mut head, ()) = Response::new(()).into_parts();
            let plan = Plan {
                ids: None,
                ..plan.clone()
            };
            let mut pipeline = Pipeline::open(stages(&plan), &mut head, Times::at(start));
            let mut seen = Vec::new();
            pipeline.push(EVENT.into(), start);
            take(&mut pipeline, &mut seen);
            assert!(pipeline.would_pass_whole());
            let mut now = start;
            let chunks: Vec<_> = batches
                .iter()
                .map(|(wait, events)| {
                    now += Duration::from_millis(*wait);
                    (now, *events)
                })
                .collect();
            write(&mut pipeline, &chunks);
            let until = now + Duration::from_secs(10);
            while let Some(due) = pipeline.deadline().filter(|due| *due <= until) {
                pipeline.tick(due);
                take(&mut pipeline, &mut seen);
            }
            pipeline.push(EVENT.into(), until);
            take(&mut pipeline, &mut seen);
            seen
        })
    }

    #[test]
    fn all_but_the_first_pass_unread() {
        let whole =
            |events: &[&str]| Step::Whole(events.iter().map(|event| (*event).to_owned()).collect());
        let mut plan = Plan {
            steps: vec![
                whole(&["data: a\n\n"]),
                whole(&["data: b\n\n", ": c\ndata: d\r\n\r\n"]),
                Step::Wait(5),
                whole(&["data: e\n\n"]),
                Step::Other("data: half"),
                // It may belong to what came before, and what is behind it may not.
                whole(&["data: f\n\n"]),
                whole(&["data: g\n\n"]),
            ],
            is_known: true,
            ids: None,
            end: Some(true),
            limit: 1 << 20,
            retry: true,
            frame: 0,
            at_open: false,
            events_only: true,
        };
        assert_eq!(run(&plan, Instant::now(), |stage| stage).1, 3);
        plan.limit = 3;
        assert_eq!(run(&plan, Instant::now(), |stage| stage).1, 0, "too large");
    }

    /// Everything that can be seen, in order, and how many chunks passed unread.
    fn run<S: Stage>(plan: &Plan, start: Instant, wrap: fn(Stages) -> S) -> (Vec<String>, usize) {
        let mut passed = 0;
        let seen = recorded(|| {
            let seen;
            (seen, passed) = drive(plan, start, wrap(stages(plan)));
            seen
        });
        (seen, passed)
    }

    /// What is seen, and the metrics behind it.
    fn recorded(see: impl FnOnce() -> Vec<String>) -> Vec<String> {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let mut seen = metrics::with_local_recorder(&recorder, see);
        let mut metrics: Vec<String> = snapshotter
            .snapshot()
            .into_vec()
            .into_iter()
            .map(|(key, _, _, value)| {
                let value = match value {
                    DebugValue::Histogram(values) => format!("{values:?}"),
                    other => format!("{other:?}"),
                };
                format!("{:?} {value}", key.key())
            })
            .collect();
        metrics.sort();
        seen.extend(metrics);
        without_epoch(seen)
    }

    /// The random part of ids is another in each run.
    fn without_epoch(seen: Vec<String>) -> Vec<String> {
        let all = seen.concat();
        let Some((_, behind)) = all.split_once("id: ts") else {
            return seen;
        };
        let epoch = &behind[..14];
        seen.iter().map(|line| line.replace(epoch, "?")).collect()
    }

    fn drive(plan: &Plan, start: Instant, stage: impl Stage) -> (Vec<String>, usize) {
        let (mut head, ()) = Response::new(()).into_parts();
        let mut pipeline =
            Pipeline::open(stage, &mut head, Times::at(start)).with_max_event_bytes(plan.limit);
        let mut now = start;
        let mut seen = Vec::new();
        let mut passed = 0;
        take(&mut pipeline, &mut seen);
        for step in &plan.steps {
            match step {
                Step::Whole(events) => {
                    let chunk = events.concat();
                    let count = events.len() as u64;
                    if plan.is_known && pipeline.pass_whole(chunk.as_bytes(), count, now) {
                        passed += 1;
                        seen.push(format!("{}", chunk.as_bytes().escape_ascii()));
                    } else {
                        pipeline.push(chunk.into(), now);
                    }
                }
                Step::Other(bytes) => pipeline.push(Bytes::from_static(bytes.as_bytes()), now),
                Step::Wait(seconds) => {
                    let until = now + Duration::from_secs(*seconds);
                    while let Some(due) = pipeline.deadline().filter(|due| *due <= until) {
                        now = now.max(due);
                        pipeline.tick(now);
                        take(&mut pipeline, &mut seen);
                    }
                    now = until;
                }
            }
            take(&mut pipeline, &mut seen);
        }
        match plan.end {
            Some(true) => pipeline.finish(now),
            Some(false) => pipeline.fail(now),
            None => pipeline.abandon(now),
        }
        take(&mut pipeline, &mut seen);
        (seen, passed)
    }

    fn take(pipeline: &mut Pipeline<impl Stage>, seen: &mut Vec<String>) {
        while let Some(bytes) = pipeline.next() {
            seen.push(format!("{}", bytes.escape_ascii()));
        }
        let times = pipeline.times();
        let deadline = pipeline.deadline();
        seen.push(format!("{times:?} {deadline:?} {:?}", pipeline.end()));
    }

    type Stages = (
        Metrics,
        NoBuffering,
        Option<Retry>,
        Option<EventIds>,
        IdleTimeout,
        Lifetime,
        Heartbeat,
    );

    fn stages(plan: &Plan) -> Stages {
        let idle = IdleTimeout::after(Duration::from_secs(13));
        let heartbeat = Heartbeat::every(Duration::from_secs(3)).with_frame(match plan.frame {
            0 => HeartbeatFrame::CommentLine,
            1 => HeartbeatFrame::CommentBlock,
            2 => HeartbeatFrame::Text("beat".into()),
            _ => HeartbeatFrame::event("beat").expect("a valid type"),
        });
        (
            Metrics::new("/"),
            NoBuffering,
            plan.retry.then(|| Retry::after(Duration::from_secs(3))),
            plan.ids.map(|replaces| match replaces {
                true => EventIds::sequential().replacing(),
                false => EventIds::sequential(),
            }),
            match plan.events_only {
                true => idle.events_only(),
                false => idle,
            },
            Lifetime::at_most(Duration::from_secs(60)).with_jitter(0.0),
            match plan.at_open {
                true => heartbeat.at_open(),
                false => heartbeat,
            },
        )
    }

    /// The same stage, which passes nothing unread.
    struct TakenApart(Stages);

    #[allow(clippy::missing_trait_methods)] // that is what it is for
    impl Stage for TakenApart {
        fn on_request(&mut self, request: &request::Parts, times: &Times) {
            self.0.on_request(request, times);
        }

        fn on_response(&mut self, head: &mut response::Parts, times: &Times, out: &mut Outbox) {
            self.0.on_response(head, times, out);
        }

        fn on_bypass(&mut self, head: &response::Parts, why: Bypass, times: &Times) {
            self.0.on_bypass(head, why, times);
        }

        fn on_event(&mut self, event: Event, times: &Times) -> Option<Event> {
            self.0.on_event(event, times)
        }

        fn on_large_event(&mut self, event: &LargeEvent, times: &Times) {
            self.0.on_large_event(event, times);
        }

        fn deadline(&self, times: &Times) -> Option<Instant> {
            self.0.deadline(times)
        }

        fn on_deadline(&mut self, times: &Times, out: &mut Outbox) {
            self.0.on_deadline(times, out);
        }

        fn on_sent(&mut self, times: &Times) {
            self.0.on_sent(times);
        }

        fn on_end(&mut self, end: End, times: &Times) {
            self.0.on_end(end, times);
        }

        fn on_wait(&mut self, waker: &Waker) {
            self.0.on_wait(waker);
        }
    }

    fn plans() -> impl Strategy<Value = Plan> {
        let step = prop_oneof![
            5 => vec(event(), 1..5).prop_map(Step::Whole),
            2 => select(OTHERS.to_vec()).prop_map(Step::Other),
            2 => (0_u64..8).prop_map(Step::Wait),
        ];
        let settings = (any::<bool>(), 0_usize..4, any::<bool>(), any::<bool>());
        let limit = select(vec![1 << 20, 1 << 20, 40, 8]);
        let end = select(vec![Some(true), Some(false), None]);
        let ids = select(vec![None, Some(false), Some(false), Some(true)]);
        (vec(step, 0..20), any::<bool>(), ids, end, limit, settings).prop_map(
            |(steps, is_known, ids, end, limit, (retry, frame, at_open, events_only))| Plan {
                steps,
                is_known,
                ids,
                end,
                limit,
                retry,
                frame,
                at_open,
                events_only,
            },
        )
    }

    const OTHERS: [&str; 16] = [
        ": c\n",
        ": c\n\n",
        ":\r\n\r\n",
        "\n",
        "id: 5\n\n",
        "event: x\n\n",
        "retry: 7\n",
        "retry: 8\n\n",
        "data: half",
        "data: half\n",
        " of it\n\n",
        "data: a\r\r",
        "data: b\r\n\r",
        "\u{feff}data: c\n\n",
        "foo: ignored\n\n",
        "data: d\n\n: behind it\n",
    ];

    /// With data, and whole: comments and the like in front, and lines that end in any way.
    fn event() -> impl Strategy<Value = String> {
        let ids = ["id: 3", "id: 4", "id", "id: a\0"].map(str::to_owned);
        // Too long to be carried along.
        let long = format!("id: {}", "x".repeat(257));
        let others = ["", "", "", "", ": c", "retry: 9", "event: add"].map(str::to_owned);
        let front =
            prop_oneof![2 => select(ids.to_vec()), 1 => Just(long), 6 => select(others.to_vec())];
        let data = select(vec![
            "data: a",
            "data",
            "data:",
            "data: \u{feff}",
            "data: longer than most of what is sent by far",
        ]);
        let ending = select(vec!["\n", "\n", "\n", "\r\n", "\r\n", "\r"]);
        (front, vec(data, 1..3), ending, ending_of_blank_line()).prop_map(
            |(front, data, ending, blank)| {
                let front = Some(&*front).filter(|front| !front.is_empty());
                let lines: String = front
                    .into_iter()
                    .chain(data)
                    .flat_map(|line| [line, ending])
                    .collect();
                // Behind a CR a LF would end the same line.
                let blank = match (ending, blank) {
                    ("\r", _) => "\r",
                    (_, blank) => blank.unwrap_or(ending),
                };
                lines + blank
            },
        )
    }

    fn ending_of_blank_line() -> impl Strategy<Value = Option<&'static str>> {
        select(vec![None, None, None, Some("\n"), Some("\r\n"), Some("\r")])
    }
}
