//! What a first random model reported of the protocol, each as a schedule of its own: every moment is tried.

use bytes::Bytes;
use tower_sse::store::{
    Acquired, Answer, Command, Context, Draft, Frame, InstanceId, Member, Message, Model, Output,
    Published, Reign, Rules, Sought,
};

use crate::plan::Kind;
use crate::upstream::draft;
use crate::world::STREAM;

/// A member whose commands are executed when the test says so.
struct Host {
    id: InstanceId,
    member: Member,
    sent: Vec<Command>,
    opened: Vec<Option<Bytes>>,
}

struct Bench {
    store: Model,
    now: u64,
    drawn: u64,
    heard: Vec<Message>,
}

impl Bench {
    fn new() -> Self {
        Bench {
            store: Model::new(Reign(1), Rules::default()),
            now: 0,
            drawn: 0,
            heard: Vec::new(),
        }
    }

    /// An instance with clients, which knows what the store has.
    fn host(&mut self, number: u64) -> Host {
        let id = InstanceId(number);
        let member = Member::new(id, Rules::default(), 100);
        let mut host = Host {
            id,
            member,
            sent: Vec::new(),
            opened: Vec::new(),
        };
        self.store.beat(id, self.now);
        self.connect(&mut host);
        host
    }

    fn connect(&mut self, host: &mut Host) {
        let reign = self.store.reign();
        host.sent.clear();
        self.with(host, |member, cx| member.tail_connected(reign, cx));
        self.with(host, |member, cx| member.subscribed(cx));
        self.with(host, |member, cx| member.connected(reign, cx));
    }

    fn with(&mut self, host: &mut Host, then: impl FnOnce(&mut Member, &mut Context<'_>)) {
        let drawn = &mut self.drawn;
        let mut chance = || {
            *drawn += 1_000_003;
            *drawn
        };
        let mut cx = Context {
            now: self.now,
            chance: &mut chance,
            outputs: Vec::new(),
        };
        then(&mut host.member, &mut cx);
        for output in cx.outputs {
            match output {
                Output::Command(command) => host.sent.push(command),
                Output::Open(behind) => host.opened.push(behind),
                Output::Subscribe | Output::Close => {}
            }
        }
    }

    fn execute(&mut self, host: &mut Host) -> Answer {
        let command = host.sent.remove(0);
        let (answer, published) = self.store.execute((STREAM, host.id), command, self.now);
        self.heard
            .extend(published.map(|Published { message, .. }| message));
        answer
    }

    /// Executes all that it wants, until it wants nothing more.
    fn settle(&mut self, host: &mut Host) {
        while !host.sent.is_empty() {
            let answer = self.execute(host);
            self.with(host, |member, cx| member.answer(answer, cx));
        }
    }

    fn give(&mut self, host: &mut Host, number: u64) {
        let draft: Draft = draft(Kind::Resumes, number);
        self.with(host, |member, cx| member.draft(draft, cx));
    }

    fn hear(&mut self, host: &mut Host) {
        for message in self.heard.clone() {
            self.with(host, |member, cx| member.hear(&message, cx));
        }
    }

    fn seen(&mut self, host: &Host, from: u64) -> Vec<String> {
        let replica = host.member.replica();
        let texts = (from..replica.next()).map(|place| match replica.entry(place).unwrap() {
            Some(event) => crate::client::number_of(event).unwrap().to_string(),
            None => "gap".into(),
        });
        texts.collect()
    }
}

fn id_at(host: &Host, place: u64) -> Vec<u8> {
    let event = host.member.replica().entry(place).unwrap().unwrap();
    let text = std::str::from_utf8(&event.bytes).unwrap();
    let id = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("id: "));
    id.unwrap().as_bytes().to_vec()
}

#[test]
fn a_client_that_hops_while_a_frame_is_in_flight_is_given_each_event_once() {
    let mut bench = Bench::new();
    let mut owner = bench.host(1);
    bench.settle(&mut owner);
    bench.give(&mut owner, 1);
    bench.settle(&mut owner);
    let mut follower = bench.host(2);
    bench.settle(&mut follower);
    bench.give(&mut owner, 2);
    let answer = bench.execute(&mut owner);
    bench.hear(&mut follower);
    // The follower's client has had it, and comes to the owner, who does not know yet that it was appended.
    let id = id_at(&follower, 1);
    let mut since = 0;
    bench.with(&mut owner, |member, cx| since = member.seek(&id, cx));
    assert_eq!(owner.member.sought(&id, since), Sought::Wait);
    bench.with(&mut owner, |member, cx| member.answer(answer, cx));
    bench.settle(&mut owner);
    let at = Sought::At {
        place: 2,
        is_lost: false,
    };
    assert_eq!(owner.member.sought(&id, since), at);
    bench.give(&mut owner, 3);
    bench.settle(&mut owner);
    assert_eq!(bench.seen(&owner, 2), ["3"]);
}

#[test]
fn a_stream_is_owned_though_the_answer_to_an_acquire_was_lost() {
    let mut bench = Bench::new();
    let mut host = bench.host(1);
    let read = bench.execute(&mut host);
    bench.with(&mut host, |member, cx| member.answer(read, cx));
    let answer = bench.execute(&mut host);
    assert!(matches!(answer, Answer::Acquired(Acquired::Own(_))));
    bench.with(&mut host, |member, _| member.disconnected());
    assert!(!host.member.is_owner());
    bench.connect(&mut host);
    bench.settle(&mut host);
    assert!(host.member.is_owner());
    assert_eq!(host.opened, [None]);
}

