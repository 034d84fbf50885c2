"""Shared and resumed streams: nothing lost, nothing twice, nothing of others."""

import random
import re
import time

import pytest
from harness import relayed
from harness.rawhttp import RawResponse
from harness.wait import until

EVENTS = 2000
CUTS = 20
# Far above what is missed in a cut, however slow the machine.
ROOMY = ["--history-events", 100_000, "--history-bytes", "64MiB", "--retry", "100ms"]


@pytest.mark.timeout(200)
def test_clients_cut_twenty_times_each_get_each_event_once(flask, django_wsgi, gateway, cutter, key, started):
    """The upstreams know nothing of ids: they number what they write to one connection. All at once saves time."""
    kinds = ["Chromium", "Raw", "Node"]
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    clients, cuts = [], []
    for server, path in [(flask, "/plain?every=0.005&user_id"), (django_wsgi, "/events/?every=0.005&key")]:
        own = gateway(server, "--share", "on", *ROOMY)
        for kind in kinds:
            cut = cutter(own)
            client = getattr(relayed, kind)(cut.url, f"{path}={key}-{kind}")
            if hasattr(client, "stop"):
                started(client)
            clients.append(client)
            cuts.append(relayed.Cuts(cut, CUTS, seed + len(cuts)))
    for client, cut in zip(clients, cuts, strict=True):
        # Who has seen no event has no id to come back with.
        until(lambda client=client: client.count() > 0, "the first event")
        cut.start()
    relayed.until_cut_and_full(clients, cuts, EVENTS, limit=120)
    for client in clients:
        client.leave()
        got = client.events()
        assert {event_type for event_type, _ in got} == {"message"}, got
        numbers = [int(re.fullmatch("第(\\d+)条 .*", data)[1]) for _, data in got]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= EVENTS
        assert client.opens() > CUTS / 2, "the cuts hit what was no stream"
    for server in (flask, django_wsgi):
        for kind in kinds:
            assert len(server.seen(f"{key}-{kind}")) == 1


@pytest.mark.timeout(100)
def test_a_page_behind_the_preset_for_browsers_misses_nothing_by_cuts(flask, gateway, cutter, key, started):
    cut = cutter(gateway(flask, "--preset", "browser", "--retry", "100ms"))
    client = started(relayed.Chromium(cut.url, f"/plain?every=0.005&user_id={key}"))
    until(lambda: client.count() > 0, "the first event")
    cuts = relayed.Cuts(cut, 5, 0)
    cuts.start()
    relayed.until_cut_and_full([client], [cuts], 400, limit=60)
    client.leave()
    numbers = [int(re.fullmatch("第(\\d+)条 .*", data)[1]) for _, data in client.events()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert client.opens() > 2, "the cuts hit what was no stream"
    assert len(flask.seen(key)) == 1


# ---- streams that belong to one client

CHAT = {"Content-Type": "application/json", "Authorization": "Bearer one"}


def test_a_token_stream_is_resumed_and_asked_for_once(starlette, gateway, key):
    own = gateway(starlette, "--resume", "on")
    url, body = f"{own.url}/v1/chat/completions?key={key}", b'{"tokens": 300, "every": 0.01}'

    def token(event):
        return int(re.search(r"(\d+)\"}}]}$", event.data)[1])

    with RawResponse(url, "POST", body=body, headers=CHAT) as stream:
        first = stream.events(100)
    assert [token(event) for event in first] == list(range(100))
    back = {"Last-Event-ID": first[-1].id}


    def a_stranger_gets_nothing():
        other = {**CHAT, **back, "Authorization": "Bearer other"}
        with RawResponse(url, "POST", body=body, headers=other) as stranger:
            stranger.to_end()
        assert "content" not in stranger.text and "DONE" not in stranger.text
        assert [event.type for event in stranger.reading.events] in ([], ["stream-gap"])

    a_stranger_gets_nothing()
    with RawResponse(url, "POST", body=body, headers={**CHAT, **back}) as stream:
        rest = stream.to_end().reading.events
    assert [token(event) for event in rest[:-1]] == list(range(100, 300))
    assert rest[-1].data == "[DONE]"
    # It has finished: all of it is there for its own client, and nothing for the other one.
    with RawResponse(url, "POST", body=body, headers={**CHAT, **back}) as stream:
        assert stream.to_end().reading.events == rest
    a_stranger_gets_nothing()
    with RawResponse(url, "POST", body=body, headers={**CHAT, "Last-Event-ID": rest[-1].id}) as stream:
        assert stream.to_end().status == 204
    assert len(starlette.seen(key)) == 1
    assert own.metric("sse_replays_total", result="rejected") == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("flags", [["--resume", "on"], ["--share", "on"]], ids=["resume", "share"])
def test_cancel_ends_the_upstream_request_at_once_before_its_head_too(starlette, gateway, key, flags, method):
    own = gateway(starlette, *flags, "--on-leave", "cancel", "--heartbeat", "off")
    body = b"{}" if method == "POST" else None
    with RawResponse(f"{own.url}/slow-head?key={key}", method, body=body):
        until(lambda: starlette.seen(key), "the request to reach the upstream")
        assert starlette.seen(key)[0]["closed"] is None
    left = time.time()
    entry = until(lambda: starlette.seen(key)[0]["closed"] and starlette.seen(key)[0], "the request to be cancelled")
    assert entry["closed"] - left < 5
    assert len(starlette.seen(key)) == 1
    until(lambda: own.metric("sse_relays_active") == 0, "the relay to be gone")


def test_cancel_ends_a_token_stream_at_once(starlette, gateway, key):
    own = gateway(starlette, "--resume", "on", "--on-leave", "cancel", "--heartbeat", "off")
    url = f"{own.url}/v1/chat/completions?key={key}"
    with RawResponse(url, "POST", body=b'{"tokens": 2, "every": 300}', headers=CHAT) as stream:
        stream.events(1)
    left = time.time()
    entry = until(lambda: starlette.seen(key)[0]["closed"] and starlette.seen(key)[0], "the generation to be cancelled")
    assert entry["closed"] - left < 5
    until(lambda: own.metric("sse_relays_active") == 0, "the relay to be gone")


# ---- users


@pytest.mark.parametrize("field, values", [("Authorization", ["Bearer a", "Bearer b"]), ("Cookie", ["s=a", "s=b"])])
def test_users_with_other_credentials_never_share(starlette, gateway, key, field, values):
    own = gateway(starlette, "--share", "on")
    url = f"{own.url}/events?every=0.1&user_id={key}"
    users = [{field: values[0]}, {field: values[1]}, {}, {field: values[0]}, {field: values[1]}, {}]
    streams = [RawResponse(url, headers=user) for user in users]
    try:
        ids = [stream.events(3)[-1].id for stream in streams]
        sources = [event_id.partition("-")[0] for event_id in ids]
        # One upstream stream for each user, and each of the users' two clients on it.
        assert sources[:3] == sources[3:] and len(set(sources)) == 3
        asked = [request["headers"].get(field.lower()) for request in starlette.seen(key)]
        assert sorted(asked, key=str) == sorted([*values, None], key=str)
        # The id of another user's stream opens nothing of it.
        with RawResponse(url, headers={field: values[1], "Last-Event-ID": ids[0]}) as thief:
            events = thief.events(2)
        assert {event.id.partition("-")[0] for event in events if event.type == "add"} <= {sources[1]}
    finally:
        for stream in streams:
            stream.close()
