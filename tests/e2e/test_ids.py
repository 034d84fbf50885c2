"""Ids: filled where there are none, and only the upstream's own ever go back to the upstream."""

import pytest
from harness import wire
from harness.rawhttp import RawResponse


def ids_of(url, count):
    with RawResponse(url) as response:
        return [event.id for event in response.events(count)]


def last_event_id_seen(server, gateway, key, sent, path="/mixed"):
    with RawResponse(f"{gateway.url}{path}?user_id={key}", headers={"Last-Event-ID": sent}) as response:
        response.to_end()
    return server.seen(key)[-1]["last_event_id"]


def test_ids_are_filled_in_order(flask, shared_gateway):
    ids = ids_of(shared_gateway(flask).url + "/plain?every=0.05", 5)
    matches = [wire.OUR_ID.fullmatch(event_id) for event_id in ids]
    assert all(matches), ids
    sequence = [int(match["sequence"]) for match in matches]
    assert sequence == list(range(sequence[0], sequence[0] + 5))
    assert len({event_id.partition("-")[0] for event_id in ids}) == 1
    assert all(match["upstream"] is None for match in matches)


def test_an_id_of_ours_holds_the_last_of_the_upstream(flask, shared_gateway):
    ids = ids_of(shared_gateway(flask).url + "/mixed", 5)
    assert [wire.is_ours(event_id) for event_id in ids] == [True, False, True, False, True]
    assert ids[1::2] == ["41", "42"]
    assert [wire.upstream_part(event_id) for event_id in ids[::2]] == [None, "41", "42"]


def test_only_the_upstreams_own_ids_go_back_to_it(flask, shared_gateway, key):
    gateway = shared_gateway(flask)
    before, own, after, *_ = ids_of(gateway.url + "/mixed", 5)
    seen = {sent: last_event_id_seen(flask, gateway, key, sent) for sent in (before, own, after)}
    assert seen == {before: None, own: "41", after: "41"}


@pytest.mark.parametrize("theirs", ["tsunami-1", "ts-1", "ts00000000000000-x", "TS", "0", "a.b", "更新-7"])
def test_an_id_that_only_looks_like_ours_is_the_upstreams(flask, shared_gateway, key, theirs):
    # A header is bytes; a browser sends the id as UTF-8, and WSGI shows it as latin-1.
    seen = last_event_id_seen(flask, shared_gateway(flask), key, theirs)
    assert seen.encode("latin-1").decode() == theirs


def test_an_id_with_a_wrong_check_is_the_upstreams(flask, shared_gateway, key):
    gateway = shared_gateway(flask)
    ours = ids_of(gateway.url + "/plain?every=0.05", 1)[0]
    epoch, dash, sequence = ours.partition("-")
    forged = epoch[:-1] + ("a" if epoch[-1] != "a" else "b") + dash + sequence
    assert last_event_id_seen(flask, gateway, key, forged) == forged


def test_an_id_from_an_earlier_run_is_known_as_ours(flask, gateway, shared_gateway, key):
    # Another process: other epoch, same shape.
    earlier = gateway(flask)
    before, _, after, *_ = ids_of(earlier.url + "/mixed", 5)
    earlier.stop()
    now = shared_gateway(flask)
    assert last_event_id_seen(flask, now, key, before) is None
    assert last_event_id_seen(flask, now, key, after) == "41"


def test_replaced_ids_resume_at_the_upstream(flask, gateway, key):
    own = gateway(flask, "--ids", "replace")
    url = f"{own.url}/stream?user_id={key}&every=0.1"
    ids = ids_of(url, 3)
    assert [wire.upstream_part(event_id) for event_id in ids] == ["1", "2", "3"]
    with RawResponse(url, headers={"Last-Event-ID": ids[1]}) as again:
        assert '"count": 3' in again.events(1)[0].data
    assert [request["last_event_id"] for request in flask.seen(key)] == [None, "2"]


def test_ids_can_be_off(flask, gateway):
    own = gateway(flask, "--ids", "off")
    assert ids_of(own.url + "/mixed", 5) == ["", "41", "41", "42", "42"]
