//! For every stream, every chunking and every set of stages: a client sees the same events as without
//! us, plus what the stages say they add.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::time::Instant;
use tower_sse::stage::{DrainHandle, End, Pipeline, Stage as _, Times};
use tower_sse::wire::{Decoder, SequentialId};

use super::decoding::{assert_same, has_lone_cr};
use super::oracle::{self, Dispatched, Effect, Seen};
use super::plan::{DROPPED, Ending, FAREWELL_RETRY, Frame, MARK, Plan, RETRY, Stage};
use super::stages::{self, Ends};

/// What happened on the way of a stream through the stages of a plan.
struct Run {
    /// What came from upstream before the end.
    input: Vec<u8>,
    output: Vec<u8>,
    end: End,
    heartbeats: u64,
    ids_added: u64,
    /// There were events that the stages did not see.
    oversize: bool,
}

/// Checks the sentence for one stream and one plan.
///
/// # Panics
///
/// When it does not hold.
pub fn check(stream: &[u8], plan: &Plan) {
    let run = run(stream, plan);
    let without = oracle::read(&run.input);
    let with = oracle::read(&run.output);

    let (added, rest) = split_added(&with);
    check_added(&added, &run, plan);
    check_events(&rest, &without, &run, plan);
    if !plan.has(|stage| matches!(stage, Stage::Drop | Stage::Rebuild)) {
        check_times(&rest, &without, &run);
        check_comments(&with, &without, &run, plan);
    }

    check_dispatches(&added, &run, plan);
    check_line_endings(&run);
    if run.end != End::Finished && !run.oversize {
        check_boundary(&run.output);
    }

    let untouched = plan
        .stages
        .iter()
        .all(|stage| matches!(stage, Stage::Nothing | Stage::Look | Stage::NoBuffering));
    let unmarked = run
        .input
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&run.input);
    if untouched
        && run.end == End::Finished
        && !has_lone_cr(unmarked)
        && !unmarked.starts_with(b"\xef")
    {
        assert_same(
            &run.output,
            unmarked,
            "other bytes though no stage touches any",
        );
    }
}

