"""Clients whose packets are dropped from one moment on, in a network namespace of their own: they are gone in bounded time.

Needs root, as who makes a namespace does.
"""

import contextlib
import ctypes
import os
import socket
import ssl
import subprocess
import threading
import time

import h2.config
import h2.connection
import pytest
from harness import certificate, processes
from harness.wait import until

GONE = 3.0
CLONE_NEWNET = 0x40000000
# Of this machine, for what runs beside it and does not stop at once.
SLACK = 5.0


def ip(*arguments):
    subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True, timeout=30)


class Far:
    """A machine at the other end of a cable."""

    def __init__(self):
        self.name = f"sse{os.getpid()}"
        self.near = f"ssen{os.getpid()}"[:15]
        number = os.getpid() % 16384
        network = f"10.{200 + number // 4096}.{number // 16 % 256}.{number % 16 * 16}".rpartition(".")
        self.address, there = (f"{network[0]}.{int(network[2]) + last}" for last in (1, 2))
        ip("netns", "add", self.name)
        ip("link", "add", self.near, "type", "veth", "peer", "name", "far", "netns", self.name)
        ip("addr", "add", f"{self.address}/30", "dev", self.near)
        ip("link", "set", self.near, "up")
        ip("-n", self.name, "addr", "add", f"{there}/30", "dev", "far")
        ip("-n", self.name, "link", "set", "far", "up")

    def connect(self, port):
        """A connection from there."""
        made = []

        def connect():
            with open(f"/run/netns/{self.name}") as namespace:
                assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0
            made.append(socket.create_connection((self.address, port), timeout=30))

        # A namespace is one of a thread.
        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()
        return made[0]

    def cut(self):
        """No packet comes through any more, and neither end is told."""
        drop = ["tc", "qdisc", "add", "dev"]
        subprocess.run([*drop, self.near, "root", "blackhole"], check=True, timeout=30)
        subprocess.run(["ip", "netns", "exec", self.name, *drop, "far", "root", "blackhole"], check=True, timeout=30)

    def remove(self):
        ip("netns", "del", self.name)


@pytest.fixture
def far():
    machine = Far()
    yield machine
    machine.remove()


def http1(connection):
    connection.sendall(b"GET /quiet HTTP/1.1\r\nHost: gateway\r\nAccept: text/event-stream\r\n\r\n")
    received = b""
    while b"data: hello" not in received:
        received += connection.recv(65536)


def http2(connection):
    """A stream, and from then on answers to pings, as long as any come."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    fields = {":method": "GET", ":scheme": "http", ":authority": "gateway", ":path": "/quiet"}
    client.send_headers(1, [*fields.items(), ("accept", "text/event-stream")], end_stream=True)
    connection.sendall(client.data_to_send())
    has_event = threading.Event()

    def pump():
        received = b""
        with contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                received += piece
                client.receive_data(piece)
                connection.sendall(client.data_to_send())
                if b"data: hello" in received:
                    has_event.set()

    threading.Thread(target=pump, daemon=True).start()
    assert has_event.wait(30)


# A heartbeat is sent into the void, or nothing is; the times in which a client is then gone, by docs/operating.md.
BOUNDS = {
    ("1s", http1): 1 + GONE,
    ("off", http1): GONE + 1,
    ("1s", http2): 2 * GONE / 3,
    ("off", http2): 2 * GONE / 3,
}


def test_who_has_vanished_is_gone_in_time(starlette, started, far, tmp_path):
    chain, key = certificate.make(tmp_path)
    gateways = []
    for (heartbeat, speak), bound in BOUNDS.items():
        for secure in [False, True]:
            port = processes.free_port()
            flags = ["--upstream", starlette.url, "--heartbeat", heartbeat, "--client-gone-timeout", f"{GONE:g}s"]
            flags += ["--listen", f"{far.address}:{port}"]
            if secure:
                flags += ["--tls-cert", chain, "--tls-key", key]
            own = started(processes.Gateway(*flags))
            gateways.append((own, port, speak, secure, bound, f"{speak.__name__}, heartbeat {heartbeat}, TLS {secure}"))
    connections = []
    for own, port, speak, secure, _, _ in gateways:
        connection = far.connect(port)
        if secure:
            context = ssl.create_default_context(cafile=chain)
            context.set_alpn_protocols(["h2" if speak is http2 else "http/1.1"])
            connection = context.wrap_socket(connection, server_hostname="localhost")
        speak(connection)
        connections.append(connection)
    # Who can be reached stays, however long nothing is said.
    time.sleep(GONE + 2)
    for own, *_, what in gateways:
        assert own.metric("sse_streams_active") == 1, what
    far.cut()
    cut = time.monotonic()
    took = {}

    def all_gone():
        for own, *_, what in gateways:
            if what not in took and own.metric("sse_streams_active") == 0:
                took[what] = time.monotonic() - cut
        return len(took) == len(gateways)

    until(all_gone, "all to be gone", limit=30)
    for what, seconds in took.items():
        print(f"{what}: gone after {seconds:.1f} s")
    for own, *_, bound, what in gateways:
        assert took[what] < bound + SLACK, what
        assert own.metric("sse_streams_closed_total", reason="client") == 1, what
        until(lambda own=own: own.metric("sse_connections") == 0, "the connection to be gone")
    for connection in connections:
        connection.close()
