"""All events of an answer at once, as fast as they are taken.

    python burst_upstream.py PORT

A request for `/end/N/…` is answered by N events and the end, `/stay/N/…` by N events and silence; GET and POST alike.
"""

import asyncio
import re
import sys

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


async def answer(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        then, events = re.match(rb"\w+ /(\w+)/(\d+)", head).groups()
        writer.write(HEAD + b"".join(b"data: %d\n\n" % number for number in range(int(events))))
        await writer.drain()
        if then == b"stay":
            await reader.read()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


uvloop.run(main())