fn run(stream: &[u8], plan: &Plan) -> Run {
    let start = Instant::now();
    let drain = DrainHandle::new();
    let ends = Ends::default();
    let mut stage = stages::build(plan, &drain, &ends);
    let times = Times::at(start);
    let method = if plan.finite { "POST" } else { "GET" };
    let (request, ()) = Request::builder()
        .method(method)
        .body(())
        .unwrap()
        .into_parts();
    stage.on_request(&request, &times);
    let (mut head, ()) = Response::new(()).into_parts();
    let mut client = Client {
        pipeline: Pipeline::open(stage, &mut head, times).with_max_event_bytes(plan.limit),
        now: start,
        output: Vec::new(),
    };
    client.read();

    let mut input = Vec::new();
    let mut rest = stream;
    for (place, step) in plan.steps.iter().enumerate() {
        if plan.drain_at == Some(place) {
            drain.start();
        }
        client.wait(step.wait, plan);
        if client.pipeline.is_ended() {
            break;
        }
        let (chunk, behind) = rest.split_at(step.len);
        rest = behind;
        input.extend_from_slice(chunk);
        client
            .pipeline
            .push(Bytes::copy_from_slice(chunk), client.now);
        client.read();
    }
    match plan.end {
        Ending::Finish => client.pipeline.finish(client.now),
        Ending::Fail => client.pipeline.fail(client.now),
        Ending::Silence => client.wait(Duration::from_secs(100), plan),
    }
    client.read();

    // The end is the end, whatever comes behind it.
    if client.pipeline.is_ended() {
        let sent = client.output.len();
        client.pipeline.push("data: late\n\n".into(), client.now);
        client.pipeline.tick(client.now);
        client.pipeline.finish(client.now);
        client.read();
        assert_eq!(
            client.output.len(),
            sent,
            "something was sent after the end"
        );
        assert_eq!(client.pipeline.deadline(), None);
    }
    let counts = client.pipeline.times().counts;
    assert_eq!(counts.sent_bytes, client.output.len() as u64);
    drop(client.pipeline);
    let [end, again] = ends.borrow()[..] else {
        panic!("the two probes were told of {:?}", ends.borrow())
    };
    assert_eq!(end, again);
    match (end, plan.end) {
        (End::Finished, Ending::Finish) | (End::Failed, Ending::Fail) => {}
        (End::Dropped, Ending::Silence) | (End::Closed(_), _) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(drain.open_streams(), 0);
    Run {
        input,
        output: client.output,
        end,
        heartbeats: counts.heartbeats,
        ids_added: counts.ids_added,
        // One that has not ended is not counted yet, but it is larger than the limit too.
        oversize: counts.oversize_events > 0 || stream.len() > plan.limit,
    }
}

struct Client<S: tower_sse::stage::Stage> {
    pipeline: Pipeline<S>,
    now: Instant,
    output: Vec<u8>,
}

impl<S: tower_sse::stage::Stage> Client<S> {
    fn read(&mut self) {
        while let Some(bytes) = self.pipeline.next() {
            assert!(!bytes.is_empty(), "an empty chunk");
            self.output.extend_from_slice(&bytes);
            assert_eq!(self.pipeline.times().sent, self.pipeline.times().now);
        }
    }

    /// Lets time pass, from deadline to deadline.
    fn wait(&mut self, time: Duration, plan: &Plan) {
        let until = self.now + time;
        let mut ticks_at_once = 0;
        while let Some(due) = self.pipeline.deadline().filter(|due| *due <= until) {
            ticks_at_once = if due > self.now { 0 } else { ticks_at_once + 1 };
            assert!(ticks_at_once <= 16, "a deadline did not move");
            self.now = self.now.max(due);
            let sent = self.pipeline.times().sent;
            let heartbeats = self.pipeline.times().counts.heartbeats;
            self.pipeline.tick(self.now);
            let beat = self.pipeline.times().counts.heartbeats - heartbeats;
            assert!(beat <= 1, "two heartbeats at once");
            if beat == 1 {
                assert!(
                    intervals(plan).any(|every| sent + every <= self.now),
                    "a heartbeat though something was sent"
                );
            }
            self.read();
        }
        self.now = until;
        let sent = self.pipeline.times().sent;
        if !self.pipeline.is_ended() {
            assert!(
                intervals(plan).all(|every| sent + every > until),
                "a heartbeat is missing"
            );
        }
    }
}

fn intervals(plan: &Plan) -> impl Iterator<Item = Duration> {
    plan.stages.iter().filter_map(|stage| match stage {
        Stage::Heartbeat { every, .. } => Some(*every),
        _ => None,
    })
}

/// Parts what the stages of a plan write from all else.
fn split_added(with: &Seen) -> (Vec<Effect>, Vec<Effect>) {
    with.effects
        .iter()
        .cloned()
        .partition(|effect| match effect {
            Effect::Dispatch(event) => event.event_type.ends_with(MARK),
            Effect::Reconnection(time) => matches!(*time, RETRY | FAREWELL_RETRY),
        })
}

/// What the stages say they add is there, as often and where they say.
fn check_added(added: &[Effect], run: &Run, plan: &Plan) {
    let with = oracle::read(&run.output);
    let at_open = plan
        .stages
        .iter()
        .filter(|stage| **stage == Stage::Retry)
        .count();
    let retries = |time| {
        let times = added
            .iter()
            .filter(|effect| **effect == Effect::Reconnection(time));
        times.count()
    };
    // A client that leaves before anything came has not been told yet.
    let is_early = run.end == End::Dropped && with.effects.is_empty();
    let at_open = if is_early { 0 } else { at_open };
    assert_eq!(retries(RETRY), at_open);
    let before_upstream: Vec<_> = with
        .effects
        .iter()
        .filter(|effect| !matches!(effect, Effect::Dispatch(event) if event.event_type.starts_with("beat")))
        .take(at_open)
        .collect();
    assert!(
        before_upstream
            .iter()
            .all(|effect| **effect == Effect::Reconnection(RETRY)),
        "the reconnection time is not set at open: {:?}",
        with.effects
    );

    let beats = plan.stages.iter().filter_map(|stage| match stage {
        Stage::Heartbeat { frame, .. } => Some(*frame),
        _ => None,
    });
    let frames: Vec<_> = beats.collect();
    let beat_events = events_of(added, "beat");
    if frames.iter().all(|frame| *frame == Frame::Event) {
        assert_eq!(beat_events.len() as u64, run.heartbeats);
    }
    if frames.iter().all(|frame| *frame == Frame::Text) {
        let beat = format!(" beat-{MARK}");
        let beats = with
            .comments
            .iter()
            .filter(|comment| **comment == beat)
            .count();
        assert_eq!(beats as u64, run.heartbeats);
    }
    assert!(beat_events.iter().all(|event| event.data.is_empty()));
    assert!(
        events_of(added, "own")
            .iter()
            .all(|event| event.data == "one\ntwo\n\nid: 3")
    );

    let pauses = events_of(added, "pause");
    let reason = match run.end {
        End::Closed(reason) => reason.as_str(),
        _ => {
            assert_eq!((pauses.len(), retries(FAREWELL_RETRY)), (0, 0));
            return;
        }
    };
    assert!(pauses.len() <= 1 && retries(FAREWELL_RETRY) == pauses.len());
    if let [pause] = pauses[..] {
        assert!(!pause.data.is_empty() && pause.data.bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(
            with.events().last(),
            Some(&pause),
            "something behind the farewell"
        );
    }
    // In the middle of an event above the limit nothing can be said.
    let said = with.comments.last() == Some(&format!(" closing: {reason}"));
    assert!(
        said || run.oversize,
        "no word of the reason: {:?}",
        with.comments
    );
}

fn events_of<'a>(added: &'a [Effect], stage: &str) -> Vec<&'a Dispatched> {
    added
        .iter()
        .filter_map(|effect| match effect {
            Effect::Dispatch(event) if event.event_type.starts_with(stage) => Some(event),
            _ => None,
        })
        .collect()
}

