"""The admin listener and the log: what an operator sees."""

import json

import httpx
from harness import processes
from harness.rawhttp import RawResponse
from harness.wait import until


def test_health_and_readiness(flask, shared_gateway):
    gateway = shared_gateway(flask)
    for path in ("/healthz", "/readyz"):
        assert httpx.get(gateway.admin + path).status_code == 200
    assert httpx.get(gateway.admin + "/drain").status_code == 405
    assert httpx.get(gateway.admin + "/no-such-page").status_code == 404
    # What is the admin's is not on the listener for clients: there it is the upstream's.
    assert httpx.get(gateway.url + "/healthz").status_code == 404


def test_streams_are_listed_while_they_run(starlette, gateway):
    own = gateway(starlette)
    assert own.streams() == []
    with RawResponse(own.url + "/quiet") as stream:
        stream.events(1)
        (listed,) = until(own.streams, "the stream to be listed")
        assert listed["route"]
        assert "127.0.0.1" in listed["client"]
    own.until_idle()


def test_one_line_at_the_open_and_one_at_the_close(starlette, gateway):
    own = gateway(starlette, "--log-format", "json")
    with RawResponse(own.url + "/events?count=3&every=0.1&ping=60") as stream:
        stream.to_end()
    with RawResponse(own.url + "/quiet") as stream:
        stream.events(1)
    own.until_idle()

    def lines():
        objects = [json.loads(line) for line in own.log.splitlines() if line.startswith("{")]
        flat = [{**line, **line.get("fields", {})} for line in objects]
        return [line for line in flat if "stream" in line.get("message", "")]

    closed = until(lambda: [line for line in lines() if "reason" in line][1:] and lines(), "two lines of a close")
    opens = [line for line in closed if "reason" not in line]
    closes = [line for line in closed if "reason" in line]
    assert len(opens) == 2
    assert [line["reason"] for line in closes] == ["upstream_end", "client"]
    for line in [*opens, *closes]:
        assert line["route"] and "127.0.0.1" in line["client"], line
    assert [line["events"] for line in closes] == [3, 1]
    assert all(int(line["bytes"]) > 0 and "duration" in " ".join(line) for line in closes), closes


def test_a_bad_flag_a_taken_port_and_a_missing_file_are_refused(flask, shared_gateway, started):
    binary = processes.gateway_binary()
    taken = f"127.0.0.1:{shared_gateway(flask).port}"
    upstream = ["--upstream", flask.url]
    for arguments, word in [
        ([*upstream, "--heartbeat", "soon"], "soon"),
        ([*upstream, "--no-such-flag"], "--no-such-flag"),
        ([*upstream, "--listen", taken, "--admin-listen", "off"], taken),
        (["--config", "/no/such/file.toml"], "/no/such/file.toml"),
        (["--upstream", "nonsense://x"], "nonsense"),
    ]:
        process = started(processes.Process("refused", [binary, *arguments]))
        assert process.wait() == 2, process.log
        assert word in process.log
        assert "panicked" not in process.log


def test_a_flag_can_be_an_environment_variable_or_a_line_of_a_file(flask, tmp_path, started):
    config = tmp_path / "gateway.toml"
    config.write_text(f'upstream = "{flask.url}"\nretry = "1234ms"\nretry_jitter = 0\n')
    gateway = started(processes.Gateway("--config", config, env={"SSE_GATEWAY_HEARTBEAT": "300ms"}))
    with RawResponse(gateway.url + "/silent") as stream:
        stream.until(lambda r: len(r.reading.comments) >= 5, "heartbeats", limit=10)
        assert stream.reading.retries == [1234]
