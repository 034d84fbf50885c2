"""One upstream stream for a crowd: asked for once, ended once, restarted without a client that notices."""

import asyncio
import re
import socket
import time

import pytest
import uvloop
from harness import processes, promtool
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
    (relay,) = own.relays()
    return relay["upstream"] != "connected" and relay["last_id"]


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
    promtool.check(metrics)
    ended = until(lambda: closed_at(upstream), "the upstream's stream to end", 60)
    assert ended - left > 0.9, "it did not linger"
    assert opens(upstream) == [(1, "None")]
    until_nothing_is_left(own)
    promtool.check(own.metrics_text())


class Restarted:
    """A crowd, its gateway, and an upstream that is killed and started again at its port."""

    def __init__(self, mode, gateway, started):
        self.mode, self.started = mode, started
        self.epoch, self.port, self.upstreams = time.time(), processes.free_port(), []
        self.start()
        self.own = gateway(self.upstreams[0], "--share", "on", "--heartbeat", "20s")
        self.crowd = Crowd(self.own)

    def start(self):
        script = processes.script("numbers_upstream", 0.1, self.mode, self.epoch, port=self.port)
        self.upstreams.append(self.started(script))

    def asked(self):
        return opens(self.upstreams[-1])

    def kill(self):
        self.upstreams[-1].kill()

    async def until_new_events(self):
        for member in self.crowd.members:
            member.length = len(member.received)
        await self.crowd.until_all(lambda member: member.received.count(b"data: ", member.length) > 2, "new events")

    async def until_last_event(self):
        last = await asyncio.to_thread(until, lambda: last_id(self.own), "the upstream to be lost")
        end = re.compile(rb"id: %s\n[^\n]*\n\n" % re.escape(last.encode()))
        await self.crowd.until_all(lambda member: end.search(member.received[-600:]), "the last event")


@pytest.mark.timeout(400)
def test_upstreams_restarted_five_times_under_five_hundred_clients_each(gateway, started):
    both = [Restarted(mode, gateway, started) for mode in ("forgets", "remembers")]
    forgets = both[0]

    async def scene():
        for one in both:
            await one.crowd.join(500)
        for _ in range(5):
            for one in both:
                await one.until_new_events()
            for one in both:
                await asyncio.to_thread(one.kill)
                await asyncio.to_thread(one.start)
            for one in both:
                await asyncio.to_thread(until, one.asked, "the upstream to be asked again", 90)
        for one in both:
            await one.until_new_events()
            await asyncio.to_thread(one.kill)
            await one.until_last_event()
        assert not any(member.lost for one in both for member in one.crowd.members)
        events = [[member.events() for member in one.crowd.members] for one in both]
        for one in both:
            one.crowd.leave()
        return events

    of_forgets, of_remembers = uvloop.run(scene())
    for one in both:
        for server in one.upstreams:
            assert [now for now, _ in opens(server)] == [1]
    # All that there is, over all restarts.
    for events in of_remembers:
        assert {event.type for event in events} == {"message"}
        numbers = [int(event.data.split(" ")[0]) for event in events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert numbers[-1] == int(of_remembers[0][-1].data.split(" ")[0])
    # All that each process sent, but what came before a client joined; and a gap between them, of which it is told.
    for events in of_forgets:
        sent = {server.pid: [] for server in forgets.upstreams}
        seen = []
        for event in events:
            if event.type == "stream-gap":
                seen.append((event.type, event.data))
                continue
            pid, number, _ = event.data.split(" ", 2)
            sent[int(pid)].append(int(number))
            if seen[-1:] != [int(pid)]:
                seen.append(int(pid))
        pids = [server.pid for server in forgets.upstreams]
        assert seen == [part for pid in pids for part in (pid, ("stream-gap", "null"))][:-1]
        for pid, numbers in sent.items():
            first = numbers[0] if pid == pids[0] else 1
            assert numbers == list(range(first, first + len(numbers)))


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
        # Neither does the one that never reads stay.
        await asyncio.to_thread(until, lambda: own.metric("sse_relay_clients") == 1000, "the two to be let go")
        slow = await asyncio.to_thread(own.metric, "sse_slow_clients_total", policy="disconnect")
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
    assert slow == 2
    until_nothing_is_left(own)
