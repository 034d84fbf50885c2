//! When a stream has another owner, and how soon.

use bytes::Bytes;
use tower_sse::store::{InstanceId, Reign, SESSION};

use crate::bench::Bench;
use crate::world::STREAM;

#[test]
fn who_comes_to_a_dead_owner_waits_for_the_rest_of_its_session() {
    for (dead_for, waits) in [(10 * SESSION, 0), (1_000, SESSION - 1_000 + 500)] {
        let mut bench = Bench::new();
        let mut gone = bench.host(1);
        bench.settle(&mut gone);
        assert!(gone.member.is_owner());
        bench.now += dead_for;
        let mut other = bench.host(2);
        bench.settle(&mut other);
        bench.pass(&mut other, waits);
        assert!(other.member.is_owner(), "dead for {dead_for}");
    }
}

#[test]
fn an_owner_that_is_gone_is_replaced_before_its_session_ends() {
    let mut bench = Bench::new();
    let mut gone = bench.host(1);
    bench.settle(&mut gone);
    let mut other = bench.host(2);
    bench.settle(&mut other);
    let from = gone.id;
    bench.with(&mut other, |member, cx| member.beat(from, None, cx));
    // Another one is no reason.
    bench.with(&mut other, |member, cx| member.gone(InstanceId(3), cx));
    bench.pass(&mut other, SESSION / 2);
    assert!(!other.member.is_owner());
    bench.with(&mut other, |member, cx| member.gone(from, cx));
    bench.settle(&mut other);
    assert!(other.member.is_owner());
}

/// What was told may be heard later than that the owner is gone.
#[test]
fn a_new_owner_knows_what_was_told_last_before_it_appends() {
    let mut bench = Bench::new();
    let mut gone = bench.host(1);
    bench.settle(&mut gone);
    bench.give(&mut gone, 1);
    bench.settle(&mut gone);
    let mut other = bench.host(2);
    bench.settle(&mut other);
    bench.with(&mut other, |member, cx| member.beat(gone.id, None, cx));
    bench.pass(&mut other, SESSION / 2);
    let note = Bytes::from_static(b"note");
    bench.with(&mut gone, |member, cx| member.tell(note.clone(), cx));
    bench.settle(&mut gone);
    bench.with(&mut other, |member, cx| member.gone(gone.id, cx));
    while !other.member.is_settled() {
        let answer = bench.execute(&mut other);
        bench.with(&mut other, |member, cx| member.answer(answer, cx));
    }
    assert_eq!(other.member.note(), &note);
}

/// Somebody was told so, and it was wrong by then.
#[test]
fn an_owner_that_is_heard_again_was_not_gone() {
    let mut bench = Bench::new();
    let mut owner = bench.host(1);
    bench.settle(&mut owner);
    let mut other = bench.host(2);
    bench.settle(&mut other);
    let from = owner.id;
    bench.with(&mut other, |member, cx| {
        member.want(false);
        member.gone(from, cx);
        member.beat(from, None, cx);
        member.want(true);
        member.tick(cx);
    });
    bench.settle(&mut other);
    assert!(!other.member.is_owner());
}

#[test]
fn who_comes_leaves_an_owner_alone_that_lives() {
    let mut bench = Bench::new();
    let mut owner = bench.host(1);
    bench.settle(&mut owner);
    let mut other = bench.host(2);
    bench.settle(&mut other);
    for _ in 0..100 {
        bench.pass(&mut owner, 50);
        bench.pass(&mut other, 50);
        let moved = owner.member.moved();
        let from = owner.id;
        bench.with(&mut other, |member, cx| member.beat(from, moved, cx));
        bench.hear(&mut owner);
    }
    assert!(owner.member.is_owner() && !other.member.is_owner());
}

#[test]
fn an_owner_that_drains_hands_over_to_who_has_clients() {
    let mut bench = Bench::new();
    let mut owner = bench.host(1);
    bench.settle(&mut owner);
    let (mut unused, mut used) = (bench.host(2), bench.host(3));
    for host in [&mut unused, &mut used] {
        bench.settle(host);
    }
    bench.with(&mut unused, |member, _| member.want(false));
    bench.give(&mut owner, 1);
    bench.with(&mut owner, |member, cx| member.leave(cx));
    bench.heard.clear();
    bench.settle(&mut owner);
    for host in [&mut owner, &mut unused, &mut used] {
        bench.hear(host);
        bench.settle(host);
    }
    assert!(!owner.member.is_owner() && !unused.member.is_owner());
    assert!(used.member.is_owner());
    assert_eq!(used.opened, [Some(Bytes::from_static(b"u1"))]);
}

/// A log that has ended is closed for good; whoever asks without an id is given another one, by another member.
#[test]
fn a_stream_that_has_ended_begins_anew_and_the_old_one_is_kept_aside() {
    let mut bench = Bench::new();
    let mut old = bench.host(1);
    bench.settle(&mut old);
    bench.give(&mut old, 1);
    bench.settle(&mut old);
    bench.with(&mut old, |member, cx| member.upstream_finished(cx));
    bench.settle(&mut old);
    assert!(old.member.replica().is_closed());

    let mut late = bench.host(2);
    bench.settle(&mut late);
    assert!(late.member.replica().is_closed() && !late.member.is_owner());
    assert!(bench.store.anew(STREAM, STREAM + 1));
    assert_eq!(bench.store.read(STREAM + 1, 0).frames.len(), 1);

    let mut new = bench.host(3);
    bench.settle(&mut new);
    assert!(new.member.is_owner());
    assert_ne!(new.member.replica().epoch(), old.member.replica().epoch());
    assert_eq!(bench.seen(&new, 0), [""; 0]);
    assert_eq!(bench.seen(&late, 0), ["1"]);
}

#[test]
fn a_note_survives_its_owner_and_a_store_that_forgets_it() {
    let mut bench = Bench::new();
    let mut owner = bench.host(1);
    bench.settle(&mut owner);
    let note = Bytes::from_static(b"a head");
    bench.with(&mut owner, |member, cx| member.tell(note.clone(), cx));
    bench.give(&mut owner, 1);
    bench.settle(&mut owner);
    // The append, and the note.
    bench.store.forget(2, Reign(2));
    bench.store.beat(owner.id, bench.now);
    bench.connect(&mut owner);
    bench.settle(&mut owner);
    assert_eq!(bench.store.told(STREAM), Some(&note));

    bench.now += 2 * SESSION;
    let mut other = bench.host(2);
    bench.settle(&mut other);
    assert!(other.member.is_owner());
    assert_eq!(other.member.note(), &note);
    bench.store.restart_empty(Reign(3));
    bench.store.beat(other.id, bench.now);
    bench.connect(&mut other);
    bench.settle(&mut other);
    assert_eq!(bench.store.told(STREAM), Some(&note));
    assert_eq!(bench.seen(&other, 0), ["1"]);
}
