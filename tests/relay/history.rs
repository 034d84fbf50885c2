//! The history in memory: what is kept, what is dropped, and what a follower sees of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tower_sse::history::MemoryHistory;
use tower_sse::history::seam::{
    Draft, Follower, Found, Log, Logs, MemoryLog, Read, Seal, Skip, Start,
};
use tower_sse::wire::{Epoch, Event, EventId, SequentialId};

const EPOCH: u64 = 7;

fn draft(data: &str, upstream: Option<&str>) -> Draft {
    let mut event = Event::builder().data(data);
    if let Some(id) = upstream {
        event = event.id(EventId::new(id).unwrap());
    }
    Draft {
        event: event.build(),
        upstream: upstream.map(|id| Bytes::copy_from_slice(id.as_bytes())),
        sets_id: upstream.is_some(),
        keep_id: false,
        is_gap: false,
    }
}

fn ours(sequence: u64, upstream: Option<&str>) -> Vec<u8> {
    let id = SequentialId {
        epoch: Epoch::from_bits(EPOCH),
        sequence,
        upstream: upstream.map(str::as_bytes),
    };
    Seal::new([7; 32]).write(&id).as_bytes().to_vec()
}

fn open(history: &MemoryHistory) -> MemoryLog {
    history.open(Epoch::from_bits(EPOCH), Seal::new([7; 32]), None)
}

async fn append(log: &MemoryLog, data: impl IntoIterator<Item = usize>, now: Instant) {
    let drafts = data.into_iter().map(|n| draft(&n.to_string(), None));
    log.append(drafts.collect(), now).await;
}

/// The data of what can be read now, one read after the other.
fn read(follower: &mut Follower) -> Vec<String> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    loop {
        match follower.poll_read(&mut cx) {
            Poll::Pending => return all,
            Poll::Ready(Read::Events { bytes, .. }) => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
                all.push(data.collect::<Vec<_>>().join(","));
            }
            Poll::Ready(Read::Lost) => {
                all.push("(lost)".into());
                return all;
            }
            Poll::Ready(Read::End) => {
                all.push("(end)".into());
                return all;
            }
        }
    }
}

#[tokio::test]
async fn a_follower_reads_on_where_its_id_says() {
    let now = Instant::now();
    let log = open(&MemoryHistory::new());
    let (mut from_the_start, _) = log.follow(&Start::Live, now);
    append(&log, 1..=5, now).await;
    assert_eq!(read(&mut from_the_start), ["1,2,3,4,5"]);
    for (start, expected) in [
        (Start::After(ours(2, None)), vec!["3,4,5"]),
        (Start::After(ours(5, None)), vec![]),
        (Start::Last(2), vec!["4,5"]),
        (Start::Last(9), vec!["1,2,3,4,5"]),
        (Start::All, vec!["1,2,3,4,5"]),
        (Start::Live, vec![]),
    ] {
        let log = open(&MemoryHistory::new());
        append(&log, 1..=5, now).await;
        let (mut follower, joined) = log.follow(&start, now);
        assert_eq!(read(&mut follower), expected, "{start:?}");
        assert!(!matches!(joined.found, Found::Unknown(_) | Found::Some(_)));
        append(&log, [6], now).await;
        assert_eq!(read(&mut follower).last().unwrap(), "6", "{start:?}");
    }
}

#[tokio::test]
async fn ids_of_others_are_found_by_what_the_upstream_set() {
    let now = Instant::now();
    let log = open(&MemoryHistory::new());
    let events = [("1", Some("a")), ("2", Some("b")), ("3", None)];
    let mut events = events.map(|(data, id)| draft(data, id));
    events[2].upstream = Some("b".into());
    log.append(events.to_vec(), now).await;
    let other = SequentialId {
        epoch: Epoch::from_bits(99),
        sequence: 4711,
        upstream: Some(b"a"),
    };
    for (id, expected) in [
        (b"a".to_vec(), "2,3"),
        (b"b".to_vec(), "3"),
        (ours(1, Some("a")), "2,3"),
        (other.to_event_id().as_bytes().to_vec(), "2,3"),
    ] {
        let (mut follower, joined) = log.follow(&Start::After(id), now);
        assert_eq!(joined.found, Found::All);
        assert_eq!(read(&mut follower), [expected]);
    }
    let long = vec![b'x'; 1_000_000];
    for id in [&b""[..], b"c", &ours(4, None), b"ts", &long] {
        let (mut follower, joined) = log.follow(&Start::After(id.to_vec()), now);
        let Found::Unknown(gap) = joined.found else {
            panic!("{joined:?}");
        };
        assert_eq!(
            (gap.missed, gap.id.as_bytes()),
            (None, &ours(3, Some("b"))[..])
        );
        assert!(read(&mut follower).is_empty());
    }
}

