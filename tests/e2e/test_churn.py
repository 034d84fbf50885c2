"""Two thousand streams at once, opened and closed, ten times over: nothing stays behind."""

import asyncio
import struct
import socket

import pytest
import uvloop
from harness import processes
from harness.wait import until

STREAMS = 2000
ROUNDS = 10
MIB = 1024 * 1024


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


async def one_round(gateway, check):
    loop = asyncio.get_running_loop()
    clients = []
    for start in range(0, STREAMS, 200):
        wave = await asyncio.gather(
            *(loop.create_connection(Client, *gateway.address) for _ in range(start, min(start + 200, STREAMS)))
        )
        clients += [protocol for _, protocol in wave]
    await asyncio.wait_for(asyncio.gather(*(client.first for client in clients)), 60)
    await asyncio.to_thread(check)
    for number, client in enumerate(clients):
        client.leave(reset=number % 2 == 1)


@pytest.mark.timeout(400)
def test_churn_leaves_nothing_behind(gateway, started):
    upstream = started(processes.script("raw_upstream", 5))
    own = gateway(upstream, "--heartbeat", "2s")
    own.until_idle()
    descriptors = own.descriptors()
    threads = own.threads()
    memory = []
    for number in range(ROUNDS):

        def check():
            assert own.metric("sse_streams_active") == STREAMS
            assert len(own.streams()) == STREAMS

        uvloop.run(one_round(own, check))
        own.until_idle(limit=60)
        # A descriptor or two for the connection of the admin request that asked.
        until(lambda: own.descriptors() <= descriptors + 2, "the descriptors to be closed", limit=60)
        memory.append(own.settled_memory())
        print(f"round {number + 1}: {memory[-1] / MIB:.1f} MiB, {own.descriptors()} descriptors")

    assert own.metric("sse_streams_opened_total") == STREAMS * ROUNDS
    assert own.metric("sse_streams_closed_total", reason="client") == STREAMS * ROUNDS
    assert own.threads() <= threads + 1
    # Flat after the first round.
    shown = [f"{used / MIB:.1f}" for used in memory]
    assert memory[-1] < memory[1] * 1.10 + 4 * MIB, shown
    assert min(memory[5:]) < memory[1] * 1.05 + 2 * MIB, shown
