"""The SDKs of MCP, clients and servers, behind `--preset mcp`: a call that is cut off in the middle of its answer goes on.

The servers have no store of events, so they give no ids, and could not go on by themselves.
"""

import asyncio

import httpx
import pytest
from harness import processes
from harness.said import Said
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

LIMIT = 30
SERVERS = ["python", "typescript"]
CALLED = [{"told": "begun"}, {"answer": "done"}, {"answer": "still here"}, {"end": True}]


@pytest.fixture(scope="module")
def servers():
    """`servers(language)`: one for all tests, each of which has a session of its own."""
    running = {}

    def start(language):
        if language not in running and language == "python":
            running[language] = processes.script("mcp_sdk")
        elif language not in running:
            port = processes.free_port()
            script = processes.E2E / "node" / "mcp_server.mjs"
            command = ["node", script, processes.NODE_PACKAGES, port]
            running[language] = processes.Server("mcp-typescript", command, port).ready()
        return running[language]

    yield start
    for server in running.values():
        server.stop()


def calls(server):
    return httpx.get(f"{server.url}/calls", timeout=LIMIT).json()


async def called(transport, url, when_begun):
    """What the tools answer; `when_begun` is called once the first event of the slow one's answer is there."""
    said = []

    async def told(params):
        said.append({"told": params.data})
        await when_begun()

    opened = streamable_http_client(f"{url}/mcp") if transport == "http" else sse_client(f"{url}/sse")
    async with opened as (incoming, outgoing, *_), ClientSession(incoming, outgoing, logging_callback=told) as session:
        await session.initialize()
        for name in ["slow", "quick"]:
            answer = await asyncio.wait_for(session.call_tool(name, {}), LIMIT)
            said.append({"answer": answer.content[0].text})
    return [*said, {"end": True}]


# The older transport of the Python SDK does not come back, with or without a gateway.
@pytest.mark.parametrize("transport, is_cut", [("http", True), ("sse", False)])
@pytest.mark.parametrize("language", SERVERS)
def test_the_python_client_goes_on(servers, gateway, cutter, language, transport, is_cut):
    server = servers(language)
    before = calls(server)
    own = gateway(server, "--preset", "mcp", "--heartbeat", "50ms", "--retry", "100ms")
    cut = cutter(own)

    async def cut_and_go():
        if is_cut:
            assert cut.cut() >= 1
        async with httpx.AsyncClient() as client:
            await client.post(f"{server.url}/go")

    assert asyncio.run(called(transport, cut.url, cut_and_go)) == CALLED
    assert calls(server) == before + 1


@pytest.mark.parametrize("transport", ["http", "sse"])
@pytest.mark.parametrize("language", SERVERS)
def test_the_typescript_client_goes_on(servers, gateway, cutter, started, language, transport):
    server = servers(language)
    before = calls(server)
    own = gateway(server, "--preset", "mcp", "--heartbeat", "50ms", "--retry", "100ms")
    cut = cutter(own)
    client = started(Said("mcp_client.mjs", transport, cut.url))
    client.until({"told": "begun"})
    assert cut.cut() >= 1
    httpx.post(f"{server.url}/go")
    said = client.to_end()
    # It tells of the cut, and goes on.
    assert [line for line in said if "error" not in line] == CALLED, client.process.log
    assert calls(server) == before + 1
