"""Starlette with sse-starlette, which pings on its own; and a finite stream by POST in the manner of LLM APIs.

Under uvicorn, which tells the app at once when its client is gone: the app to ask when a stream ended.
"""

import asyncio
import json

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from reqlog import CHINESE, PAGE, RequestLog, resume_from

log = RequestLog()


async def events(request):
    """sse-starlette as documented: dicts in, CRLF lines out, a ping comment each second."""
    query = request.query_params
    every, count = float(query.get("every", 1)), int(query.get("count", 1_000_000))
    first = resume_from(request.headers.get("last-event-id"))
    with_ids = query.get("ids", "on") == "on"
    entry = log.open(query, request.headers)

    async def generate():
        try:
            for number in range(first, first + count):
                event = {"event": "add", "data": json.dumps({"count": number, "text": CHINESE}, ensure_ascii=False)}
                if with_ids:
                    event["id"] = str(number)
                yield event
                await asyncio.sleep(every)
        finally:
            log.close(entry)

    return EventSourceResponse(generate(), ping=int(query.get("ping", 1)))


async def quiet(request):
    """One event, then nothing at all, not even pings."""
    entry = log.open(request.query_params, request.headers)

    async def generate():
        try:
            yield "data: hello\n\n"
            await asyncio.Event().wait()
        finally:
            log.close(entry)

    return StreamingResponse(generate(), media_type="text/event-stream")


async def pinging(request):
    """A dead generator behind pings: comments each 200 ms and never an event."""

    async def generate():
        while True:
            yield ": ping\n\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(generate(), media_type="text/event-stream")


async def completions(request):
    """Tokens after some thinking. `think` and `every` in seconds, `tokens` how many."""
    body = await request.json()
    entry = log.open(request.query_params, request.headers)

    async def generate():
        try:
            await asyncio.sleep(body.get("think", 0))
            for number in range(body.get("tokens", 5)):
                delta = {"choices": [{"index": 0, "delta": {"content": f"{CHINESE[number % 5]}{number}"}}]}
                yield f"data: {json.dumps(delta, ensure_ascii=False)}\n\n"
                await asyncio.sleep(body.get("every", 0))
            yield "data: [DONE]\n\n"
        finally:
            log.close(entry)

    return StreamingResponse(generate(), media_type="text/event-stream")


async def slow_head(request):
    """No head until the client has left."""
    entry = log.open(request.query_params, request.headers)
    while not await request.is_disconnected():
        await asyncio.sleep(0.02)
    log.close(entry)
    return PlainTextResponse("nobody reads this")


async def refuse(request):
    """An answer without a look at the body."""
    return PlainTextResponse("not yours\n", status_code=403, headers={"connection": "close"})


async def read_log(request):
    return JSONResponse(log.of(request.query_params["key"]))


async def page(request):
    return HTMLResponse(PAGE)


app = Starlette(
    routes=[
        Route("/events", events),
        Route("/quiet", quiet),
        Route("/pinging", pinging),
        Route("/v1/chat/completions", completions, methods=["POST"]),
        Route("/slow-head", slow_head, methods=["GET", "POST"]),
        Route("/refuse", refuse, methods=["POST", "PUT"]),
        Route("/log", read_log),
        Route("/page", page),
    ]
)