/// The events are those of the upstream, and so are their types, data and ids.
fn check_events(rest: &[Effect], without: &Seen, run: &Run, plan: &Plan) {
    let drops = plan.has(|stage| *stage == Stage::Drop);
    let events = rest.iter().filter_map(|effect| match effect {
        Effect::Dispatch(event) => Some(event),
        Effect::Reconnection(_) => None,
    });
    let events: Vec<_> = events.collect();
    let mut expected = without.events();
    if drops && !run.oversize {
        expected.retain(|event| event.event_type != DROPPED);
    } else if drops {
        let dropped = |event: &&Dispatched| event.event_type != DROPPED;
        let (events, expected): (Vec<_>, Vec<_>) = (
            events
                .iter()
                .copied()
                .filter(dropped)
                .map(content)
                .collect(),
            expected.into_iter().filter(dropped).map(content).collect(),
        );
        assert_eq!(events, expected);
        return;
    }
    assert_eq!(
        events
            .iter()
            .map(|event| content(event))
            .collect::<Vec<_>>(),
        expected
            .iter()
            .map(|event| content(event))
            .collect::<Vec<_>>(),
    );
    let replacing = plan.stages.iter().find_map(|stage| match stage {
        // With the answer to a POST nobody comes back.
        Stage::EventIds { replacing } if *replacing || !plan.finite => Some(*replacing),
        _ => None,
    });
    let ids = || std::iter::zip(events.iter().copied(), expected.iter().copied());
    match replacing {
        None if !drops => {
            for (with, without) in ids() {
                assert_eq!(with.last_event_id, without.last_event_id);
            }
        }
        // The id of an event that was dropped is not set either.
        None => {}
        Some(replacing) => {
            let given = check_ids(ids(), replacing, drops, run);
            // Built anew the event has the id as if it had come with it.
            if !run.oversize && !plan.has(|stage| matches!(stage, Stage::Drop | Stage::Rebuild)) {
                assert_eq!(run.ids_added, given);
            }
        }
    }
}

/// How long an id of the upstream may be to stand behind the dot of ours.
const MAX_CARRIED: usize = 256;

fn content(event: &Dispatched) -> (&str, &str) {
    (&event.event_type, &event.data)
}

/// Each id is the upstream's or one of ours, and ours tell the upstream's.
fn check_ids<'a>(
    ids: impl Iterator<Item = (&'a Dispatched, &'a Dispatched)>,
    replacing: bool,
    drops: bool,
    run: &Run,
) -> u64 {
    let mut given = 0;
    let mut last = None;
    for (event, before) in ids {
        let (with, without) = (&event.last_event_id, &before.last_event_id);
        if without.len() > MAX_CARRIED && without.contains('\u{fffd}') {
            // In bytes it may have been shorter.
            return run.ids_added;
        }
        // What is too long to be carried along stays as it is.
        let stays = without.len() > MAX_CARRIED || before.sets_id && !replacing;
        assert!(
            !stays || with == without || run.oversize || drops,
            "{with:?} in place of {without:?}"
        );
        if with == without {
            assert!(stays || run.oversize || drops, "no id, only {without:?}");
            continue;
        }
        let ours = SequentialId::parse(with.as_bytes())
            .unwrap_or_else(|| panic!("{with:?} in place of {without:?} is not ours"));
        let upstream = ours.upstream.unwrap_or_default();
        if !run.oversize && !drops {
            assert_eq!(String::from_utf8_lossy(upstream), *without);
        }
        if let Some((epoch, sequence)) = last {
            assert_eq!(ours.epoch, epoch);
            assert!(ours.sequence > sequence || run.oversize);
        }
        last = Some((ours.epoch, ours.sequence));
        given += 1;
    }
    given
}