#[tokio::test]
async fn what_is_not_kept_is_a_gap_with_its_number() {
    let now = Instant::now();
    let history = MemoryHistory::new().with_events(3);
    let log = open(&history);
    let (mut slow, _) = log.follow(&Start::Live, now);
    append(&log, 1..=2, now).await;
    assert_eq!(read(&mut slow), ["1,2"]);
    append(&log, 3..=10, now).await;
    let (mut follower, joined) = log.follow(&Start::After(ours(2, None)), now);
    let Found::Some(gap) = joined.found else {
        panic!("{joined:?}");
    };
    assert_eq!(
        (gap.missed, gap.id.as_bytes()),
        (Some(5), &ours(7, None)[..])
    );
    assert_eq!(read(&mut follower), ["8,9,10"]);

    assert_eq!(read(&mut slow), ["(lost)"]);
    assert_eq!(slow.skip(Skip::ToOldest).missed, Some(5));
    assert_eq!(read(&mut slow), ["8,9,10"]);
    append(&log, 11..=20, now).await;
    assert_eq!(read(&mut slow), ["(lost)"]);
    assert_eq!(slow.skip(Skip::ToLatest).missed, Some(10));
    assert!(read(&mut slow).is_empty());
    assert_eq!(history.evictions().events, 17);
}

#[tokio::test]
async fn old_events_go_and_so_does_what_is_over_the_bytes() {
    let start = Instant::now();
    let history = MemoryHistory::new()
        .with_age(Duration::from_secs(10))
        .with_bytes(10_000);
    let log = open(&history);
    append(&log, [1], start).await;
    append(&log, [2], start + Duration::from_secs(5)).await;
    let next = log.expire(start + Duration::from_secs(10));
    assert_eq!(next, Some(start + Duration::from_secs(15)));
    let (mut follower, _) = log.follow(&Start::All, start + Duration::from_secs(11));
    assert_eq!(read(&mut follower), ["2"]);
    assert_eq!(log.expire(start + Duration::from_secs(15)), None);
    assert_eq!(history.evictions().age, 2);

    for n in 0..10 {
        let large = n.to_string().repeat(3_000);
        log.append(vec![draft(&large, None)], start).await;
        assert!(log.stats().bytes <= 10_000);
    }
    let huge = "x".repeat(50_000);
    log.append(vec![draft(&huge, None)], start).await;
    assert_eq!(
        log.stats().events,
        1,
        "the newest stays for those who wait for it"
    );
    assert_eq!(history.evictions().bytes, 10);
}

#[tokio::test]
async fn all_logs_stay_under_one_budget_and_the_largest_gives_way() {
    let now = Instant::now();
    let history = MemoryHistory::new().with_budget(200_000);
    let small = open(&history);
    append(&small, 0..10, now).await;
    let kept = small.stats();
    let logs: Vec<MemoryLog> = (0..50).map(|_| open(&history)).collect();
    for round in 0..20 {
        for log in &logs {
            append(log, [round], now).await;
            log.append(vec![draft(&"x".repeat(400), Some("id"))], now)
                .await;
            assert!(history.bytes() <= 200_000);
        }
    }
    assert_eq!(small.stats(), kept);
    let sizes: Vec<usize> = logs.iter().map(|log| log.stats().bytes).collect();
    assert_eq!(sizes.iter().sum::<usize>() + kept.bytes, history.bytes());
    let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(most - least < 2_000, "{least} to {most}");
    assert!(history.evictions().budget > 0);
    drop((small, logs));
    assert_eq!((history.bytes(), history.logs()), (0, 0));
}

