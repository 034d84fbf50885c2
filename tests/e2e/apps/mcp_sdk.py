"""A server of MCP by its Python SDK, with no store of events: streamable HTTP at `/mcp`, the older transport at `/sse`.

The tool `slow` says that it has begun and answers once it is told to, by a POST to `/go`; `/calls` counts its calls. The tool `quick` answers
at once.
"""

import asyncio
import sys

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

server = MCPServer("slow")
calls = 0
may_go = asyncio.Event()


@server.tool()
async def slow(ctx: Context) -> str:
    global calls
    calls += 1
    await ctx.info("begun")
    await may_go.wait()
    may_go.clear()
    return "done"


@server.tool()
async def quick() -> str:
    return "still here"


async def go(request):
    may_go.set()
    return Response(status_code=204)


async def count(request):
    return JSONResponse(calls)


app = server.streamable_http_app()
app.router.routes += [
    *server.sse_app().routes,
    Route("/go", go, methods=["POST"]),
    Route("/calls", count),
]

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), timeout_graceful_shutdown=1)