/// Clients that hand on something at each blank line once they have read an id find no more to hand on than without us,
/// but for what the stages say they add.
fn check_dispatches(added: &[Effect], run: &Run, plan: &Plan) {
    let blocks = plan.has(|stage| {
        matches!(
            stage,
            Stage::Heartbeat {
                frame: Frame::Block,
                ..
            }
        )
    });
    if blocks {
        // Whoever asks for comment blocks has clients that need them.
        return;
    }
    let added = added
        .iter()
        .filter(|effect| matches!(effect, Effect::Dispatch(_)))
        .count();
    let with = oracle::eager_dispatches(&run.output) - added;
    let unmarked = run.input.strip_prefix(b"\xef\xbb\xbf");
    let without = oracle::eager_dispatches(unmarked.unwrap_or(&run.input));
    // A reconnection time that went out with a heartbeat or in front of an event that is too large to be known, and behind
    // it a block that only clears the last event ID: to conforming clients that matters more.
    let clears = plan.has(|stage| *stage == Stage::Retry)
        && (run.heartbeats > 0 || run.oversize)
        && run.input.windows(2).any(|name| name == b"id");
    assert!(
        with <= without + usize::from(clears),
        "{with} dispatches in place of {without}"
    );
}

/// Reconnection times are set in the same order, between the same events; also those of an event that never ends, unless
/// the client has left.
fn check_times(rest: &[Effect], without: &Seen, run: &Run) {
    let order = |effects: &[Effect]| -> Vec<Option<u64>> {
        effects
            .iter()
            .map(|effect| match effect {
                Effect::Dispatch(_) => None,
                Effect::Reconnection(time) => Some(*time),
            })
            .collect()
    };
    let (with, without) = (order(rest), order(&without.effects));
    if run.end != End::Dropped {
        assert_eq!(with, without);
    } else {
        assert_eq!(with, without[..with.len()]);
        assert!(without[with.len()..].iter().all(Option::is_some));
    }
}

/// What stages write ends its lines as the stream does, once that is known.
fn check_line_endings(run: &Run) {
    let lone_lf = |bytes: &[u8]| {
        let lf = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        lf.filter(|(at, _)| *at == 0 || bytes[at - 1] != b'\r')
            .count()
    };
    if !run.input.contains(&b'\r') {
        assert!(!run.output.contains(&b'\r'), "a CR in a stream without any");
    } else if lone_lf(&run.input) == 0 && !has_lone_cr(&run.input) {
        let known = run.output.windows(2).position(|pair| pair == b"\r\n");
        let behind = &run.output[known.unwrap_or(run.output.len())..];
        assert_eq!(lone_lf(behind), 0, "a LF in a stream with CR LF");
        assert!(!has_lone_cr(behind), "a CR in a stream with CR LF");
    }
}

/// However a stream ends, but for a clean end of the upstream's, it ends between two events.
fn check_boundary(output: &[u8]) {
    let mut decoder = Decoder::new();
    decoder.push(Bytes::copy_from_slice(output));
    while decoder.next().is_some() {}
    assert_eq!(
        decoder.finish(),
        None,
        "the stream ends in the middle of an event"
    );
}

/// Comments come through too, in order; heartbeats stand between them.
fn check_comments(with: &Seen, without: &Seen, run: &Run, plan: &Plan) {
    let told = |comments: &[String]| -> Vec<String> {
        comments
            .iter()
            .filter(|comment| !comment.is_empty() && !comment.contains(MARK))
            .filter(|comment| !comment.starts_with(" closing: "))
            .cloned()
            .collect()
    };
    let (some, all) = (told(&with.comments), told(&without.comments));
    if run.end == End::Finished {
        assert_eq!(some, all);
        let empty =
            |seen: &Seen| seen.comments.iter().filter(|text| text.is_empty()).count() as u64;
        let beats = plan.stages.iter().filter_map(|stage| match stage {
            Stage::Heartbeat { frame, .. } => Some(*frame),
            _ => None,
        });
        let frames: Vec<_> = beats.collect();
        if frames
            .iter()
            .all(|frame| matches!(frame, Frame::Line | Frame::Block))
        {
            // One more keeps a byte order mark behind the first from being taken for the first.
            let guards = [&b":\n\xef"[..], b":\r\xef", b":\r\n\xef"];
            let guard = guards.iter().any(|guard| run.output.starts_with(guard));
            let more = empty(with) - empty(without) - run.heartbeats;
            assert!(more <= u64::from(guard), "{more} comments too many");
        }
        if !plan.has(|stage| matches!(stage, Stage::EventIds { .. } | Stage::Write { .. })) {
            assert_eq!(with.last_event_id, without.last_event_id);
        }
    } else {
        assert!(all.starts_with(&some));
    }
}
