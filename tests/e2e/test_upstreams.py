"""Each application behind the gateway: what its clients see is what they saw before, and what the gateway adds."""

import time

import pytest
from harness import wire
from harness.rawhttp import RawResponse

FINITE = [
    pytest.param("flask", "/n?count=5&delay=0.05", id="flask-ids"),
    pytest.param("flask", "/plain?count=4&every=0.05", id="flask-plain"),
    pytest.param("flask", "/mixed", id="flask-mixed"),
    pytest.param("flask", "/shapes", id="flask-shapes"),
    pytest.param("django_wsgi", "/events/?count=4&every=0.05", id="django-gunicorn"),
    pytest.param("django_asgi", "/events/?count=4&every=0.05", id="django-uvicorn"),
    pytest.param("drf", "/notices/?count=4&every=0.05&token=good-finite", id="rest-framework"),
    pytest.param("starlette", "/events?count=4&every=0.05&ping=60", id="starlette-ids"),
    pytest.param("starlette", "/events?count=4&every=0.05&ping=60&ids=off", id="starlette-no-ids"),
]

ENDLESS = [
    pytest.param("flask", "/stream?user_id=live", "add", True, id="flask"),
    pytest.param("django_wsgi", "/events/?every=0.5", "message", False, id="django-gunicorn"),
    pytest.param("django_asgi", "/events/?every=0.5", "message", False, id="django-uvicorn"),
    pytest.param("drf", "/notices/?every=0.5&token=good-live", "notice", True, id="rest-framework"),
    pytest.param("starlette", "/events?every=0.5", "add", True, id="starlette"),
]


@pytest.fixture
def pair(request, shared_gateway):
    """`pair(name)`: that upstream and the gateway before it."""

    def get(name):
        server = request.getfixturevalue(name)
        return server, shared_gateway(server)

    return get


def assert_ids_kept_or_filled(seen, direct):
    """An event's id is the upstream's, or ours with the upstream's last one behind the dot."""
    for ours, theirs in zip(seen, direct, strict=True):
        if wire.is_ours(ours.id):
            assert (wire.upstream_part(ours.id) or "") == theirs.id
        else:
            assert ours.id == theirs.id


@pytest.mark.parametrize("name, path", FINITE)
def test_a_finite_stream_arrives_unchanged(pair, name, path):
    server, gateway = pair(name)
    with RawResponse(server.url + path) as direct, RawResponse(gateway.url + path) as through:
        direct.to_end()
        through.to_end()
    assert (through.status, through.ended) == (200, "clean")
    assert through.headers["content-type"] == direct.headers["content-type"]
    assert "content-length" not in through.headers

    before, after = direct.reading, through.reading
    assert wire.without_ids(after.events) == wire.without_ids(before.events)
    assert_ids_kept_or_filled(after.events, before.events)
    assert after.unfinished == before.unfinished

    added = [comment for comment in after.comments if comment not in before.comments]
    assert wire.without_additions(through.body, added, retry=700) == direct.body


@pytest.mark.parametrize("name, path, event_type, has_ids", ENDLESS)
def test_an_endless_stream_arrives_event_by_event(pair, name, path, event_type, has_ids):
    server, gateway = pair(name)
    with RawResponse(server.url + path) as direct, RawResponse(gateway.url + path) as through:
        before = direct.events(3)
        after = through.events(3)
    assert wire.without_ids(after) == wire.without_ids(before)
    assert {event.type for event in after} == {event_type}
    assert "你好，世界" in after[0].data
    if has_ids:
        assert [event.id for event in after] == [event.id for event in before] == ["1", "2", "3"]
    else:
        assert all(wire.is_ours(event.id) for event in after), after
        assert len({event.id for event in after}) == 3


@pytest.mark.parametrize("name, path, event_type, has_ids", ENDLESS)
def test_the_reconnection_time_stands_at_the_open(pair, name, path, event_type, has_ids):
    _, gateway = pair(name)
    with RawResponse(gateway.url + path) as through:
        through.events(1)
    lines = through.reading.lines
    assert through.reading.retries == [700]
    retry = lines.index("retry: 700")
    assert all(line.startswith((":", "retry")) for line in lines[: retry + 1]), lines


@pytest.mark.parametrize("path", ["/silent", "/stream?user_id=slow&every=4", "/plain?every=4"])
def test_heartbeats_are_comments_in_silence(flask, shared_gateway, path):
    start = time.monotonic()
    with RawResponse(shared_gateway(flask).url + path) as through:
        through.until(lambda r: len(r.reading.comments) >= 4, "four comments")
        took = time.monotonic() - start
        events = through.reading.events
        assert through.ended is None
    # One comment may stand at the open; each other is due a second after something was sent.
    assert took > 2.5
    assert len(events) <= (0 if path == "/silent" else 2 + took // 4)
    # No blank line of the heartbeat's own: some clients take it for an event.
    lines = through.reading.lines
    assert all(lines[at - 1] != "" or lines[at - 2].startswith("data") for at, line in enumerate(lines) if line == "")


def test_the_first_event_is_not_held_back(starlette, shared_gateway):
    with RawResponse(shared_gateway(starlette).url + "/quiet") as through:
        assert wire.without_ids(through.events(1)) == [("message", "hello")]


def test_the_pings_of_sse_starlette_come_through(starlette, shared_gateway):
    with RawResponse(shared_gateway(starlette).url + "/events?every=30") as through:
        through.until(lambda r: sum("ping" in comment for comment in r.reading.comments) >= 2, "two pings")
        assert len(through.reading.events) == 1


def test_the_rest_framework_negotiates_and_checks_the_token(drf, shared_gateway):
    gateway = shared_gateway(drf)
    for path, status in [("/notices/?token=bad", 401), ("/notices/", 401)]:
        with RawResponse(drf.url + path) as direct, RawResponse(gateway.url + path) as through:
            direct.to_end()
            through.to_end()
        assert (direct.status, through.status) == (status, status)
        assert through.headers["content-type"] == direct.headers["content-type"]
        # An event stream by its type, but no 200: passed on byte for byte.
        assert through.body == direct.body
    with RawResponse(gateway.url + "/notices/?token=good-x", headers={"Accept": "image/png"}) as through:
        assert through.to_end().status == 406


def test_a_token_in_the_query_is_in_no_log(drf, gateway):
    own = gateway(drf, "--log-format", "json")
    with RawResponse(own.url + "/notices/?token=good-secret&count=2&every=0") as through:
        through.to_end()
    own.until_idle()
    assert "secret" not in own.log
    assert "secret" not in own.metrics_text()


def test_an_llm_stream_by_post_runs_to_done(starlette, shared_gateway):
    body = b'{"stream": true, "tokens": 20, "every": 0.02, "think": 3.5}'
    options = {"method": "POST", "body": body, "headers": {"Content-Type": "application/json"}}
    path = "/v1/chat/completions"
    with (
        RawResponse(starlette.url + path, **options) as direct,
        RawResponse(shared_gateway(starlette).url + path, **options) as through,
    ):
        through.until(lambda r: len(r.reading.comments) >= 2, "heartbeats before the first token")
        thinking = through.reading
        through.to_end()
        direct.to_end()
    assert thinking.events == []
    assert through.ended == "clean"
    assert wire.without_ids(through.reading.events) == wire.without_ids(direct.reading.events)
    assert through.reading.events[-1].data == "[DONE]"
    assert len(through.reading.events) == 21