#[test]
fn an_owner_that_does_not_know_that_it_is_gives_way() {
    let mut bench = Bench::new();
    let mut gone = bench.host(1);
    let read = bench.execute(&mut gone);
    bench.with(&mut gone, |member, cx| member.answer(read, cx));
    bench.execute(&mut gone);
    // Its clients have left, and it never asks again, but it lives.
    let mut other = bench.host(2);
    bench.settle(&mut other);
    for _ in 0..50 {
        bench.now += 100;
        bench.store.beat(gone.id, bench.now);
        bench.store.beat(other.id, bench.now);
        let from = gone.id;
        bench.with(&mut other, |member, cx| member.beat(from, None, cx));
        bench.with(&mut other, |member, cx| member.tick(cx));
        bench.settle(&mut other);
    }
    assert!(other.member.is_owner());
}

/// The store forgets the last operations of a first owner, which crashes; what another appends then has other ids.
#[test]
fn an_id_stands_for_one_event_though_the_store_forgot_an_acquire_and_appends() {
    for forgotten in 0..=5 {
        let mut bench = Bench::new();
        let mut first = bench.host(1);
        bench.settle(&mut first);
        for number in 1..=3 {
            bench.give(&mut first, number);
            bench.settle(&mut first);
        }
        bench.store.forget(forgotten, Reign(2));
        bench.now += 10_000;
        let mut second = bench.host(2);
        bench.settle(&mut second);
        bench.now += 2_000;
        bench.store.beat(second.id, bench.now);
        bench.with(&mut second, |member, cx| member.tick(cx));
        bench.settle(&mut second);
        for number in 11..=13 {
            bench.give(&mut second, number);
            bench.settle(&mut second);
        }
        let mut events = std::collections::BTreeMap::new();
        for message in &bench.heard {
            let Message::Frame(bytes) = message else {
                continue;
            };
            let frame = Frame::parse(bytes).unwrap();
            for (index, event) in frame.events.iter().enumerate() {
                let name = (frame.epoch, frame.first + index as u64);
                let is = event.bytes.slice(event.body..);
                let known = events.insert(name, is.clone());
                assert!(
                    known.is_none_or(|known| known == is),
                    "{forgotten} forgotten: {name:?}"
                );
            }
        }
        assert_eq!(events.len(), 6, "{forgotten} forgotten");
    }
}

/// A follower attaches at each moment of an append, and what it hears comes before or behind what it reads.
#[test]
fn a_client_that_arrives_while_an_append_is_unanswered_gets_to_the_end() {
    for attaches_behind in [false, true] {
        for hears_first in [false, true] {
            let mut bench = Bench::new();
            let mut owner = bench.host(1);
            bench.settle(&mut owner);
            bench.give(&mut owner, 1);
            bench.settle(&mut owner);
            bench.heard.clear();
            bench.give(&mut owner, 2);
            let mut answer = None;
            if attaches_behind {
                answer = Some(bench.execute(&mut owner));
                bench.heard.clear();
            }
            let mut follower = bench.host(2);
            let read = bench.execute(&mut follower);
            let answer = answer.unwrap_or_else(|| bench.execute(&mut owner));
            if hears_first {
                bench.hear(&mut follower);
            }
            bench.with(&mut follower, |member, cx| member.answer(read, cx));
            if !hears_first {
                bench.hear(&mut follower);
            }
            bench.settle(&mut follower);
            bench.with(&mut owner, |member, cx| member.answer(answer, cx));
            // And the owner's client, who came meanwhile.
            for host in [&owner, &follower] {
                assert_eq!(
                    bench.seen(host, 0),
                    ["1", "2"],
                    "{attaches_behind} {hears_first}"
                );
            }
            bench.heard.clear();
            bench.with(&mut owner, |member, cx| member.upstream_finished(cx));
            bench.settle(&mut owner);
            bench.hear(&mut follower);
            bench.settle(&mut follower);
            assert!(follower.member.replica().is_closed());
        }
    }
}

#[test]
fn a_follower_that_reads_before_it_subscribes_misses_what_is_appended_between() {
    for (subscribe_first, expected) in [(true, vec!["1"]), (false, vec![])] {
        let mut bench = Bench::new();
        let mut owner = bench.host(1);
        bench.settle(&mut owner);
        let rules = Rules {
            subscribe_first,
            ..Rules::default()
        };
        let id = InstanceId(2);
        let member = Member::new(id, rules, 100);
        let mut follower = Host {
            id,
            member,
            sent: Vec::new(),
            opened: Vec::new(),
        };
        let reign = bench.store.reign();
        bench.with(&mut follower, |member, cx| member.connected(reign, cx));
        bench.with(&mut follower, |member, cx| member.tail_connected(reign, cx));
        bench.settle(&mut follower);
        bench.give(&mut owner, 1);
        bench.settle(&mut owner);
        bench.with(&mut follower, |member, cx| member.subscribed(cx));
        bench.settle(&mut follower);
        assert_eq!(bench.seen(&follower, 0), expected);
    }
}
