"""Chromium's `EventSource` through the gateway."""

import json
import time

import pytest
from harness import processes, wire
from harness.wait import until

CONNECTING, OPEN, CLOSED = 0, 1, 2
CHINESE = "你好，世界"


def states(entries):
    return [(entry["kind"], entry["readyState"]) for entry in entries]


def test_onopen_and_onmessage(browser, flask, shared_gateway, key):
    browser.open(shared_gateway(flask).url, f"/plain?user_id={key}&every=0.3")
    browser.until_entries("event", 3)
    entries = browser.entries()
    assert states(entries)[:3] == [("new", CONNECTING), ("open", OPEN), ("event", OPEN)]
    events = [entry for entry in entries if entry["kind"] == "event"][:3]
    assert [(event["how"], event["type"]) for event in events] == [("onmessage", "message")] * 3
    assert [event["data"] for event in events] == [f"第{number}条 {CHINESE}" for number in (1, 2, 3)]
    assert all(wire.is_ours(event["id"]) for event in events), events


@pytest.mark.parametrize(
    "name, url, event_type",
    [
        ("flask", "/stream?user_id={key}&every=0.3", "add"),
        ("drf", "/notices/?token={key}&every=0.3", "notice"),
        ("starlette", "/events?user_id={key}&every=0.3", "add"),
    ],
)
def test_named_types(request, browser, shared_gateway, key, name, url, event_type):
    server = request.getfixturevalue(name)
    browser.open(shared_gateway(server).url, url.format(key=key), types=f"{event_type},other")
    events = browser.until_entries("event", 3)[:3]
    assert [(event["how"], event["type"]) for event in events] == [("addEventListener", event_type)] * 3
    assert [event["id"] for event in events] == ["1", "2", "3"]
    assert all(json.loads(event["data"])["text"] == CHINESE for event in events)
    # The browser asked for an event stream, and that is what reached the application.
    assert server.seen(key)[0]["headers"]["accept"] == "text/event-stream"


@pytest.mark.parametrize("name", ["django_wsgi", "django_asgi"])
def test_data_only_streams_of_django(request, browser, shared_gateway, key, name):
    server = request.getfixturevalue(name)
    browser.open(shared_gateway(server).url, f"/events/?key={key}&every=0.3")
    events = browser.until_entries("event", 2)[:2]
    assert [event["data"] for event in events] == [f"第{number}条 {CHINESE}" for number in (1, 2)]


@pytest.mark.parametrize("side", ["client", "upstream"])
def test_reconnection_after_a_cut(browser, flask, gateway, shared_gateway, cutter, key, side):
    """The connection is reset, on the browser's side or on the upstream's; nothing is lost and nothing comes twice."""
    if side == "client":
        cut = cutter(shared_gateway(flask))
        base = cut.url
    else:
        cut = cutter(flask)
        base = gateway(cut.url).url
    browser.open(base, f"/stream?user_id={key}&every=0.5", types="add")
    browser.until_entries("event", 2)
    assert cut.cut() > 0
    browser.until_entries("open", 2)
    before = len(browser.entries("event"))
    browser.until_entries("event", before + 2)

    entries = browser.entries()
    reopened = [at for at, entry in enumerate(entries) if entry["kind"] == "open"][1]
    error = next(entry for entry in entries if entry["kind"] == "error")
    assert error["readyState"] == CONNECTING
    last_seen = [entry["id"] for entry in entries[:reopened] if entry["kind"] == "event"][-1]
    requests = flask.seen(key)
    assert [request["last_event_id"] for request in requests] == [None, last_seen]
    counts = [json.loads(entry["data"])["count"] for entry in entries if entry["kind"] == "event"]
    assert counts == list(range(1, len(counts) + 1))


def test_the_reconnection_time_of_the_gateway_counts(browser, flask, gateway, cutter, key):
    cut = cutter(gateway(flask, "--retry", "2500ms"))
    browser.open(cut.url, f"/stream?user_id={key}&every=0.5", types="add")
    browser.until_entries("event", 1)
    cut.cut()
    browser.until_entries("open", 2)
    error, again = browser.entries("error")[0], browser.entries("open")[1]
    assert again["at"] - error["at"] > 2300


