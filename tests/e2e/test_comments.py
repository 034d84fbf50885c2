"""Comment blocks of the upstream: clients that take a blank line for the end of an event find nothing more behind us."""

import asyncio
import uuid

import httpx
import openai
import pytest
import sseclient
from harness import processes
from httpx_sse import aconnect_sse, connect_sse

SHAPES = ["openrouter", "sse-starlette", "deepseek", "bare", "mixed"]
GATEWAYS = {
    "plain": [],
    "share": ["--share", "on, body"],
    "resume": ["--resume", "on"],
}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "count"}]}
LIMIT = 30


@pytest.fixture(scope="module")
def upstream():
    with processes.uvicorn("comments_app:app") as server:
        yield server


@pytest.fixture(scope="module", params=GATEWAYS)
def behind(request, upstream):
    """The flags that are not given have their defaults."""
    with processes.Gateway("--upstream", upstream.url, *GATEWAYS[request.param]) as gateway:
        yield gateway


# ---- readers: what each client hands to its application, up to the last word


def until_done(events):
    """A stream that is shared goes on behind its last event."""
    seen = []
    for event, data in events:
        seen.append((event, data))
        if data == "[DONE]":
            break
    return seen


def completions(url):
    """One of its own for each client: who joined another's would see what comes from then on."""
    return f"{url}/v1/chat/completions?client={uuid.uuid4()}"


def openai_sync(url, method):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=LIMIT)
    with client.chat.completions.create(**CHAT, stream=True) as stream:
        return [chunk.choices[0].delta.content for chunk in stream]


def openai_async(url, method):
    async def read():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=LIMIT) as client:
            stream = await client.chat.completions.create(**CHAT, stream=True)
            return [chunk.choices[0].delta.content async for chunk in stream]

    return asyncio.run(read())


def httpx_sse_sync(url, method):
    body = {"json": CHAT} if method == "POST" else {}
    with (
        httpx.Client(timeout=LIMIT) as client,
        connect_sse(client, method, completions(url), **body) as source,
    ):
        return until_done((event.event, event.data) for event in source.iter_sse())


def httpx_sse_async(url, method):
    async def read():
        body = {"json": CHAT} if method == "POST" else {}
        async with (
            httpx.AsyncClient(timeout=LIMIT) as client,
            aconnect_sse(client, method, completions(url), **body) as source,
        ):
            seen = []
            async for event in source.aiter_sse():
                seen.append((event.event, event.data))
                if event.data == "[DONE]":
                    return seen
            return seen

    return asyncio.run(read())


def sseclient_py(url, method):
    body = {"json": CHAT} if method == "POST" else {}
    headers = {"accept": "text/event-stream"}
    with (
        httpx.Client(timeout=LIMIT) as client,
        client.stream(method, completions(url), headers=headers, **body) as response,
    ):
        events = sseclient.SSEClient(response.iter_bytes()).events()
        return until_done((event.event, event.data) for event in events)


READERS = [
    (openai_sync, "POST"),
    (openai_async, "POST"),
    (httpx_sse_sync, "POST"),
    (httpx_sse_sync, "GET"),
    (httpx_sse_async, "POST"),
    (httpx_sse_async, "GET"),
    (sseclient_py, "POST"),
    (sseclient_py, "GET"),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("read, method", READERS, ids=[f"{read.__name__}-{method}" for read, method in READERS])
def test_a_client_sees_the_same_events_as_directly(upstream, behind, read, method, shape):
    direct = read(f"{upstream.url}/{shape}", method)
    assert len(direct) >= 3
    assert read(f"{behind.url}/{shape}", method) == direct


# ---- the SDK of MCP


def mcp_session(url):
    """The tools that it lists, by POST, and what it is told meanwhile, by GET."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def read():
        told = []
        enough = asyncio.Event()

        async def logged(params):
            told.append(params.data)
            if len(told) >= 3:
                enough.set()

        async with (
            streamable_http_client(f"{url}/mcp") as (incoming, outgoing, *_),
            ClientSession(incoming, outgoing, logging_callback=logged) as session,
        ):
            await session.initialize()
            tools = await session.list_tools()
            await asyncio.wait_for(enough.wait(), LIMIT)
            return [tool.name for tool in tools.tools], told[:3]

    return asyncio.run(read())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sdk_of_mcp_sees_the_same_as_directly(upstream, behind, shape):
    direct = mcp_session(f"{upstream.url}/{shape}")
    assert direct == (["one", "two", "three"], ["one", "two", "three"])
    assert mcp_session(f"{behind.url}/{shape}") == direct
