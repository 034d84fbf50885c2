"""A WebSocket server that sends back what it gets.

    python ws_echo.py PORT
"""

import asyncio
import json
import sys

from websockets.asyncio.server import serve


async def echo(connection):
    await connection.send(json.dumps({"path": connection.request.path, "subprotocol": connection.subprotocol}))
    async for message in connection:
        if message == "close me":
            await connection.close(4321, "as you wish")
        else:
            await connection.send(message)


async def main(port):
    async with serve(echo, "127.0.0.1", port, subprotocols=["echo.example"], max_size=None):
        await asyncio.Future()


asyncio.run(main(int(sys.argv[1])))
