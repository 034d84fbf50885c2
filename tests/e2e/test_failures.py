"""What clients get when the upstream is dead, slow or dies; and what the upstream gets when a client leaves."""

import time

import httpx
import pytest
from harness import processes
from harness.rawhttp import RawResponse
from harness.wait import until


def test_a_dead_upstream_is_a_502_in_words(gateway):
    dead = f"http://127.0.0.1:{processes.free_port()}"
    own = gateway(dead)
    for path in ("/stream", "/anything"):
        response = httpx.get(own.url + path, timeout=20)
        assert response.status_code == 502
        assert response.headers["content-type"].startswith("text/plain")
        assert "upstream" in response.text.lower() and len(response.text) < 400
    assert own.metric("sse_streams_opened_total") == 0


def test_a_slow_head_is_a_504_in_words(flask, gateway):
    own = gateway(flask, "--head-timeout", "1s")
    start = time.monotonic()
    response = httpx.get(own.url + "/slow?delay=8", timeout=20)
    assert response.status_code == 504
    assert response.headers["content-type"].startswith("text/plain")
    assert "upstream" in response.text.lower() and len(response.text) < 400
    assert 0.9 < time.monotonic() - start < 7.5
    # The head alone is timed: a stream may last.
    with RawResponse(own.url + "/stream?user_id=x&every=0.7") as stream:
        stream.events(4)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_upstream_killed_mid_stream_fails_the_response(started, gateway, version):
    upstream = started(processes.uvicorn("starlette_app:app"))
    own = gateway(upstream)
    with RawResponse(own.url + "/quiet", version=version) as stream:
        stream.events(1)
        upstream.kill()
        stream.to_end()
    if version == "1.1":
        # No last chunk. HTTP/1.0 has no way to say so but a reset, which the kernel may show as a close.
        assert stream.ended == "failed"
    until(lambda: own.metric("sse_streams_closed_total", reason="upstream_error") == 1, "the failure to be counted")


def test_an_upstream_killed_mid_stream_fails_an_h2_stream_alone(started, gateway):
    upstream = started(processes.uvicorn("starlette_app:app"))
    own = gateway(upstream)
    with httpx.Client(http1=False, http2=True, timeout=20) as client:
        with client.stream("GET", own.url + "/quiet") as response:
            assert response.http_version == "HTTP/2"
            text = response.iter_text()
            until(lambda: "hello" in next(text), "the first event", every=0)
            upstream.kill()
            with pytest.raises(httpx.RemoteProtocolError):
                for _ in text:
                    pass
        # Same connection, next request.
        assert client.get(own.url + "/quiet").status_code == 502


def test_a_client_that_leaves_before_the_head_cancels_the_request(starlette, shared_gateway, key):
    gateway = shared_gateway(starlette)
    with RawResponse(f"{gateway.url}/slow-head?key={key}"):
        until(lambda: starlette.seen(key), "the request to reach the upstream")
        assert starlette.seen(key)[0]["closed"] is None
    left = time.time()
    entry = until(lambda: starlette.seen(key)[0]["closed"] and starlette.seen(key)[0], "the request to be cancelled")
    assert entry["closed"] - left < 5


def test_a_client_that_leaves_a_post_stream_cancels_it(starlette, gateway, key):
    own = gateway(starlette, "--heartbeat", "off")
    url = f"{own.url}/v1/chat/completions?key={key}"
    headers = {"Content-Type": "application/json"}
    with RawResponse(url, "POST", body=b'{"tokens": 2, "every": 300}', headers=headers) as stream:
        stream.events(1)
    left = time.time()
    entry = until(lambda: starlette.seen(key)[0]["closed"] and starlette.seen(key)[0], "the generation to be cancelled")
    assert entry["closed"] - left < 5


@pytest.mark.parametrize(
    "path, flags, reason",
    [
        pytest.param("/quiet", [], "idle", id="silence"),
        pytest.param("/pinging", ["--idle-counts", "events"], "stalled", id="pings-but-no-events"),
    ],
)
def test_an_idle_stream_is_ended_with_its_reason(starlette, gateway, path, flags, reason):
    own = gateway(starlette, "--idle-timeout", "2s", *flags)
    with RawResponse(own.url + path) as stream:
        stream.to_end()
    # Our heartbeats did not keep it alive.
    assert len(stream.reading.comments) >= 2
    assert stream.ended == "clean"
    assert any(reason in comment for comment in stream.reading.comments), stream.text
    until(lambda: own.metric("sse_streams_closed_total", reason=reason) == 1, "the reason to be counted")


def test_pings_keep_a_stream_alive_when_bytes_count(starlette, gateway):
    own = gateway(starlette, "--idle-timeout", "2s")
    with RawResponse(own.url + "/pinging") as stream:
        stream.until(lambda r: len(r.reading.comments) >= 25, "five seconds of pings")
        assert stream.ended is None


def test_a_stream_that_is_old_enough_ends_cleanly(flask, gateway):
    own = gateway(flask, "--lifetime", "2s")
    start = time.monotonic()
    with RawResponse(own.url + "/stream?user_id=x&every=0.3") as stream:
        stream.to_end()
    assert time.monotonic() - start > 1.5
    assert stream.ended == "clean"
    assert stream.reading.unfinished == ""
    assert any("lifetime" in comment for comment in stream.reading.comments), stream.text
    until(lambda: own.metric("sse_streams_closed_total", reason="lifetime") == 1, "the reason to be counted")
