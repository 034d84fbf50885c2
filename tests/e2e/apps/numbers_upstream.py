"""One stream of numbers for all, on uvloop: what it is restarted in the middle of, and what counts its requests.

    python numbers_upstream.py PORT EVERY MODE [EPOCH [HEAD_DELAY [SIZE]]]

MODE `forgets`: each connection gets 1, 2, 3 … as `PID NUMBER` and no ids. MODE `remembers`: the number is the time
since EPOCH in steps of EVERY and the id; a client that names its last one gets all since. MODE `live`: the same
numbers without ids, from now on. Each event ends with the time at which it was sent, and has SIZE bytes of padding.
`/page` is a page without anything.

Each request is a line of the log: `open 2 now, last event id 17`; each end too: `closed, 1 now, at 1700000000.0`.
"""

import asyncio
import os
import re
import sys
import time

import uvloop

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 31\r\n\r\n<link rel='icon' href='data:,'>"
port, every, mode = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
epoch, head_delay, size = (float(part) for part in [*sys.argv[4:], 0, 0, 0][:3])
padding = b"x" * int(size)


def now():
    return int((time.time() - epoch) / every)


class Streams(asyncio.Protocol):
    open = set()

    def connection_made(self, transport):
        self.transport, self.request = transport, b""

    def data_received(self, data):
        self.request += data
        if self.request.startswith(b"GET /page "):
            self.transport.write(PAGE)
            self.transport.close()
        elif b"\r\n\r\n" in self.request and self not in self.open:
            self.open.add(self)
            last = re.search(rb"\r\nlast-event-id: *([^\r]*)", self.request, re.IGNORECASE)
            print(f"open {len(self.open)} now, last event id {last[1].decode() if last else None}", flush=True)
            asyncio.get_running_loop().create_task(self.stream(last and int(last[1])))

    async def stream(self, last):
        await asyncio.sleep(head_delay)
        self.transport.write(HEAD)
        sent = 0 if mode == "forgets" else now() if last is None or mode == "live" else last
        began = time.time()
        while self in self.open:
            until = now() if mode != "forgets" else int((time.time() - began) / every) + 1
            while sent < until:
                sent += 1
                event = b"id: %d\n" % sent if mode == "remembers" else b""
                who = b"%d " % os.getpid() if mode == "forgets" else b""
                event += b"data: %s%d %.4f %s\n\n" % (who, sent, time.time(), padding)
                self.transport.write(b"%x\r\n%s\r\n" % (len(event), event))
            await asyncio.sleep(every / 4)

    def connection_lost(self, error):
        if self in self.open:
            self.open.discard(self)
            print(f"closed, {len(self.open)} now, at {time.time():.3f}", flush=True)


async def main():
    server = await asyncio.get_running_loop().create_server(Streams, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


uvloop.run(main())
