"""A stream of `PID NUMBER` on each connection, for pages of any origin; what is stopped and started again.

    python away_upstream.py PORT

Half of the next event is always on its way already.
"""

import asyncio
import os
import sys

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\naccess-control-allow-origin: *\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


async def stream(reader, writer):
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        text = "retry: 700\n"
        for number in range(1, 1_000_000):
            text += f"data: {os.getpid()} {number}\n\ndata: {os.getpid()} ha"
            writer.write(b"%x\r\n%s\r\n" % (len(text), text.encode()))
            await writer.drain()
            text = f"lf of {number}\n\n"
            await asyncio.sleep(0.2)
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(stream, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


asyncio.run(main())
