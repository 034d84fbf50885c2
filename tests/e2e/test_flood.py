"""A listener flooded by those who never finish what they begin: others are served, and memory is bounded."""

import socket
import ssl
import time

import httpx
import pytest
from harness import certificate, processes
from harness.wait import until

KIB = 1024
# What a connection holds that has sent no whole request, by docs/operating.md.
SILENT, HEAD, BODY, HANDSHAKE = 8 * KIB, 40 * KIB, 64 * KIB, 40 * KIB
# A record of a handshake that says it has 512 bytes, and has fewer.
HELLO = bytes([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]) + bytes(200)


def flood(address, number, beginning):
    flooded = []
    for _ in range(number):
        connection = socket.create_connection(address, timeout=30)
        connection.sendall(beginning)
        flooded.append(connection)
    return flooded


def resident(own):
    return own.metric("process_resident_memory_bytes")


def served_within(own, tries=5):
    """The least of some tries, since whatever else runs here takes its time too."""
    times = []
    for _ in range(tries):
        began = time.monotonic()
        with httpx.stream("GET", own.url + "/quiet", headers={"Accept": "text/event-stream"}, timeout=30) as stream:
            next(stream.iter_raw())
        times.append(time.monotonic() - began)
    return min(times)


KINDS = {
    "idle": (9_000, b"", SILENT),
    "half a head": (5_000, b"GET /stream HTTP/1.1\r\nHost: gateway\r\nX-Long: " + b"x" * 500, HEAD),
    "a slow body": (1_000, b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100000\r\n\r\nx", BODY),
}


@pytest.mark.parametrize("kind", KINDS)
def test_who_sends_no_whole_request_keeps_nobody_from_a_stream(starlette, gateway, kind):
    number, beginning, each = KINDS[kind]
    own = gateway(starlette)
    served_within(own)
    before = resident(own)
    flooded = flood(own.address, number, beginning)
    until(lambda: own.metric("sse_connections") >= number, "all to be accepted")
    took, grown = served_within(own), resident(own) - before
    print(f"{kind}: a stream after {took:.3f} s, {grown / number / KIB:.1f} KiB a connection")
    assert took < 1
    assert grown < number * each
    for connection in flooded:
        connection.close()
    until(lambda: own.metric("sse_connections") < 10, "all to be gone")


def test_silent_connections_give_way_where_descriptors_are_short(starlette, gateway, tmp_path, monkeypatch):
    """Each has two descriptors until it asks, and would have them for 30 s."""
    script = tmp_path / "sse-gateway"
    script.write_text(f'#!/bin/sh\nulimit -n 4096\nexec "{processes.gateway_binary()}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("SSE_GATEWAY_BIN", str(script))
    own = gateway(starlette)
    flooded = flood(own.address, 3_000, b"")
    until(lambda: own.metric("sse_accept_pauses_total") > 0, "all descriptors to be in use")
    took = served_within(own, 1)
    print(f"where descriptors are short: a stream after {took:.3f} s")
    assert took < 10
    for connection in flooded:
        connection.close()
    until(lambda: own.metric("sse_connections") < 10, "all to be gone")


def test_half_open_handshakes_keep_nobody_from_a_stream(starlette, gateway, tmp_path):
    chain, key = certificate.make(tmp_path)[:2]
    own = gateway(starlette, "--tls-cert", chain, "--tls-key", key)
    trusted = ssl.create_default_context(cafile=chain)

    def served():
        times = []
        for _ in range(5):
            began = time.monotonic()
            with socket.create_connection(own.address, timeout=30) as plain:
                with trusted.wrap_socket(plain, server_hostname="localhost") as stream:
                    stream.sendall(b"GET /quiet HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
                    received = b""
                    while b"data: " not in received:
                        received += stream.recv(65536)
            times.append(time.monotonic() - began)
        return min(times)

    served()
    before, number = resident(own), 5_000
    flooded = flood(own.address, number, HELLO)
    until(lambda: own.metric("sse_connections") >= number, "all to be accepted")
    took, grown = served(), resident(own) - before
    print(f"half a handshake: a stream after {took:.3f} s, {grown / number / KIB:.1f} KiB a connection")
    assert took < 1
    assert grown < number * HANDSHAKE
    for connection in flooded:
        connection.close()
    until(lambda: own.metric("sse_connections") < 10, "all to be gone")
