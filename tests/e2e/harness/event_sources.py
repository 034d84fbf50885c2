"""Many event sources behind a balancer, in one thread: each comes back when its connection ends, and checks its numbers."""

import asyncio
import itertools
import time

# Connections that are opened together.
WAVE = 100


class EventSource(asyncio.Protocol):
    """As a browser's (HTML standard, 9.2): it comes back with its last id, and gives up on anything but a stream."""

    def __init__(self, address):
        self.address, self.last_id, self.retry = address, None, 3.0
        self.last, self.gaps, self.wrong, self.refused, self.ended_at = None, 0, [], [], []
        self.transport, self.done = None, False

    async def connect(self):
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, *self.address)
        except OSError as error:
            self.refused.append(repr(error))

    def connection_made(self, transport):
        self.transport, self.received, self.status = transport, b"", None
        last = b"Last-Event-ID: %s\r\n" % self.last_id if self.last_id else b""
        # HTTP/1.0, so that no chunk sizes are in between.
        transport.write(b"GET /stream HTTP/1.0\r\nHost: gateway\r\nAccept: text/event-stream\r\n%s\r\n" % last)

    def data_received(self, data):
        self.received += data
        if self.status is None:
            head, end, body = self.received.partition(b"\r\n\r\n")
            if not end:
                return
            self.status, self.received = head.split(b" ")[1], body
            if self.status != b"200":
                self.refused.append(head)
                self.done = True
        *blocks, self.received = self.received.split(b"\n\n")
        for block in blocks:
            self.dispatch(block)

    def dispatch(self, block):
        kind, data = None, None
        for line in block.split(b"\n"):
            name, _, value = line.partition(b": ")
            if name == b"id":
                self.last_id = value
            elif name == b"retry":
                self.retry = int(value) / 1000
            elif name == b"event":
                kind = value
            elif name == b"data":
                data = value
        if data is None:
            return
        if kind is not None:
            self.gaps += 1
            return
        number = int(data.split(b" ")[0])
        if self.last is not None and number != self.last + 1:
            self.wrong.append((self.last, number))
        self.last = number

    def connection_lost(self, error):
        if not self.done:
            self.ended_at.append(time.monotonic())
            asyncio.get_running_loop().call_later(self.retry, self.come_back)

    def come_back(self):
        if not self.done:
            self.task = asyncio.create_task(self.connect())

    def leave(self):
        self.done = True
        self.transport.close()


class Half(asyncio.Protocol):
    """One end of a connection through the balancer. What it reads goes to the other."""

    def __init__(self):
        self.other, self.early = None, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.other is None:
            self.early += data
        else:
            self.other.write(data)

    def connection_lost(self, error):
        if self.other is not None:
            self.other.close()

    def join(self, other):
        self.other = other
        other.write(self.early)


class Balancer:
    """Gives connections to the targets in turn, and leaves out those that do not accept."""

    def __init__(self):
        self.targets, self.turns = [], itertools.count()

    async def listen(self):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self.client, "127.0.0.1", 0, backlog=4096)
        return self.server.sockets[0].getsockname()

    def client(self):
        half = Half()
        half.task = asyncio.create_task(self.forward(half))
        return half

    async def forward(self, client):
        loop, turn, targets = asyncio.get_running_loop(), next(self.turns), list(self.targets)
        for at in range(len(targets)):
            try:
                transport, server = await loop.create_connection(Half, *targets[(turn + at) % len(targets)])
            except OSError:
                continue
            server.join(client.transport)
            client.join(transport)
            if client.transport.is_closing():
                transport.close()
            return
        client.transport.close()


async def all_of(address, number):
    """So many event sources, all of them connected."""
    sources = [EventSource(address) for _ in range(number)]
    for first in range(0, number, WAVE):
        await asyncio.gather(*(source.connect() for source in sources[first : first + WAVE]))
    return sources


async def until(condition, what, limit=60):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"waited {limit} s for {what}"
        await asyncio.sleep(0.05)
