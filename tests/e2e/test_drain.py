"""The end of the process: streams are told, finite ones finish, nobody gets an answer that stops an `EventSource`."""

import json
import signal
import socket
import time

import httpx
import pytest
from harness.rawhttp import RawResponse
from harness.wait import until

COMPLETION = {"method": "POST", "headers": {"Content-Type": "application/json"}}


def post(gateway, **body):
    return RawResponse(f"{gateway.url}/v1/chat/completions", body=json.dumps(body).encode(), **COMPLETION)


def knock(address):
    """What a client that comes now gets: `"refused"`, `"closed"`, or the first bytes of an answer."""
    try:
        with socket.create_connection(address, timeout=10) as client:
            client.sendall(b"GET /quiet HTTP/1.1\r\nHost: gateway\r\nAccept: text/event-stream\r\n\r\n")
            return client.recv(100) or "closed"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionError:
        return "closed"


def until_not_ready(gateway):
    until(lambda: httpx.get(f"{gateway.admin}/readyz", timeout=10).status_code == 503, "readyz to say 503")


START = [
    pytest.param(lambda gateway: gateway.terminate(), id="sigterm"),
    pytest.param(lambda gateway: gateway.signal(signal.SIGINT), id="sigint"),
    pytest.param(lambda gateway: httpx.post(f"{gateway.admin}/drain", timeout=10).raise_for_status(), id="post-drain"),
]


@pytest.mark.parametrize("start", START)
def test_a_drain_says_farewell_and_lets_finite_streams_finish(starlette, gateway, start):
    own = gateway(starlette, "--drain-window", "1s", "--drain-deadline", "60s")
    endless = [RawResponse(own.url + "/quiet") for _ in range(5)]
    finite = post(own, tokens=14, every=0.4)
    for stream in [*endless, finite]:
        stream.events(1)
    start(own)
    for stream in endless:
        stream.to_end()
        assert stream.ended == "clean", stream.body
        assert stream.reading.unfinished == ""
        assert any("drain" in comment for comment in stream.reading.comments), stream.body
    # The finite stream is still there, so the process is: not ready, and nobody gets in.
    assert finite.ended is None
    until_not_ready(own)
    assert httpx.get(f"{own.admin}/healthz", timeout=10).status_code == 200
    until(lambda: knock(own.address) == "refused", "a refused connection")
    finite.to_end()
    assert finite.ended == "clean"
    assert [event.data for event in finite.reading.events][-1] == "[DONE]"
    assert len(finite.reading.events) == 15
    assert own.wait() == 0


def test_no_connection_is_answered_during_a_drain(starlette, flask, gateway):
    own = gateway(starlette, "--drain-window", "3s")
    # So many that the last ends late in the window: until then the gateway is there to be asked.
    streams = [RawResponse(own.url + "/quiet") for _ in range(20)]
    for stream in streams:
        stream.events(1)
    # A connection kept alive after a request: closed without a word.
    idle = RawResponse(own.url + "/page")
    idle.to_end()
    silent = socket.create_connection(own.address)
    own.terminate()
    until_not_ready(own)
    outcomes = set()
    while own.running():
        outcomes.add(knock(own.address))
        time.sleep(0.02)
    assert outcomes <= {"refused", "closed"}, outcomes
    for kept in (idle.socket, silent):
        kept.settimeout(5)
        assert kept.recv(100) == b""
        kept.close()
    assert {stream.to_end().ended for stream in streams} == {"clean"}
    assert own.wait() == 0


def test_the_streams_end_spread_over_the_window(starlette, gateway):
    own = gateway(starlette, "--drain-window", "4s")
    streams = [RawResponse(own.url + "/quiet") for _ in range(20)]
    for stream in streams:
        stream.events(1)
    start = time.monotonic()
    own.terminate()
    ends = []
    while len(ends) < len(streams) and time.monotonic() - start < 30:
        for stream in streams:
            if stream.ended is None and stream.pump(0.002) and stream.ended:
                ends.append(time.monotonic() - start)
    assert len(ends) == 20
    assert {stream.ended for stream in streams} == {"clean"}
    # Twenty draws from four seconds: that all fall into one has a chance of one in ten thousand million.
    assert ends[-1] - ends[0] > 1
    assert own.wait() == 0


def test_an_ordinary_request_finishes(flask, gateway, key):
    own = gateway(flask, "--drain-window", "500ms")
    slow = RawResponse(f"{own.url}/slow?delay=2.5&key={key}")
    until(lambda: flask.seen(key), "the request to reach the upstream")
    own.terminate()
    slow.to_end()
    assert (slow.status, slow.ended, slow.body) == (200, "clean", b"slow, but here\n")
    assert own.wait() == 0


def test_at_the_deadline_what_is_left_is_closed(starlette, gateway):
    own = gateway(starlette, "--drain-window", "500ms", "--drain-deadline", "2s")
    finite = post(own, tokens=100, every=0.5)
    finite.events(1)
    code, took = own.drained()
    assert code == 0
    assert 1.8 < took < 20
    finite.to_end()
    assert "[DONE]" not in finite.text


def test_a_second_signal_ends_it_at_once(starlette, gateway):
    own = gateway(starlette, "--drain-window", "60s", "--drain-deadline", "120s")
    finite = post(own, tokens=200, every=0.5)
    finite.events(1)
    own.terminate()
    until_not_ready(own)
    assert own.running()
    start = time.monotonic()
    own.terminate()
    own.wait(20)
    assert time.monotonic() - start < 10


def test_an_idle_gateway_ends_at_once(flask, gateway):
    own = gateway(flask, "--drain-window", "30s", "--drain-deadline", "60s")
    code, took = own.drained()
    assert code == 0
    assert took < 10
