"""What comes in by a balancer of TCP, or by a Unix socket: HAProxy and nginx as people run them."""

import ssl
import tempfile
from pathlib import Path

import httpx
import pytest
from harness import certificate, nginx, processes
from harness.haproxy import balancer
from harness.wait import until

SITE = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://unix:{path};
        proxy_set_header X-Forwarded-For $remote_addr;
    }}
}}
"""


def first_event(url, key, **options):
    with httpx.stream("GET", f"{url}/stream?user_id={key}", timeout=30, **options) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                return line
    return None


def from_elsewhere(url, key):
    """The same from another address of this machine, by who claims yet another one."""
    transport = httpx.HTTPTransport(local_address="127.0.0.9")
    with httpx.Client(transport=transport, headers={"X-Forwarded-For": "203.0.113.9"}, timeout=30) as client:
        with client.stream("GET", f"{url}/stream?user_id={key}") as stream:
            next(line for line in stream.iter_lines() if line.startswith("data:"))


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id"])
def test_haproxy_says_who_its_client_is(flask, gateway, started, key, options):
    own = gateway(flask, "--proxy-protocol", "on", "--trusted-proxy", "127.0.0.1")
    before = started(balancer(f"127.0.0.1:{own.port}", options))
    from_elsewhere(before.url, key)
    assert [seen["headers"]["x-forwarded-for"] for seen in flask.seen(key)] == ["127.0.0.9"]
    until(lambda: "client=127.0.0.9:" in own.log, "the client in the log")


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2"])
def test_haproxy_passes_tls_on_behind_its_header(flask, gateway, started, key, tmp_path, options):
    chain, private = certificate.make(tmp_path)
    flags = ["--tls-cert", chain, "--tls-key", private, "--proxy-protocol", "on", "--trusted-proxy", "127.0.0.1"]
    own = gateway(flask, *flags)
    before = started(balancer(f"127.0.0.1:{own.port}", options))
    url = before.url.replace("http://", "https://")
    assert first_event(url, key, verify=ssl.create_default_context(cafile=chain))
    (seen,) = flask.seen(key)
    assert (seen["headers"]["x-forwarded-for"], seen["headers"]["x-forwarded-proto"]) == ("127.0.0.1", "https")


def test_haproxy_that_is_not_trusted_or_says_nothing_is_refused(flask, gateway, started, key):
    for trusted, options, why in [
        ("10.0.0.0/8", "send-proxy", "PROXY headers are taken from those in trusted_proxy alone"),
        ("127.0.0.1", "", "it does not begin with a PROXY header"),
    ]:
        own = gateway(flask, "--proxy-protocol", "on", "--trusted-proxy", trusted)
        before = started(balancer(f"127.0.0.1:{own.port}", options))
        with pytest.raises(httpx.TransportError):
            first_event(before.url, key)
        until(lambda own=own, why=why: why in own.log, "a warning")
    assert flask.seen(key) == []


def test_nginx_says_who_its_client_is(flask, gateway, started, key):
    own = gateway(flask, "--proxy-protocol", "v1", "--trusted-proxy", "127.0.0.1")
    before = started(nginx.balancer(f"127.0.0.1:{own.port}"))
    from_elsewhere(before.url, key)
    assert [seen["headers"]["x-forwarded-for"] for seen in flask.seen(key)] == ["127.0.0.9"]


@pytest.fixture
def open_folder():
    """One that nginx's user may look into, too."""
    with tempfile.TemporaryDirectory(prefix="sse-gateway-") as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        yield folder


def test_nginx_comes_by_a_unix_socket(flask, gateway, started, key, open_folder):
    path = open_folder / "gateway.sock"
    own = gateway(flask, "--listen", f"unix:{path}", "--listen-mode", "0666", "--trusted-proxy", "unix")
    port = processes.free_port()
    edge = started(nginx.serve(SITE.format(port=port, path=path), port))
    assert first_event(edge.url, key)
    assert [seen["headers"]["x-forwarded-for"] for seen in flask.seen(key)] == ["127.0.0.1"]
    assert own.drained()[0] == 0
    assert not path.exists()
