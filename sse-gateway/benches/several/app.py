"""What people write by hand: event streams of many processes by a Redis stream, with `XREAD BLOCK` for each client.

    python3 app.py REDIS_HOST:PORT [UPSTREAM_HOST:PORT/PATH]

With an upstream it also reads that, and writes each event to the stream. Nothing takes its place when it dies, ids are
those of Redis, and each client has a connection to Redis. No library is needed, so the protocol is spoken here.
"""

import asyncio
import sys

redis = sys.argv[1].split(":")
STREAM = b"events"
KEPT = b"1000"
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class Redis:
    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection(*redis)
        return self

    def send(self, *words):
        self.writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))

    async def answer(self):
        line = (await self.reader.readline())[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return None if rest == b"-1" else (await self.reader.readexactly(int(rest) + 2))[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [await self.answer() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest

    async def ask(self, *words):
        self.send(*words)
        return await self.answer()


async def read_upstream(url):
    address, _, path = url.partition("/")
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(f"GET /{path} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    connection, event = await Redis().connect(), b""
    while size := int(await reader.readline(), 16):
        event += (await reader.readexactly(size + 2))[:-2]
        while b"\n\n" in event:
            one, _, event = event.partition(b"\n\n")
            data = next(line[6:] for line in one.split(b"\n") if line.startswith(b"data: "))
            await connection.ask(b"XADD", STREAM, b"MAXLEN", b"~", KEPT, b"*", b"data", data)


async def serve(reader, writer):
    last = b"$"
    request = await reader.readuntil(b"\r\n\r\n")
    for line in request.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"last-event-id":
            last = value.strip()
    connection = await Redis().connect()
    writer.write(HEAD)
    try:
        while not writer.is_closing():
            found = await connection.ask(b"XREAD", b"BLOCK", b"15000", b"STREAMS", STREAM, last)
            if found is None:
                writer.write(b"2\r\n:\n\r\n")
            for last, (_, data) in found[0][1] if found else []:
                event = b"id: %s\ndata: %s\n\n" % (last, data)
                writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
    except OSError:
        pass
    finally:
        connection.writer.close()
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    address, port = server.sockets[0].getsockname()
    print(f"listening on http://{address}:{port}", file=sys.stderr, flush=True)
    if len(sys.argv) > 2:
        await read_upstream(sys.argv[2])
    await server.serve_forever()


asyncio.run(main())
