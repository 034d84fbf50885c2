"""Behind nginx and Caddy, with the shipped files: only addresses, the name and the certificate are changed."""

import json
import ssl
import subprocess

import httpx
import pytest
from harness import certificate, nginx, processes
from harness.rawhttp import RawResponse
from harness.wait import until
from websockets.sync.client import connect

DEPLOY = processes.ROOT / "deploy"
# What clients could make an application believe.
LIES = {
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Host": "192.0.2.2",
    "X-Forwarded-Port": "1922",
    "X-Forwarded-Prefix": "/192.0.2.3",
    "X-Real-IP": "192.0.2.4",
    "Forwarded": "for=192.0.2.5",
    "X-Client-IP": "192.0.2.6",
    "True-Client-IP": "192.0.2.7",
    "CF-Connecting-IP": "192.0.2.8",
    "X-Original-URL": "/192.0.2.9",
    "X-Rewrite-URL": "/192.0.2.10",
}


def replaced(text, changes):
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


class Edge:
    """A server with a port for HTTP and one for HTTPS."""

    def __init__(self, server, port, tls_port, trusted):
        self.server, self.url, self.tls_url = server, f"http://localhost:{port}", f"https://localhost:{tls_port}"
        context = ssl.create_default_context(cafile=trusted)
        self.client = httpx.Client(http2=True, verify=context, timeout=30)


def start_nginx(target, folder):
    port, tls_port = processes.free_port(), processes.free_port()
    own, key = certificate.make(folder)
    changes = {
        "127.0.0.1:8080": target,
        "listen 80;": f"listen 127.0.0.1:{port};",
        "listen 443 ": f"listen 127.0.0.1:{tls_port} ",
        "example.org": "localhost",
        "/etc/nginx/tls/fullchain.pem": str(own),
        "/etc/nginx/tls/privkey.pem": str(key),
    }
    site = replaced((DEPLOY / "nginx" / "sse-gateway.conf").read_text(), changes)
    return Edge(nginx.serve(site, port), port, tls_port, own)


def start_caddy(target, folder):
    port, tls_port = processes.free_port(), processes.free_port()
    own, key = certificate.make(folder)
    text = replaced((DEPLOY / "caddy" / "Caddyfile").read_text(), {"127.0.0.1:8080": target, "5s": "500ms"})
    _, site = text.split("\nexample.org {\n")
    options = "{\n\tadmin off\n\tauto_https off\n}\n"
    plain = f"http://localhost:{port} {{\n\tbind 127.0.0.1\n"
    encrypted = f"https://localhost:{tls_port} {{\n\tbind 127.0.0.1\n\ttls {own} {key}\n"
    file = folder / "Caddyfile"
    file.write_text(options + plain + site + encrypted + site)
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", file]
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return Edge(processes.Server("caddy", command, port, env=home).ready(), port, tls_port, own)


@pytest.fixture(params=[start_nginx, start_caddy], ids=["nginx", "caddy"])
def edge(request, tmp_path, started):
    """`edge(gateway)`: what stands before it."""

    def start(gateway):
        made = request.param(f"127.0.0.1:{gateway.port}", tmp_path)
        started(made.server)
        return made

    return start


@pytest.fixture
def behind(gateway):
    """A gateway that believes the edge, as the files say."""

    def start(upstream, *flags, **options):
        return gateway(upstream, "--trusted-proxy", "127.0.0.1", *flags, **options)

    return start


def unanswered(url):
    """Whether an `EventSource` is left without an answer, so that it comes back."""
    with RawResponse(url) as stream:
        stream.until(lambda r: r.status or r.ended, "an answer or none")
        return stream.status is None


def test_the_files_are_valid(tmp_path):
    own, key = certificate.make(tmp_path)
    site = replaced(
        (DEPLOY / "nginx" / "sse-gateway.conf").read_text(),
        {"/etc/nginx/tls/fullchain.pem": str(own), "/etc/nginx/tls/privkey.pem": str(key)},
    )
    for command in [
        [*nginx.command(site), "-t"],
        ["caddy", "validate", "--adapter", "caddyfile", "--config", DEPLOY / "caddy" / "Caddyfile"],
        ["caddy", "fmt", "--diff", DEPLOY / "caddy" / "Caddyfile"],
    ]:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_an_event_arrives_though_nothing_comes_behind_it(starlette, behind, edge):
    own = behind(starlette, "--heartbeat", "1h")
    before = edge(own)
    with RawResponse(before.url + "/quiet") as stream:
        (event,) = stream.events(1)
        assert event.data == "hello"
        assert not stream.ended
        (listed,) = own.streams()
        assert "127.0.0.1" in listed["client"]
    until(lambda: own.metric("sse_streams_closed_total", reason="client") == 1, "the gateway to see that the client left")


def test_it_arrives_over_http_2(starlette, behind, edge):
    before = edge(behind(starlette, "--heartbeat", "1h"))
    with before.client.stream("GET", before.tls_url + "/quiet", headers={"Accept": "text/event-stream"}) as stream:
        assert stream.http_version == "HTTP/2"
        assert "data: hello" in first_event(stream.iter_lines())


def first_event(lines):
    """The lines of the first event."""
    return [line for line in iter(lambda: next(lines), "")]


def test_the_application_is_told_who_asks_and_not_what_the_client_says(flask, behind, edge):
    before = edge(behind(flask))
    headers = before.client.get(before.tls_url + "/echo", headers=LIES).json()["headers"]
    assert "192.0.2" not in json.dumps(headers)
    assert (headers["x-forwarded-proto"], headers["x-forwarded-for"]) == ("https", "127.0.0.1, 127.0.0.1")
    assert headers["x-forwarded-host"].partition(":")[0] == "localhost"
    assert headers["x-real-ip"] == "127.0.0.1"
    assert headers["x-forwarded-port"] == before.tls_url.rpartition(":")[2]


def test_web_sockets_pass(websocket_echo, behind, edge):
    before = edge(behind(websocket_echo))
    url = before.url.replace("http:", "ws:") + "/chat"
    with connect(url, subprotocols=["echo.example"], proxy=None) as socket:
        socket.recv(timeout=20)
        socket.send("你好")
        assert socket.recv(timeout=20) == "你好"


def test_without_an_upstream_a_stream_is_left_unanswered_and_a_page_is_not(behind, edge):
    before = edge(behind(f"http://127.0.0.1:{processes.free_port()}"))
    assert unanswered(before.url + "/stream")
    assert before.client.get(before.url + "/page").status_code == 502


def test_without_a_gateway_a_stream_is_left_unanswered_and_a_page_is_not(starlette, behind, edge):
    own = behind(starlette)
    before = edge(own)
    own.stop()
    assert unanswered(before.url + "/quiet")
    with pytest.raises(httpx.RemoteProtocolError):
        before.client.get(before.tls_url + "/quiet", headers={"Accept": "text/event-stream"})
    answer = before.client.get(before.url + "/page", headers={"Accept": "text/html"})
    assert answer.status_code == 502 and answer.text.startswith("502 Bad Gateway")


def test_a_browser_is_back_after_a_restart_of_the_gateway(starlette, behind, edge, browser):
    own = behind(starlette, "--drain-window", "1ms")
    before = edge(own)
    browser.open(before.url, "/quiet")
    browser.until_entries("open", 1)
    own.drained()
    until(lambda: len(browser.entries("error")) >= 2, "the browser to be refused")
    behind(starlette, listen=f"127.0.0.1:{own.port}")
    browser.until_entries("open", 2)
