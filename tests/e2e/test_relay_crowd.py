"""One upstream stream for a crowd: asked for once, ended once, restarted without a client that notices."""

import asyncio
import re
import socket
import subprocess
import time

import httpx
import pytest
import uvloop
from harness import processes
from harness.crowd import Crowd
from harness.wait import until

MIB = 1024 * 1024
GAUGES = ["sse_relays_active", "sse_relay_clients", "sse_upstream_connected", "sse_history_events", "sse_history_bytes"]


def opens(server):
    """For each request the upstream saw: how many were open with it, and its last event id."""
    return [(int(now), last) for now, last in re.findall(r"open (\d+) now, last event id (\S+)", server.log)]


def closed_at(server):
    times = re.findall(r"closed, 0 now, at (\S+)", server.log)
    return times and float(times[-1])


def last_id(own):
    """Of the one relay, when its upstream is lost and all that came from there is in its history."""
    (relay,) = httpx.get(f"{own.admin}/streams", timeout=20).json()["relays"]
    return relay["upstream"] != "connected" and relay["last_id"]


def promtool_check(text):
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, f"{done.stdout}{done.stderr}\n---\n{text}"


def until_nothing_is_left(own):
    own.until_idle(60)
    for gauge in GAUGES:
        until(lambda gauge=gauge: own.metric(gauge) == 0, f"{gauge} to be 0")


def test_five_thousand_clients_are_one_request_and_leave_one_end(gateway, started):
    # They join while the upstream has not answered, and after.
    upstream = started(processes.script("numbers_upstream", 0.5, "forgets", 0, 0.3))
    own = gateway(upstream, "--share", "on", "--on-leave", "linger:1s", "--heartbeat", "20s")

    async def scene():
        crowd = Crowd(own)
        start = time.monotonic()
        await crowd.join(5000)
        print(f"joined within {time.monotonic() - start:.2f} s")
        await crowd.until_all(lambda member: member.status == b"200" and member.has_events(), "an event", 60)
        metrics = await asyncio.to_thread(own.metrics_text)
        clients = await asyncio.to_thread(own.metric, "sse_relay_clients")
        assert not any(member.lost for member in crowd.members)
        left = time.time()
        crowd.leave()
        return metrics, clients, left

    metrics, clients, left = uvloop.run(scene())
    assert clients == 5000
    promtool_check(metrics)
    ended = until(lambda: closed_at(upstream), "the upstream's stream to end", 60)
    assert ended - left > 0.9, "it did not linger"
    assert opens(upstream) == [(1, "None")]
    until_nothing_is_left(own)
    promtool_check(own.metrics_text())


@pytest.mark.parametrize("mode", ["forgets", "remembers"])
def test_an_upstream_restarted_five_times_under_five_hundred_clients(gateway, started, mode):
    epoch, port = time.time(), processes.free_port()

    def start():
        return started(processes.script("numbers_upstream", 0.1, mode, epoch, port=port))

    upstreams = [start()]
    own = gateway(upstreams[0], "--share", "on", "--heartbeat", "20s")

    async def scene():
        crowd = Crowd(own)
        await crowd.join(500)
        for _ in range(5):
            seen = [len(member.received) for member in crowd.members]
            for member, length in zip(crowd.members, seen, strict=True):
                member.length = length
            await crowd.until_all(lambda member: member.received.count(b"data: ", member.length) > 2, "new events")
            await asyncio.to_thread(upstreams[-1].kill)
            upstreams.append(await asyncio.to_thread(start))
            await asyncio.to_thread(until, lambda: opens(upstreams[-1]), "the upstream to be asked again", 90)
        for member in crowd.members:
            member.length = len(member.received)
        await crowd.until_all(lambda member: member.received.count(b"data: ", member.length) > 2, "new events")
        assert not any(member.lost for member in crowd.members)
        await asyncio.to_thread(upstreams[-1].kill)
        last = await asyncio.to_thread(until, lambda: last_id(own), "the upstream to be lost")
        end = re.compile(rb"id: %s\n[^\n]*\n\n" % re.escape(last.encode()))
        await crowd.until_all(lambda member: end.search(member.received[-600:]), "the last event")
        assert not any(member.lost for member in crowd.members)
        all_events = [member.events() for member in crowd.members]
        crowd.leave()
        return all_events

    all_events = uvloop.run(scene())
    for server in upstreams:
        assert [now for now, _ in opens(server)] == [1]
    for events in all_events:
        numbers = [event.data.rsplit(" ", 2)[0] for event in events if event.type == "message"]
        gaps = [event.data for event in events if event.type == "stream-gap"]
        if mode == "remembers":
            first = int(numbers[0])
            assert numbers == [str(number) for number in range(first, first + len(numbers))]
            assert gaps == []
        else:
            # Those who joined late begin later; from then on it is all of what each process sent.
            pids = list(dict.fromkeys(number.split(" ")[0] for number in numbers))
            assert pids == [str(server.pid) for server in upstreams]
            for pid in pids:
                of_it = [int(number.split(" ")[1]) for number in numbers if number.startswith(f"{pid} ")]
                first = of_it[0] if pid == pids[0] else 1
                assert of_it == list(range(first, first + len(of_it)))
            assert gaps == ["null"] * 5


def lazy_client(own):
    """It asks, and does not read."""
    client = socket.socket()
    # Small segments and a small window: the kernel takes some KiB for it, not megabytes.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    client.settimeout(30)
    client.connect(own.address)
    client.sendall(b"GET /stream HTTP/1.0\r\nHost: gateway\r\nAccept: text/event-stream\r\n\r\n")
    return client


def test_one_that_never_reads_among_a_thousand_that_do(gateway, started):
    upstream = started(processes.script("numbers_upstream", 0.1, "forgets", 0, 0, 4096))
    own = gateway(upstream, "--share", "on", "--history-bytes", "64KiB", "--heartbeat", "20s", "--on-leave", "cancel")

    async def scene():
        crowd = Crowd(own, delays=True)
        await crowd.join(1000)
        await crowd.until_all(lambda member: member.has_events(), "an event", 60)
        before = most = own.memory()
        never, later = lazy_client(own), lazy_client(own)
        for member in crowd.members:
            member.delays.clear()
        # 40 KiB/s: five times what the history and the buffers on the way hold.
        for _ in range(12):
            await asyncio.sleep(1)
            most = max(most, await asyncio.to_thread(own.memory))
        delays = sorted(delay for member in crowd.members for delay in member.delays)
        lost = sum(member.lost for member in crowd.members)
        with later:
            # It has fallen behind what is kept: it gets what was on its way to it, and its end.
            length = await asyncio.to_thread(lambda: sum(map(len, iter(lambda: later.recv(65536), b""))))
        slow = await asyncio.to_thread(own.metric, "sse_slow_clients_total")
        with never:
            crowd.leave()
        return delays, lost, before, most, length, slow

    delays, lost, before, most, length, slow = uvloop.run(scene())
    print(f"median delay {delays[len(delays) // 2]:.3f} s, longest {delays[-1]:.3f} s")
    print(f"{before / MIB:.1f} MiB, at most {most / MIB:.1f} MiB; {length} bytes until it ended")
    assert lost == 0
    assert delays[-1] < 5
    assert most - before < 32 * MIB
    assert length < 400 * 1024
    assert slow == 1
    until_nothing_is_left(own)
