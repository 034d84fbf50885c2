"""Answers as a language model gives them: so many numbers, one by one and without ids, and then `[DONE]`.

    python answers_upstream.py PORT EVERY

The body of a request is a name and how many: `question-7 40`. Each request is a line of the log: `POST question-7`.
"""

import asyncio
import sys

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
every = float(sys.argv[2])


async def asked(reader):
    """The method, the name and the count."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, *_ = head.split(" ")
    fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    else:
        body = await reader.readexactly(int(fields["content-length"]))
    name, count = body.decode().split(" ")
    return method, name, int(count)


async def answer(reader, writer):
    try:
        method, name, count = await asked(reader)
        print(method, name, flush=True)
        writer.write(HEAD)
        for data in [*range(1, count + 1), "[DONE]"]:
            event = b"data: %s\n\n" % str(data).encode()
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(every)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


asyncio.run(main())
