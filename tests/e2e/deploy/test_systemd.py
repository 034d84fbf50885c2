"""The unit: what systemd says of it, and the gateway under its system call filter. No systemd has to run here."""

import re
import shlex
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from harness import confined, processes
from harness.rawhttp import RawResponse
from harness.wait import until

UNIT = processes.ROOT / "deploy" / "systemd" / "sse-gateway.service"
SOCKET = UNIT.with_suffix(".socket")
CONFIG = processes.ROOT / "deploy" / "systemd" / "gateway.toml"


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def confined_gateway(tmp_path, monkeypatch, gateway):
    """`gateway`, under the unit's filter."""
    binary = processes.gateway_binary()
    script = tmp_path / "sse-gateway"
    command = shlex.join(str(part) for part in [sys.executable, confined.__file__, UNIT, binary])
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("SSE_GATEWAY_BIN", str(script))
    return gateway


def test_systemd_finds_nothing_wrong(tmp_path):
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/sse-gateway", str(processes.gateway_binary())))
    assert run("systemd-analyze", "verify", "--man=no", unit) == (0, "")


def test_systemd_finds_nothing_wrong_with_the_drop_in_of_the_docs(tmp_path):
    page = (processes.ROOT / "docs" / "deploying.md").read_text()
    (drop_in,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/sse-gateway", str(processes.gateway_binary())))
    (tmp_path / f"{UNIT.name}.d").mkdir()
    (tmp_path / f"{UNIT.name}.d" / "secret.conf").write_text(drop_in)
    assert run("systemd-analyze", "verify", "--man=no", unit) == (0, "")


def test_systemd_finds_nothing_wrong_with_the_socket(tmp_path):
    service, unit = tmp_path / UNIT.name, tmp_path / SOCKET.name
    service.write_text(UNIT.read_text().replace("/usr/local/bin/sse-gateway", str(processes.gateway_binary())))
    unit.write_text(SOCKET.read_text())
    assert run("systemd-analyze", "verify", "--man=no", unit, service) == (0, "")


def activated(started, names, *flags, sockets):
    """The gateway as systemd starts it at the first connection."""
    listen = [part for one in sockets for part in ("-l", one)]
    command = ["systemd-socket-activate", *listen, f"--fdname={names}", processes.gateway_binary(), *flags]
    return started(processes.Process("activated", command))


def test_it_takes_over_the_sockets_of_systemd(flask, started, key, tmp_path):
    port, path = processes.free_port(), tmp_path / "clients.sock"
    flags = ["--upstream", flask.url, "--admin-listen", "off", "--drain-window", "1s"]
    flags += ["--listen", "systemd:local", "--listen", "systemd:web"]
    own = activated(started, "web:local", *flags, sockets=[f"127.0.0.1:{port}", path])
    until(path.exists, "systemd to listen")
    url = f"http://127.0.0.1:{port}"
    for transport in [None, httpx.HTTPTransport(uds=str(path))]:
        with httpx.Client(transport=transport, timeout=30) as client:
            with client.stream("GET", f"{url}/stream?user_id={key}") as stream:
                assert next(line for line in stream.iter_lines() if line.startswith("data:"))
    # systemd listens before the gateway says so.
    for told in [f"listening on http://127.0.0.1:{port}", f"listening on unix:{path}"]:
        until(lambda told=told: told in own.log, told)
    own.signal(signal.SIGTERM)
    assert own.wait() == 0
    assert path.exists(), "it is systemd's"


def test_a_socket_that_systemd_does_not_pass_is_a_mistake(flask, started):
    port = processes.free_port()
    own = activated(started, "web", "--upstream", flask.url, "--listen", "systemd:local", sockets=[f"127.0.0.1:{port}"])
    until(lambda: socket.create_connection(("127.0.0.1", port), timeout=1), "systemd to listen")
    assert own.wait() == 2
    assert 'systemd has passed no socket with the name "local", but web' in own.log
    code, said = run(processes.gateway_binary(), "--upstream", flask.url, "--listen", "systemd")
    assert code == 2 and "systemd has passed no socket; " in said


def test_the_exposure_is_low():
    # Of 100; 14 with systemd 252.
    code, said = run("systemd-analyze", "security", "--no-pager", "--offline=yes", "--threshold=20", UNIT)
    assert code == 0, said


def test_the_configuration_is_good():
    code, said = run(processes.gateway_binary(), "check", CONFIG)
    assert code == 0 and said.endswith("gateway.toml: ok\n"), said
    assert "warning" not in said.lower()


def test_systemd_waits_longer_than_the_drain(drain_deadline):
    assert "drain_deadline" not in CONFIG.read_text()
    (stop,) = confined.values(UNIT, "TimeoutStopSec")
    assert float(stop.removesuffix("s")) >= drain_deadline + 10


def test_the_gateway_needs_no_more_than_it_may(starlette, confined_gateway, tmp_path):
    secret, config = tmp_path / "secret", tmp_path / "gateway.toml"
    secret.write_bytes(bytes(range(32)))
    config.write_text('share = "on"\n')
    by_name = starlette.url.replace("127.0.0.1", "localhost")
    own = confined_gateway(by_name, "--config", config, "--secret-file", secret, "--drain-window", "1s")
    own.signal(signal.SIGHUP)
    until(lambda: own.metric("sse_reloads_total", result="ok") == 1, "the settings to be read again")
    for _ in range(2):
        with RawResponse(own.url + "/events?every=0.1") as stream:
            stream.events(3)
    with RawResponse(own.url + "/v1/chat/completions", method="POST", body=b'{"tokens": 3}') as answer:
        answer.to_end()
    until(lambda: own.metric("sse_streams_closed_total") == 3, "the streams to end")
    with RawResponse(own.url + "/quiet") as stream:
        stream.events(1)
        own.terminate()
        stream.to_end()
    assert own.wait() == 0


def test_more_than_it_may_is_more_than_it_can():
    for code in ["import os; os.nice(1)", "import socket; socket.socket(socket.AF_PACKET)"]:
        ended, said = run(sys.executable, confined.__file__, UNIT, sys.executable, "-c", code)
        assert ended == -signal.SIGSYS, said


def test_whoever_has_started_it_is_told_of_start_reload_and_stop(starlette, gateway, tmp_path, monkeypatch):
    supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    supervisor.bind(str(tmp_path / "notify"))
    supervisor.settimeout(20)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    file = tmp_path / "gateway.toml"
    file.write_text("")

    def told():
        return supervisor.recv(4096).decode().splitlines()

    own = gateway(starlette, "--config", file, "--drain-deadline", "40s")
    assert told() == ["READY=1", f"STATUS=listening on {own.url}"]
    for text, status in [("", "settings were read again; 0 routes"), ("colour = 1", "settings stay as they are: ")]:
        file.write_text(text)
        own.signal(signal.SIGHUP)
        (line,) = told()
        assert line.startswith(f"STATUS={status}"), line
    with RawResponse(own.url + "/quiet") as stream:
        stream.events(1)
        own.terminate()
        assert told() == ["STOPPING=1", "STATUS=draining 1 streams", "EXTEND_TIMEOUT_USEC=42000000"]
    assert own.wait() == 0