#[tokio::test]
async fn one_event_is_shared_and_many_are_joined_once() {
    let now = Instant::now();
    let log = open(
        &MemoryHistory::new()
            .with_events(10_000)
            .with_bytes(10_000_000),
    );
    let (mut a, _) = log.follow(&Start::Live, now);
    let (mut b, _) = log.follow(&Start::Live, now);
    let mut cx = Context::from_waker(Waker::noop());
    let mut next = |follower: &mut Follower| match follower.poll_read(&mut cx) {
        Poll::Ready(Read::Events { bytes, .. }) => bytes,
        other => panic!("{other:?}"),
    };
    for events in [1, 10] {
        append(&log, 0..events, now).await;
        let (one, other) = (next(&mut a), next(&mut b));
        assert_eq!(one.as_ptr(), other.as_ptr(), "{events} events");
    }
    append(&log, 0..5_000, now).await;
    let sizes = [next(&mut a).len(), next(&mut a).len()];
    assert!(
        sizes.iter().all(|len| (60_000..=64 * 1024).contains(len)),
        "{sizes:?}"
    );
}

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn who_has_read_all_waits_without_asking_again() {
    let now = Instant::now();
    let history = MemoryHistory::new().with_events(10_000);
    let log = open(&history.with_bytes(10_000_000));
    let (mut follower, _) = log.follow(&Start::Live, now);
    let wakes = [Arc::new(Wakes::default()), Arc::new(Wakes::default())];
    let [one, other] = wakes.clone().map(Waker::from);
    let woken = || {
        wakes
            .each_ref()
            .map(|wakes| wakes.0.load(Ordering::Relaxed))
    };
    let reads = |follower: &mut Follower, waker: &Waker| {
        matches!(
            follower.poll_read(&mut Context::from_waker(waker)),
            Poll::Ready(Read::Events { .. })
        )
    };
    assert!(!follower.waits(&one), "nobody knows how to wake it");
    assert!(!reads(&mut follower, &one));
    assert!(follower.waits(&one) && !follower.waits(&other));

    append(&log, [1], now).await;
    assert_eq!(woken(), [1, 0]);
    assert!(!follower.waits(&one), "there is something to read");
    assert!(reads(&mut follower, &one));
    assert!(follower.waits(&one), "there is no more");
    append(&log, [2], now).await;
    assert_eq!(woken(), [2, 0], "though it has only read, and not waited");

    // More than is read at once.
    append(&log, 0..5_000, now).await;
    let (mut behind, _) = log.follow(&Start::All, now);
    assert!(reads(&mut behind, &one));
    assert!(!behind.waits(&one));

    while reads(&mut follower, &other) {}
    assert!(follower.waits(&other) && !follower.waits(&one));
    follower.skip(Skip::ToOldest);
    assert!(!follower.waits(&other), "it reads somewhere else");
    while reads(&mut follower, &other) {}
    log.close();
    assert_eq!(woken(), [2, 1]);
    assert!(!follower.waits(&other), "it has come to an end");
    assert_eq!(read(&mut follower), ["(end)"]);
}

