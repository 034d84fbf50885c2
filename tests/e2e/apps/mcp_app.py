"""A server of MCP whose answer to `tools/list` begins at once and goes on when told to, by a POST to `/go`.

It knows nothing of ids. `/asked` counts the requests for the list.
"""

import asyncio
import json

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

asked = 0
may_go = asyncio.Event()


def message(**fields):
    return f"event: message\ndata: {json.dumps({'jsonrpc': '2.0', **fields})}\n\n"


def stream(events):
    return StreamingResponse(events, media_type="text/event-stream")


async def initialized(request_id):
    result = {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}, "logging": {}},
        "serverInfo": {"name": "slow", "version": "1"},
    }
    yield message(id=request_id, result=result)


async def listed(request_id):
    global asked
    asked += 1
    yield message(method="notifications/message", params={"level": "info", "data": "begun"})
    await may_go.wait()
    yield message(id=request_id, result={"tools": [{"name": "one", "inputSchema": {"type": "object"}}]})


async def mcp(request):
    if request.method != "POST":
        return Response(status_code=405)
    asked_for = await request.json()
    if "id" not in asked_for:
        return Response(status_code=202)
    answers = {"initialize": initialized, "tools/list": listed}
    return stream(answers[asked_for["method"]](asked_for["id"]))


async def go(request):
    may_go.set()
    return Response(status_code=204)


async def count(request):
    return JSONResponse(asked)


app = Starlette(
    routes=[
        Route("/mcp", mcp, methods=["GET", "POST", "DELETE"]),
        Route("/go", go, methods=["POST"]),
        Route("/asked", count),
    ]
)
