"""A rolling deploy: two gateways behind a balancer are replaced one after the other, under a thousand event sources."""

import asyncio
import time

import pytest
import uvloop
from harness import processes
from harness.event_sources import Balancer, all_of, until

CLIENTS, EVERY, WINDOW = 1000, 0.2, 4.0


@pytest.mark.timeout(300)
def test_nobody_loses_an_event_when_gateways_are_replaced_one_by_one(gateway, started, tmp_path):
    upstream = started(processes.script("numbers_upstream", EVERY, "remembers", time.time()))
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(32)))
    flags = ["--share", "on", "--secret-file", secret, "--drain-window", f"{WINDOW}s", "--retry", "500ms"]

    def start():
        return gateway(upstream, *flags, "--retry-jitter", "0.5", "--heartbeat", "15s")

    async def scene():
        balancer = Balancer()
        address = await balancer.listen()
        old = [await asyncio.to_thread(start) for _ in range(2)]
        balancer.targets = [one.address for one in old]
        sources = await all_of(address, CLIENTS)
        await until(lambda: all(source.last for source in sources), "events for all")
        spreads = []
        for at in range(2):
            began, ended = time.monotonic(), [len(source.ended_at) for source in sources]
            old[at].terminate()
            successor = await asyncio.to_thread(start)
            balancer.targets[at] = successor.address
            assert await asyncio.to_thread(old[at].wait) == 0
            times = [s.ended_at[before] - began for s, before in zip(sources, ended, strict=True) if len(s.ended_at) > before]
            spreads.append(times)
            last = max(source.last for source in sources)
            await until(lambda last=last: all(s.last > last + 5 for s in sources), "all to go on")
        for source in sources:
            source.leave()
        return sources, spreads

    sources, spreads = uvloop.run(scene())
    assert [source.wrong for source in sources if source.wrong] == []
    assert [source.refused for source in sources if source.refused] == []
    assert sum(source.gaps for source in sources) == 0
    # Nobody comes back at the same moment as all others do: an eighth of the window has an eighth of them, more or less.
    for times in spreads:
        assert len(times) > CLIENTS / 4
        assert max(times) < WINDOW + 5
        bins = [sum(WINDOW / 8 * at <= time < WINDOW / 8 * (at + 1) for time in times) for at in range(8)]
        assert max(bins) < 2.5 * len(times) / 8, bins