#[tokio::test]
async fn nobody_knows_how_many_were_missed_where_a_gap_is_not_kept_any_more() {
    let now = Instant::now();
    let log = open(&MemoryHistory::new().with_events(2));
    let event = || draft("1", None);
    let gap = || Draft {
        is_gap: true,
        ..draft("null", None)
    };
    let (mut before, _) = log.follow(&Start::Live, now);
    log.append(vec![event(), gap()], now).await;
    let (mut behind, _) = log.follow(&Start::Live, now);
    log.append(vec![event(), event(), event()], now).await;

    let found = |sequence| {
        let (_, joined) = log.follow(&Start::After(ours(sequence, None)), now);
        match joined.found {
            Found::Some(gap) => gap.missed,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(found(1), None, "the gap is among what is gone");
    assert_eq!(found(2), Some(1), "it was told");
    assert_eq!(before.skip(Skip::ToOldest).missed, None);
    assert_eq!(behind.skip(Skip::ToOldest).missed, Some(1));

    let (mut kept, _) = log.follow(&Start::Live, now);
    log.append(vec![gap(), event()], now).await;
    assert_eq!(kept.skip(Skip::ToLatest).missed, None, "kept, but left out");
}

#[tokio::test]
async fn a_follower_knows_how_many_events_it_reads() {
    let now = Instant::now();
    let log = open(&MemoryHistory::new());
    let comment = Draft {
        event: Event::builder().comment("x").build(),
        ..draft("", None)
    };
    let (mut follower, _) = log.follow(&Start::Live, now);
    let mut cx = Context::from_waker(Waker::noop());
    let mut counts = async |drafts| {
        log.append(drafts, now).await;
        match follower.poll_read(&mut cx) {
            Poll::Ready(Read::Events {
                events, with_data, ..
            }) => (events, with_data),
            other => panic!("{other:?}"),
        }
    };
    let event = || draft("1", None);
    assert_eq!(counts(vec![event()]).await, (1, 1));
    assert_eq!(counts(vec![comment.clone()]).await, (1, 0));
    assert_eq!(counts(vec![event(), event()]).await, (2, 2));
    assert_eq!(counts(vec![event(), comment, event()]).await, (3, 2));
}

#[tokio::test]
async fn a_comment_is_for_those_who_are_there() {
    let now = Instant::now();
    let log = open(&MemoryHistory::new());
    let comment = |text: &str| Draft {
        event: Event::builder().comment(text).build(),
        ..draft("", None)
    };
    let (mut there, _) = log.follow(&Start::Live, now);
    let events = vec![
        comment("x"),
        draft("1", None),
        comment("y"),
        draft("2", None),
    ];
    log.append(events, now).await;
    let (mut late, _) = log.follow(&Start::All, now);
    let mut cx = Context::from_waker(Waker::noop());
    let mut text = |follower: &mut Follower| {
        let mut all = Vec::new();
        while let Poll::Ready(Read::Events { bytes, .. }) = follower.poll_read(&mut cx) {
            all.extend_from_slice(&bytes);
        }
        String::from_utf8(all).unwrap()
    };
    assert_eq!(
        text(&mut there).matches(": ").count(),
        6,
        "two are comments"
    );
    assert_eq!(text(&mut late).matches(": ").count(), 4);
}

#[tokio::test]
async fn a_closed_log_is_read_to_its_end_and_then_ends() {
    let now = Instant::now();
    let log = open(&MemoryHistory::new());
    append(&log, 1..=2, now).await;
    log.close();
    let (mut follower, joined) = log.follow(&Start::All, now);
    assert_eq!(joined.ahead, 2);
    assert_eq!(read(&mut follower), ["1,2", "(end)"]);
}

/// Random appends, joins, reads and evictions, against a list that keeps all.
#[tokio::test]
async fn no_follower_ever_sees_a_gap_without_being_told() {
    for seed in 0..500_u64 {
        let mut random = crate::random::Random::new(seed);
        let now = Instant::now();
        let history = MemoryHistory::new().with_events(1 + random.below(20) as usize);
        let log = open(&history);
        let mut sent = 0_u64;
        let mut followers: HashMap<u64, (Follower, u64)> = HashMap::new();
        for step in 0..200 {
            match random.below(4) {
                0 | 1 => {
                    let events = random.below(8);
                    append(&log, (sent as usize + 1)..=(sent + events) as usize, now).await;
                    sent += events;
                }
                2 => {
                    let after = random.below(sent + 1);
                    let (follower, joined) = log.follow(&Start::After(ours(after, None)), now);
                    let missed = match joined.found {
                        Found::All => 0,
                        Found::Some(gap) => gap.missed.unwrap(),
                        other => panic!("seed {seed}: {other:?}"),
                    };
                    followers.insert(random.below(5), (follower, after + missed));
                }
                _ => {
                    let Some((follower, seen)) = followers.get_mut(&random.below(5)) else {
                        continue;
                    };
                    for read in read(follower) {
                        if read == "(lost)" {
                            *seen += follower.skip(Skip::ToOldest).missed.unwrap();
                            continue;
                        }
                        for number in read.split(',') {
                            *seen += 1;
                            assert_eq!(number, seen.to_string(), "seed {seed} step {step}");
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn handles_with_other_bounds_are_under_the_same_budget() {
    let small = MemoryHistory::new().with_budget(20_000).with_events(2);
    let large = small.clone().with_events(1000);
    let logs = [&small, &large].map(open);
    for log in &logs {
        append(log, 0..10, Instant::now()).await;
    }
    assert_eq!(logs[0].stats().events, 2);
    assert_eq!(logs[1].stats().events, 10);
    assert_eq!((small.logs(), small.bytes()), (2, large.bytes()));
    for _ in 0..1000 {
        let text = "x".repeat(100);
        logs[1]
            .append(vec![draft(&text, None)], Instant::now())
            .await;
    }
    assert!(small.bytes() <= 20_000, "{}", small.bytes());
    assert!(small.evictions().budget > 0);
}
