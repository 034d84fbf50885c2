"""Streams opened and closed again, two thousand at once and many thousands in a row: nothing stays behind."""

import asyncio
import signal
import socket
import struct

import pytest
import uvloop
from harness import processes
from harness.wait import until

STREAMS = 2000
ROUNDS = 10
# Connections that are opened together.
WAVE = 200
MIB = 1024 * 1024
# Bytes a stream that would show as a leak.
LEAK = 500


class Client(asyncio.Protocol):
    """One stream; `first` is done at its first event."""

    request = b"GET /stream HTTP/1.1\r\nHost: gateway\r\nAccept: text/event-stream\r\n\r\n"

    def __init__(self):
        self.first = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data):
        if not self.first.done():
            self.received += data
            if b"data: 0\n\n" in self.received:
                self.first.set_result(None)

    def connection_lost(self, error):
        if not self.first.done():
            self.first.set_exception(ConnectionError(f"lost before the first event: {error}, {self.received[:200]!r}"))

    def leave(self, reset):
        if reset:
            # Lingering for no time makes the close a reset.
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()


async def one_round(gateway, streams, check=lambda: None):
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(0, streams, WAVE):
        wave = await asyncio.gather(*(loop.create_connection(Client, *gateway.address) for _ in range(WAVE)))
        clients += [protocol for _, protocol in wave]
    await asyncio.wait_for(asyncio.gather(*(client.first for client in clients)), 60)
    await asyncio.to_thread(check)
    for number, client in enumerate(clients):
        client.leave(reset=number % 2 == 1)


@pytest.fixture
def own(gateway, started):
    own = gateway(started(processes.script("raw_upstream", 5)), "--heartbeat", "2s")
    own.until_idle()
    return own


def test_a_thousand_clients_that_come_back_at_once_are_not_turned_away(own):
    """After a restart all clients knock together: who finds the queue full waits for a second, and longer each time."""
    own.signal(signal.SIGSTOP)
    clients = []
    try:
        for _ in range(1000):
            clients.append(socket.create_connection(own.address, timeout=5))
    finally:
        own.signal(signal.SIGCONT)
    for client in clients:
        client.close()
    own.until_idle()


@pytest.mark.timeout(400)
def test_two_thousand_streams_at_once_ten_times_over_leave_nothing_behind(own):
    descriptors, threads = own.descriptors(), own.threads()
    after_first = None

    def check():
        assert own.metric("sse_streams_active") == STREAMS
        assert len(own.streams()) == STREAMS

    for number in range(ROUNDS):
        uvloop.run(one_round(own, STREAMS, check))
        own.until_idle(limit=60)
        # A descriptor or two for the connection of the admin request that asked.
        until(lambda: own.descriptors() <= descriptors + 2, "the descriptors to be closed", limit=60)
        after_first = after_first or own.resting_memory()

    after_last = own.resting_memory()
    print(f"{after_first / MIB:.1f} MiB after the first round, {after_last / MIB:.1f} MiB after the last")
    assert own.metric("sse_streams_opened_total") == STREAMS * ROUNDS
    assert own.metric("sse_streams_closed_total", reason="client") == STREAMS * ROUNDS
    assert own.threads() <= threads + 1
    # A round takes 50 MiB and more; what the allocator rests at wanders by a few.
    assert after_last - after_first < STREAMS * (ROUNDS - 1) * LEAK, (after_first, after_last)


@pytest.mark.timeout(400)
def test_ten_thousand_streams_in_a_row_leave_no_memory_behind(own):
    """With few streams at once the process is small, and so is what a leak can hide in: 500 bytes a stream show."""
    rounds, streams = 50, 200
    for _ in range(10):
        uvloop.run(one_round(own, streams))
    own.until_idle()
    before = own.resting_memory()
    for _ in range(rounds):
        uvloop.run(one_round(own, streams))
    own.until_idle()
    after = own.resting_memory()
    print(f"{before / MIB:.1f} MiB, then {after / MIB:.1f} MiB")
    assert after - before < rounds * streams * LEAK, (before, after)
