"""The SDK of MCP, cut off in the middle of an answer."""

import asyncio

import httpx
from harness import processes
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

LIMIT = 30


async def tools(url, when_begun):
    """The tools that the server lists; `when_begun` is called once the first event of the answer is there."""

    async def logged(params):
        await when_begun()

    async with (
        streamable_http_client(f"{url}/mcp") as (incoming, outgoing, *_),
        ClientSession(incoming, outgoing, logging_callback=logged) as session,
    ):
        await session.initialize()
        listed = await asyncio.wait_for(session.list_tools(), LIMIT)
        return [tool.name for tool in listed.tools]


def test_an_answer_that_is_cut_goes_on_and_is_asked_for_once(gateway, cutter):
    with processes.uvicorn("mcp_app:app") as upstream:
        cut = cutter(gateway(upstream, "--resume", "on"))

        async def cut_and_go():
            assert cut.cut() >= 1
            async with httpx.AsyncClient() as client:
                await client.post(f"{upstream.url}/go")

        assert asyncio.run(tools(cut.url, cut_and_go)) == ["one"]
        assert httpx.get(f"{upstream.url}/asked").json() == 1
