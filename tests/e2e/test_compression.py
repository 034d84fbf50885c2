"""`--compress on`: clients that accept gzip see each event at once, and what is shared is encoded once."""

import zlib

import httpx
import pytest
import urllib3
from harness import processes
from harness.rawhttp import RawResponse
from harness.wait import until

# Events a fifth of a second apart: what is not flushed would come after minutes.
UPSTREAM = "away_upstream"
ROUTES = {"plain": [], "share": ["--share", "on"], "resume": ["--resume", "on"]}


@pytest.fixture(params=ROUTES)
def own(request, started, gateway):
    return gateway(started(processes.script(UPSTREAM)), "--compress", "on", *ROUTES[request.param])


def test_curl_sees_each_event(own, started):
    command = ["curl", "--silent", "--no-buffer", "--noproxy", "*", "--compressed", "--include", own.url + "/s"]
    curl = started(processes.Process("curl", command))
    for number in range(1, 6):
        until(lambda number=number: f" {number}\n" in curl.log, f"event {number}")
    assert "content-encoding: gzip" in curl.log.lower()
    assert "vary: accept-encoding" in curl.log.lower()


@pytest.mark.parametrize("version", [1, 2])
def test_httpx_sees_each_event(own, version):
    with httpx.Client(http1=version == 1, http2=version == 2, timeout=20) as client:
        with client.stream("GET", own.url + "/s", headers={"Accept": "text/event-stream"}) as response:
            assert response.headers["content-encoding"] == "gzip"
            lines = (line for line in response.iter_lines() if line.startswith("data: "))
            for number in range(1, 6):
                assert next(lines).endswith(f" {number}")
                assert next(lines).endswith(f" half of {number}")


def test_urllib3_which_is_that_of_requests_sees_each_event(own):
    with urllib3.PoolManager() as pool:
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, deflate"}
        response = pool.request("GET", own.url + "/s", headers=headers, preload_content=False, timeout=20)
        assert response.headers["content-encoding"] == "gzip"
        text = b""
        while b" 5\n" not in text:
            text += response.read1()
        response.release_conn()


@pytest.mark.parametrize("times", ["often", "seldom"])
def test_heartbeats_come_too(started, gateway, starlette, times, key):
    own = gateway(starlette, "--compress", "on", "--heartbeat", "200ms" if times == "often" else "2s")
    with RawResponse(f"{own.url}/quiet?user_id={key}", headers={"Accept-Encoding": "gzip"}) as stream:

        def seen(stream):
            return zlib.decompressobj(wbits=31).decompress(stream.body).count(b"\n:") >= 2

        stream.until(seen, "heartbeats")


def test_who_does_not_accept_it_gets_events_as_they_are(own):
    with RawResponse(own.url + "/s") as stream:
        stream.events(3)
        assert "content-encoding" not in {name.lower() for name in stream.headers}


@pytest.mark.parametrize("route", ROUTES)
def test_chromium_sees_each_event_and_joins_late(browser, flask, gateway, key, route):
    own = gateway(flask, "--compress", "on", *ROUTES[route])
    path = f"/plain?user_id={key}&every=0.3"
    accepts = {"Accept-Encoding": "gzip"}
    with RawResponse(own.url + path, headers=accepts) as early:
        early.until(lambda early: early.body, "the first bytes")
        browser.open(own.url, path)
        events = browser.until_entries("event", 5)
        assert all(event["data"] for event in events)
        early.until(lambda early: zlib.decompressobj(wbits=31).decompress(early.body).count(b"data: ") >= 5, "5 events")
