"""A thousand upstream streams with full histories: within the budget while they are there, and nothing of them afterwards."""

import asyncio
import re
import signal

import pytest
import uvloop
from harness import processes
from harness.crowd import Crowd
from harness.wait import until

MIB = 1024 * 1024
RELAYS = 1000
# Some events for each, so that who reads a moment late finds its next one, and what the relays hold beside these.
BUDGET = 24 * MIB
# Rounds after the first one, and bytes a relay that would show as a leak: one that stays is larger by far.
ROUNDS = 8
LEAK = 500
GAUGES = [
    "sse_relays_active", "sse_relay_clients", "sse_upstream_connected", "sse_history_events", "sse_history_bytes",
    "sse_streams_active", "sse_history_reserved_bytes",
]  # fmt: skip


def evicted(own, **labels):
    return own.metric("sse_history_evictions_total", **labels)


def check_the_books(own):
    """While nothing comes, all numbers agree: what came is kept or was dropped, and what is kept is within the budget."""
    listed = own.relays()
    assert [relay["key"].rpartition("/")[2] for relay in listed] == sorted(map(str, range(RELAYS)))
    kept = sum(relay["events"] for relay in listed)
    size = sum(relay["bytes"] for relay in listed)
    came = sum(int(re.search(r"-(\d+)$", relay["last_id"])[1]) for relay in listed)
    reserved = own.metric("sse_history_reserved_bytes")
    assert reserved >= RELAYS * 2048
    assert BUDGET * 0.9 < size + reserved <= BUDGET
    assert own.metric("sse_history_bytes") == size
    assert own.metric("sse_history_events") == kept
    assert evicted(own) == evicted(own, by="budget") == came - kept
    return came


def settled(own, before=None):
    """Waits until what was under way has come."""

    def still():
        nonlocal before
        last, before = before, [relay["last_id"] for relay in own.relays()]
        return last == before

    until(still, "the streams to be still", every=0.5)


@pytest.mark.timeout(300)
def test_a_thousand_full_histories_stay_within_the_budget_and_leave_nothing_behind(gateway, started):
    upstream = started(processes.script("numbers_upstream", 0.5, "forgets", 0, 0, 4000))
    flags = ["--share", "path", "--history-budget", "24MiB", "--on-leave", "cancel", "--heartbeat", "20s"]
    own = gateway(upstream, *flags)

    async def one_round(check):
        crowd = Crowd(own, path="/stream/{}")
        before = await asyncio.to_thread(evicted, own)
        await crowd.join(RELAYS)
        await crowd.until_all(lambda member: member.has_events(), "an event", 60)
        # Each history was full, and has been replaced.
        full = before + 2 * RELAYS
        await asyncio.to_thread(until, lambda: evicted(own, by="budget") >= full, "histories to be full", 60)
        most = await asyncio.to_thread(check) if check else None
        assert not any(member.lost for member in crowd.members)
        crowd.leave()
        return most

    def while_full():
        first = most = own.memory()
        before = evicted(own)
        # The same again, twice.
        while evicted(own) < before + 4 * RELAYS:
            most = max(most, own.memory())
        upstream.signal(signal.SIGSTOP)
        try:
            settled(own)
            check_the_books(own)
        finally:
            upstream.signal(signal.SIGCONT)
        return first, most

    def until_nothing_is_left():
        own.until_idle(60)
        for gauge in GAUGES:
            until(lambda gauge=gauge: own.metric(gauge) == 0, f"{gauge} to be 0", 60)
        assert own.relays() == []

    first, most = uvloop.run(one_round(while_full))
    until_nothing_is_left()
    after_first = own.resting_memory()
    for _ in range(ROUNDS):
        uvloop.run(one_round(None))
        until_nothing_is_left()
    after_last = own.resting_memory()
    print(f"{first / MIB:.1f} MiB while full, then at most {most / MIB:.1f} MiB")
    print(f"{after_first / MIB:.1f} MiB after the first round, {after_last / MIB:.1f} MiB after the last")
    assert most - first < BUDGET
    assert after_first < first - BUDGET / 2
    assert after_last - after_first < ROUNDS * RELAYS * LEAK
