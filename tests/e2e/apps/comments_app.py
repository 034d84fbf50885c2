"""Streams with comment blocks before and between their events, as servers are known to send them.

Chat completions by POST, plain events by GET, and a server of MCP that has both. `shape` says whose comments they are.
"""

import asyncio
import json

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

# A comment block, and how the lines of the events end.
SHAPES = {
    "openrouter": (": OPENROUTER PROCESSING\n\n", "\n"),
    "sse-starlette": (": ping - 2025-01-01 00:00:00+00:00\r\n\r\n", "\r\n"),
    "deepseek": (": keep-alive\n\n", "\n"),
    "bare": (":\n\n", "\n"),
    "mixed": ("\n: a\r\n\r\n", "\n"),
}
WORDS = ["one", "two", "three"]


def chunk(word):
    delta = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
    head = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return json.dumps({**head, "choices": [delta]})


def stream(request, datas, named=(), headers=None):
    comment, end = SHAPES[request.path_params["shape"]]

    async def generate():
        yield comment
        yield comment + comment
        for data in datas:
            await asyncio.sleep(0)
            lines = [*named, f"data: {data}", "", ""]
            yield end.join(lines)
            yield comment

    return StreamingResponse(generate(), media_type="text/event-stream", headers=headers)


async def completions(request):
    await request.body()
    return stream(request, [*(chunk(word) for word in WORDS), "[DONE]"])


async def mcp(request):
    """As little of it as its client needs: https://modelcontextprotocol.io/specification/2025-06-18/basic/transports"""
    if request.method == "GET":
        notes = [
            {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": word}}
            for word in WORDS
        ]
        return stream(request, map(json.dumps, notes), named=["event: message"])
    if request.method != "POST":
        return Response(status_code=405)
    message = await request.json()
    if "id" not in message:
        return Response(status_code=202)
    results = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}, "logging": {}},
            "serverInfo": {"name": "comments", "version": "1"},
        },
        "tools/list": {"tools": [{"name": word, "inputSchema": {"type": "object"}} for word in WORDS]},
    }
    if message["method"] not in results:
        return JSONResponse(
            {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "no such method"}}
        )
    answer = {"jsonrpc": "2.0", "id": message["id"], "result": results[message["method"]]}
    # Without a session its client does not ask by GET.
    headers = {"mcp-session-id": "s"} if message["method"] == "initialize" else None
    return stream(request, [json.dumps(answer)], named=["event: message"], headers=headers)


app = Starlette(
    routes=[
        Route("/{shape}/v1/chat/completions", completions, methods=["GET", "POST"]),
        Route("/{shape}/mcp", mcp, methods=["GET", "POST", "DELETE"]),
    ]
)
