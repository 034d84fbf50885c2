"""Thousands of clients of one stream, in one thread."""

import asyncio
import time

from harness import wire
from harness.wait import GENEROUS

# Connections that are opened together.
WAVE = 500


class Member(asyncio.Protocol):
    """One client. Reads what comes, and keeps it if asked to."""

    def __init__(self, crowd, path):
        self.crowd, self.path, self.lost, self.status, self.received = crowd, path, False, None, b""
        self.delays = []

    def connection_made(self, transport):
        self.transport = transport
        # HTTP/1.0, so that no chunk sizes are in between.
        transport.write(b"GET %s HTTP/1.0\r\nHost: gateway\r\nAccept: text/event-stream\r\n\r\n" % self.path.encode())

    def data_received(self, data):
        self.received += data
        if self.status is None:
            head, end, body = self.received.partition(b"\r\n\r\n")
            if not end:
                return
            self.status, self.received = head.split(b" ")[1], body
        if self.crowd.delays:
            *events, self.received = self.received.split(b"\n\n")
            sent = [float(event.rsplit(b" ", 2)[1]) for event in events if b"data: " in event]
            if sent:
                self.delays.append(time.time() - min(sent))

    def has_events(self):
        return b"\ndata: " in self.received or bool(self.delays)

    def events(self):
        return wire.read(self.received).events

    def connection_lost(self, error):
        self.lost = True


class Crowd:
    """`with delays`, members keep how late each event was, and not the events. `{}` in the path is a member's number."""

    def __init__(self, gateway, path="/stream", delays=False):
        self.address, self.path, self.delays, self.members = gateway.address, path, delays, []

    async def join(self, number):
        loop = asyncio.get_running_loop()
        for first in range(0, number, WAVE):
            paths = [self.path.format(number) for number in range(first, min(first + WAVE, number))]
            connects = (loop.create_connection(lambda path=path: Member(self, path), *self.address) for path in paths)
            self.members += [member for _, member in await asyncio.gather(*connects)]

    async def until_all(self, condition, what, limit=GENEROUS):
        end = time.monotonic() + limit
        while left := [member for member in self.members if not condition(member)]:
            if time.monotonic() > end:
                raise AssertionError(
                    f"waited {limit:g} s for {what}; {len(left)} of {len(self.members)} are not there yet, "
                    f"{sum(member.lost for member in self.members)} are lost; one has {left[0].received[-600:]!r}"
                )
            await asyncio.sleep(0.05)

    def leave(self):
        for member in self.members:
            member.transport.close()
