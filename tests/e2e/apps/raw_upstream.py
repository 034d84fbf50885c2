"""A bare event stream on uvloop, for thousands of streams at once: one event at the open, one each `every` seconds.

    python raw_upstream.py PORT EVERY
"""

import asyncio
import sys

import uvloop

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class Streams(asyncio.Protocol):
    open = set()

    def connection_made(self, transport):
        self.transport, self.head = transport, b""

    def data_received(self, data):
        self.head += data
        if b"\r\n\r\n" in self.head and self not in self.open:
            self.open.add(self)
            self.transport.write(HEAD)
            self.send(b"data: 0\n\n")

    def send(self, event):
        self.transport.write(b"%x\r\n%s\r\n" % (len(event), event))

    def connection_lost(self, error):
        self.open.discard(self)


async def main(port, every):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Streams, "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    async with server:
        number = 0
        while True:
            await asyncio.sleep(every)
            number += 1
            for stream in list(Streams.open):
                stream.send(b"data: %d\n\n" % number)


uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
