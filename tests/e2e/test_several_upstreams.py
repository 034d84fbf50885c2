"""Two upstreams for a route: least connections, one that is killed under load, and one that comes back."""

from collections import Counter

import pytest
from harness import processes
from harness.rawhttp import RawResponse
from harness.wait import until

ROUTES = """
[[route]]
path = "/shared"
share = "on"
[[route]]
path = "/resumed"
resume = "on"
"""


@pytest.fixture
def two(started):
    return [started(processes.script("away_upstream")) for _ in range(2)]


def told(stream):
    """Who sent the last event that is no gap: the upstream's process."""
    return int(next(event.data for event in reversed(stream.reading.events) if event.data != "null").split()[0])


def opened(gateway, path):
    stream = RawResponse(gateway.url + path)
    stream.events(1)
    return stream


def test_streams_survive_or_move_when_one_is_killed_and_go_to_it_again_when_it_is_back(two, started, gateway, tmp_path):
    routes = tmp_path / "routes.toml"
    routes.write_text(ROUTES)
    killed, left = two
    own = gateway(f"{killed.url},{left.url}", "--config", routes)
    plain = [opened(own, f"/plain/{number}") for number in range(10)]
    shared = [opened(own, f"/shared/{number // 2}") for number in range(8)]
    resumed = [opened(own, f"/resumed/{number}") for number in range(6)]
    # 20 streams upstream: 10 + 4 + 6.
    count = Counter(told(stream) for stream in plain)
    assert max(count.values()) - min(count.values()) <= 1, count
    for upstream in two:
        assert own.metric("sse_upstream_open_requests", upstream=upstream.url) == 10

    killed.kill()
    for stream in plain:
        if told(stream) == killed.pid:
            stream.to_end()
            assert stream.ended == "failed"
        else:
            now = len(stream.reading.events)
            stream.events(now + 3)
    # Their connections stay, and go on with the other.
    for stream in shared + resumed:
        stream.until(lambda stream: told(stream) == left.pid, "events of the other upstream")
        assert stream.ended is None
    again = [opened(own, f"/plain/{number}") for number in range(10)]
    assert {told(stream) for stream in again} == {left.pid}
    assert own.metric("sse_upstream_set_aside", upstream=killed.url) == 1
    assert own.metric("sse_upstream_set_aside", upstream=left.url) == 0
    assert own.log.count("is left alone for a while") <= 2, own.log

    back = started(processes.script("away_upstream", port=killed.port))
    came = []

    def reached():
        came.append(opened(own, "/plain/back"))
        return told(came[-1]) == back.pid

    until(reached, "a stream of the upstream that is back", every=0.5)
    assert own.metric("sse_upstream_set_aside", upstream=killed.url) == 0
    assert "the upstream is there again" in own.log
    for stream in plain + shared + resumed + again + came:
        stream.close()
