"""Other clients: curl in three versions of HTTP, httpx-sse, Node's eventsource."""

import json
import subprocess

import httpx
import pytest
from harness import processes, wire
from harness.rawhttp import RawResponse
from harness.wait import until
from httpx_sse import connect_sse

CURL = ["curl", "--silent", "--show-error", "--no-buffer", "--noproxy", "*"]
VERSIONS = [
    pytest.param("-0", "1.0", id="http1.0"),
    pytest.param("--http1.1", "1.1", id="http1.1"),
    pytest.param("--http2-prior-knowledge", "2", id="h2"),
]


@pytest.mark.parametrize("flag, version", VERSIONS)
@pytest.mark.parametrize("path", ["/n?count=5&delay=0.05", "/plain?count=3&every=0.05", "/shapes"])
def test_curl_reads_a_stream_to_its_end(flask, shared_gateway, flag, version, path):
    with RawResponse(flask.url + path) as direct:
        direct.to_end()
    done = subprocess.run(
        [*CURL, flag, "--write-out", "%{stderr}%{http_version} %{http_code} %{content_type}",
         shared_gateway(flask).url + path],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    spoken, status, content_type = done.stderr.decode().split(" ", 2)
    # Some releases of curl write 1 for 1.0.
    assert {"1": "1.0"}.get(spoken, spoken) == version
    assert (status, content_type) == ("200", direct.headers["content-type"])
    assert wire.without_ids(wire.read(done.stdout).events) == wire.without_ids(direct.reading.events)


@pytest.mark.parametrize("flag, version", VERSIONS)
def test_curl_leaves_and_the_upstream_hears_of_it(starlette, gateway, key, started, flag, version):
    own = gateway(starlette, "--heartbeat", "off")
    curl = started(processes.Process("curl", [*CURL, flag, f"{own.url}/quiet?user_id={key}"]))
    until(lambda: "data: hello" in curl.log, "the first event")
    assert starlette.seen(key)[0]["closed"] is None
    assert own.metric("sse_streams_active") == 1
    curl.kill()
    until(lambda: starlette.seen(key)[0]["closed"], "the upstream's stream to end")
    own.until_idle()


@pytest.mark.parametrize("http2", [False, True], ids=["http1.1", "h2"])
@pytest.mark.parametrize(
    "name, path",
    [
        ("flask", "/n?count=4&delay=0.7"),
        ("flask", "/plain?count=4&every=0.7"),
        ("flask", "/mixed?stay=1"),
        ("drf", "/notices/?count=4&every=0.3&token=good-httpx"),
        ("starlette", "/events?count=4&every=0.3&ping=60"),
    ],
)
def test_httpx_sse_gets_the_same_events(request, gateway, http2, name, path):
    """Heartbeats come thick here: this client takes a blank line after a comment for an event."""
    server = request.getfixturevalue(name)
    with RawResponse(server.url + path) as direct:
        direct.to_end()
    own = gateway(server, "--heartbeat", "200ms")
    with (
        httpx.Client(http1=not http2, http2=http2, timeout=30) as client,
        connect_sse(client, "GET", own.url + path) as source,
    ):
        assert source.response.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        events = [(event.event, event.data) for event in source.iter_sse()]
    assert events == wire.without_ids(direct.reading.events)


@pytest.mark.parametrize("path, ours", [("/stream?every=0.3", False), ("/plain?every=0.3", True)])
def test_node_eventsource_reconnects(flask, shared_gateway, cutter, started, key, path, ours):
    cut = cutter(shared_gateway(flask))
    url = f"{cut.url}{path}&user_id={key}"
    node = started(
        processes.Process(
            "node",
            ["node", processes.E2E / "node" / "client.mjs", processes.NODE_PACKAGES, url, "add"],
            stdin=subprocess.PIPE,
        )
    )

    def said(kind):
        entries = [json.loads(line) for line in node.log.splitlines() if line.startswith("{")]
        return [entry for entry in entries if entry["kind"] == kind]

    until(lambda: len(said("event")) >= 2, "two events")
    cut.cut()
    until(lambda: len(said("open")) >= 2, "the second open")
    until(lambda: len(said("event")) >= 5, "more events")
    node.process.stdin.close()
    assert node.wait() == 0
    events = said("event")
    assert {event["type"] for event in events} == {"message" if ours else "add"}
    assert all("你好，世界" in event["data"] for event in events)
    assert {wire.is_ours(event["id"]) for event in events} == {ours}
    seen = [request["last_event_id"] for request in flask.seen(key)]
    if ours:
        assert seen == [None, None]
    else:
        counts = [json.loads(event["data"])["count"] for event in events]
        assert counts == list(range(1, len(counts) + 1))
        assert seen[0] is None and int(seen[1]) in counts
    assert [entry["readyState"] for entry in said("error")][:1] == [0]
    assert said("closed")[0]["readyState"] == 2
