"""All that is no event stream: the gateway fronts a whole application."""

import hashlib
import json
import subprocess
import tempfile

import httpx
import pytest
from harness.rawhttp import RawResponse
from websockets.sync.client import connect

MIB = 1024 * 1024


@pytest.fixture(scope="session")
def client():
    with httpx.Client(timeout=60) as client:
        yield client


def test_a_request_keeps_its_method_target_and_body(flask, shared_gateway, client):
    gateway = shared_gateway(flask)
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]:
        body = "" if method == "GET" else f"{method} 你好"
        seen = client.request(
            method, gateway.url + "/echo?a=1&a=%2F%20&b=%E4%BD%A0&c", content=body.encode(), headers={"X-Kept": "yes"}
        ).json()
        assert (seen["method"], seen["target"], seen["body"]) == (method, "/echo?a=1&a=%2F%20&b=%E4%BD%A0&c", body)
        assert seen["headers"]["x-kept"] == "yes"
        assert seen["headers"]["host"] == f"127.0.0.1:{gateway.port}"


def test_forwarded_fields_are_added_and_hop_by_hop_ones_dropped(flask, shared_gateway):
    gateway = shared_gateway(flask)
    fields = {
        "Connection": "close, X-Hop",
        "X-Hop": "for the gateway alone",
        "Keep-Alive": "timeout=5",
        "Proxy-Connection": "keep-alive",
        "X-Forwarded-For": "192.0.2.7",
    }
    with RawResponse(gateway.url + "/echo", headers=fields) as response:
        response.to_end()
    seen = json.loads(response.body)["headers"]
    assert seen["x-forwarded-for"].endswith("127.0.0.1")
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-host"] == f"127.0.0.1:{gateway.port}"
    assert {"x-hop", "keep-alive", "proxy-connection"}.isdisjoint(seen)


def test_redirects_heads_and_empty_answers_pass(flask, shared_gateway, client):
    gateway = shared_gateway(flask)
    moved = client.get(gateway.url + "/moved")
    assert (moved.status_code, moved.headers["location"]) == (302, "/echo?from=moved")
    assert client.get(gateway.url + "/nothing").status_code == 204
    head = client.head(gateway.url + "/page")
    direct = client.head(flask.url + "/page")
    assert head.headers["content-length"] == direct.headers["content-length"]
    assert head.content == b""
    # HEAD of an event stream: its head alone.
    head = client.head(gateway.url + "/n")
    assert (head.status_code, head.content) == (200, b"")
    assert client.get(gateway.url + "/no-such-view").status_code == 404


def test_a_large_upload_streams_through(flask, gateway, client):
    own = gateway(flask)
    client.get(own.url + "/echo")
    piece, count = bytes(range(256)) * 4096, 96
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(piece)
    before = own.memory()

    def pieces():
        yield from (piece for _ in range(count))

    chunked = client.post(own.url + "/upload", content=pieces()).raise_for_status().json()
    counted = (
        client.post(own.url + "/upload", content=pieces(), headers={"Content-Length": str(count * MIB)})
        .raise_for_status()
        .json()
    )
    for seen in (chunked, counted):
        assert (seen["length"], seen["sha256"]) == (count * MIB, digest.hexdigest())
    assert counted["content_length"] == str(count * MIB)
    # Streamed, not stored.
    assert own.memory() - before < 24 * MIB


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_is_told_to_continue(flask, shared_gateway, version):
    content = b"0123456789abcdef" * (MIB // 4)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        done = subprocess.run(
            ["curl", "-sS", "-v", "--noproxy", "*", version, "--header", "Expect: 100-continue",
             "--expect100-timeout", "20", "--upload-file", file.name, shared_gateway(flask).url + "/upload"],
            capture_output=True, timeout=60,
        )  # fmt: skip
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 0, said
    assert json.loads(done.stdout)["sha256"] == hashlib.sha256(content).hexdigest()
    if version == "--http1.1":
        assert "HTTP/1.1 100 Continue" in said
    assert "Done waiting for 100-continue" not in said


def test_an_upload_that_is_refused_gets_its_answer(starlette, shared_gateway):
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--http1.1", "--header", "Expect: 100-continue", "--write-out",
         "%{http_code}", "--data-binary", "a small body", shared_gateway(starlette).url + "/refuse"],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.decode() == "not yours\n403", done.stderr


def test_web_sockets_pass(websocket_echo, shared_gateway):
    url = f"ws://127.0.0.1:{shared_gateway(websocket_echo).port}/chat?room=%E4%BD%A0"
    with connect(url, subprotocols=["echo.example"], max_size=None, proxy=None) as socket:
        assert json.loads(socket.recv(timeout=20)) == {"path": "/chat?room=%E4%BD%A0", "subprotocol": "echo.example"}
        for message in ["你好", "", b"\x00\xff" * 10, "x" * (2 * MIB), bytes(3 * MIB)]:
            socket.send(message)
            assert socket.recv(timeout=30) == message
        assert socket.ping().wait(20)
        socket.send("close me")
        with pytest.raises(Exception) as closed:
            socket.recv(timeout=20)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as you wish")


def test_a_plain_request_to_a_web_socket_server_gets_its_answer(websocket_echo, shared_gateway, client):
    assert client.get(shared_gateway(websocket_echo).url + "/").status_code == 426


def test_a_response_of_another_type_is_untouched(flask, shared_gateway, client):
    direct, through = (client.get(base + "/page") for base in (flask.url, shared_gateway(flask).url))
    assert through.content == direct.content
    hop = {"date", "connection"}
    assert {k: v for k, v in through.headers.items() if k not in hop} == {
        k: v for k, v in direct.headers.items() if k not in hop
    }
