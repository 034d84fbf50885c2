//! When a stream has another owner, and how soon.

use bytes::Bytes;
use tower_sse::store::SESSION;

use crate::bench::Bench;

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