def test_our_ids_do_not_reach_the_upstream_after_a_cut(browser, flask, shared_gateway, cutter, key):
    cut = cutter(shared_gateway(flask))
    browser.open(cut.url, f"/plain?user_id={key}&every=0.3")
    assert wire.is_ours(browser.until_entries("event", 2)[-1]["id"])
    cut.cut()
    browser.until_entries("open", 2)
    requests = until(lambda: len(flask.seen(key)) >= 2 and flask.seen(key), "the second request")
    assert [request["last_event_id"] for request in requests] == [None, None]


def test_ready_state_through_its_life(browser, starlette, gateway, cutter, key):
    """Connecting, open, cut, open again, closed; and the upstream hears of the close at once."""
    # No heartbeat: nothing but the connection itself says that the client is gone.
    cut = cutter(gateway(starlette, "--heartbeat", "off"))
    browser.open(cut.url, f"/quiet?user_id={key}")
    browser.until_entries("event", 1)
    cut.cut()
    browser.until_entries("event", 2)
    assert browser.js("return source.readyState") == OPEN
    assert starlette.seen(key)[1]["closed"] is None
    browser.js("source.close(); note({kind: 'closed'})")
    closed = time.time()
    wanted = [
        ("new", CONNECTING), ("open", OPEN), ("event", OPEN), ("error", CONNECTING),
        ("open", OPEN), ("event", OPEN), ("closed", CLOSED),
    ]  # fmt: skip
    assert states(browser.entries()) == wanted
    entry = until(lambda: starlette.seen(key)[1]["closed"] and starlette.seen(key)[1], "the upstream's stream to end")
    assert entry["closed"] - closed < 5
    assert browser.js("return source.readyState") == CLOSED
    assert len(starlette.seen(key)) == 2


def test_an_answer_of_502_ends_it_for_good(browser, started, gateway, key):
    """Why nobody is answered by default: `EventSource` gives up on any status but 200."""
    upstream = started(processes.uvicorn("starlette_app:app"))
    browser.open(gateway(upstream, "--no-answer", "answer").url, f"/quiet?user_id={key}")
    browser.until_entries("event", 1)
    upstream.kill()
    browser.until_entries("error", 2)
    assert [entry["readyState"] for entry in browser.entries("error")] == [CONNECTING, CLOSED]


def test_a_page_that_is_paused_comes_back_at_the_time_given(browser, flask, gateway, key):
    own = gateway(flask, "--lifetime", "2s", "--pause-event", "pause")
    browser.open(own.url, f"/stream?user_id={key}&every=0.5", types="add", pause="pause")
    browser.until_entries("paused", 2)
    first = [entry for entry in browser.entries("event") if entry["how"] == "pause"][0]
    asked, paused = int(first["data"]), browser.entries("paused")[0]
    connects = browser.entries("new")
    assert paused["readyState"] == CLOSED
    assert asked > first["at"] - 1000
    # A browser's timer may fire a millisecond early, and on a busy machine late.
    assert max(asked, first["at"]) - 5 <= connects[1]["at"] < asked + 10_000
    # The page closed by itself, so nothing failed in its eyes.
    assert browser.entries("error") == []
    assert len(flask.seen(key)) >= 2


def test_event_source_survives_a_drain_and_a_restart(browser, flask, gateway, key):
    first = gateway(flask, "--drain-window", "500ms")
    browser.open(first.url, f"/stream?user_id={key}&every=0.5", types="add")
    browser.until_entries("event", 2)
    code, _ = first.drained()
    assert code == 0
    # The browser meets a refused connection, and tries again.
    browser.until_entries("error", 2)
    assert browser.js("return source.readyState") == CONNECTING
    gateway(flask, listen=f"127.0.0.1:{first.port}")
    browser.until_entries("open", 2, limit=60)
    browser.until_entries("event", len(browser.entries("event")) + 2)
    entries = browser.entries()
    assert {entry["readyState"] for entry in entries if entry["kind"] == "error"} == {CONNECTING}
    requests = flask.seen(key)
    counts = [json.loads(entry["data"])["count"] for entry in entries if entry["kind"] == "event"]
    assert counts == list(range(1, len(counts) + 1))
    assert requests[-1]["last_event_id"] in {str(count) for count in counts}
