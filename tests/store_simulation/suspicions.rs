//! What a first random model reported of the protocol, each as a schedule of its own: every moment is tried.

use tower_sse::store::{
    Acquired, Answer, Frame, InstanceId, Member, Message, Reign, Rule, Rules, SESSION, Sought,
};

use crate::bench::{Bench, Host, id_at};
use crate::plan::Kind;

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
    // As long as the owner would have had to be dead: it does not know that it is the one.
    bench.pass(&mut host, SESSION + 200);
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
        let rules = match subscribe_first {
            true => Rules::default(),
            false => Rules::without(Rule::SubscribeFirst),
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

/// The store has published an append, forgets it, and its answer is lost: the owner numbers it anew, since the primary is another.
#[test]
fn an_event_that_is_numbered_anew_is_given_again_unless_it_names_its_old_number() {
    let off = Rules::without(Rule::Was);
    let given_twice = vec!["1", "2", "gap", "2"];
    for (rules, expected) in [(Rules::default(), vec!["1", "2"]), (off, given_twice)] {
        let mut bench = Bench::new();
        let mut owner = bench.host_with(1, rules, 100);
        let mut follower = bench.host_with(2, rules, 100);
        bench.settle(&mut owner);
        bench.settle(&mut follower);
        bench.give_of(Kind::NoIds, &mut owner, 1);
        bench.settle(&mut owner);
        bench.give_of(Kind::NoIds, &mut owner, 2);
        let _lost = bench.execute(&mut owner);
        bench.hear(&mut follower);
        bench.store.forget(1, Reign(2));
        bench.heard.clear();
        for host in [&mut owner, &mut follower] {
            bench.store.beat(host.id, bench.now);
            bench.connect(host);
            bench.settle(host);
        }
        bench.hear(&mut follower);
        bench.settle(&mut follower);
        let seen = bench.seen(&follower, 0);
        assert_eq!(seen, expected);
    }
}
