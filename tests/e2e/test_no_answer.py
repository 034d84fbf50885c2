"""An upstream that is away: `EventSource` on it directly comes back by itself, and so it does behind the gateway."""

import re
import time

import pytest
from harness import processes
from harness.nginx import nginx
from harness.wait import until

CLOSED = 2
# The reconnection time, as the upstream and the gateways say it, and a second.
WITHIN = 0.7 + 1
# For a machine that is busy.
SLACK = 3

# What the upstream sends. The half of one that is on its way when it is killed is none.
WHOLE = re.compile(r"\d+ (\d+|half of \d+)")

CONNECT = """
    window.seen = {}
    for (const [name, url] of Object.entries(arguments[0])) {
        const source = new EventSource(url)
        const of = window.seen[name] = { source, events: [], closed: false }
        source.onmessage = (event) => of.events.push([Date.now() / 1000, event.data])
        source.onerror = () => { of.closed ||= source.readyState == 2 }
    }
"""
EVENTS = "return Object.fromEntries(Object.entries(seen).map(([name, of]) => [name, of.events]))"
STATES = "return Object.fromEntries(Object.entries(seen).map(([name, of]) => [name, of.source.readyState]))"

ROUTES = {
    "plain": [],
    "share": ["--share", "on"],
    "resume": ["--resume", "on"],
}


@pytest.fixture
def upstream(started):
    """`upstream()`: starts it, at first or again, on the same port."""
    port = processes.free_port()

    def start():
        return started(processes.script("away_upstream", port=port))

    start.url = f"http://127.0.0.1:{port}"
    return start


@pytest.fixture
def with_page(gateway, starlette, tmp_path):
    """`with_page(upstream, *flags)`: a gateway whose page comes from elsewhere, as from a server of its own."""

    def start(upstream, *flags):
        config = tmp_path / f"{'-'.join(flags)}.toml".replace("/", "")
        config.write_text(f"[[route]]\npath = '/page'\nupstream = '{starlette.url}'\n")
        return gateway(upstream.url, "--config", config, *flags)

    return start


def pids(browser, name):
    return {data.split()[0] for _, data in browser.js(EVENTS)[name]}


def assert_all_are_back(browser, upstream, limit=WITHIN + SLACK):
    """Starts the upstream, and waits for an event of this start at each of the page's sources."""
    running = upstream()
    back, pid = time.time(), str(running.pid)
    names = browser.js(STATES)

    def all_back():
        return all(pid in pids(browser, name) for name in names)

    try:
        until(all_back, "events after the upstream is back", limit=30)
    except AssertionError as error:
        raise AssertionError(f"{error}; states: {browser.js(STATES)}") from None
    for name, events in browser.js(EVENTS).items():
        first = next(at for at, data in events if data.startswith(pid))
        assert first - back < limit, f"{name}: {first - back:.1f} s"
        assert all(WHOLE.fullmatch(data) for _, data in events), events
    assert not browser.js("return Object.values(seen).some((of) => of.closed)")
    return running


@pytest.mark.parametrize("away", [8, 30])
def test_a_page_recovers_from_an_upstream_that_was_away(browser, starlette, upstream, gateway, away):
    running = upstream()
    urls = {name: gateway(upstream.url, *flags).url for name, flags in ROUTES.items()}
    browser.driver.get(f"{starlette.url}/page")
    browser.js(CONNECT, {"direct": upstream.url, **urls})
    until(lambda: all(len(events) >= 2 for events in browser.js(EVENTS).values()), "events at first")
    # In the middle of an event, as always.
    running.kill()
    time.sleep(away)
    assert_all_are_back(browser, upstream)


def test_a_page_recovers_from_an_upstream_that_is_not_there_at_the_start(browser, starlette, upstream, gateway):
    urls = {name: gateway(upstream.url, *flags).url for name, flags in ROUTES.items()}
    browser.driver.get(f"{starlette.url}/page")
    browser.js(CONNECT, {"direct": upstream.url, **urls})
    time.sleep(8)
    assert_all_are_back(browser, upstream)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("edge", [False, True], ids=["direct", "behind-nginx"])
def test_a_held_stream_survives_an_upstream_that_is_away(browser, started, upstream, with_page, route, edge):
    own = with_page(upstream, "--no-answer", "hold", *ROUTES[route])
    front = started(nginx(own.url)).url if edge else own.url
    browser.driver.get(f"{front}/page")
    browser.js(CONNECT, {"held": "/events"})
    # Open before the upstream is there.
    until(lambda: browser.js(STATES)["held"] == 1, "an open stream")
    running = assert_all_are_back(browser, upstream)
    running.kill()
    time.sleep(3)
    assert_all_are_back(browser, upstream)


def test_behind_an_edge_a_connection_that_closes_is_answered_by_the_edge(browser, started, upstream, with_page):
    """Why `hold` is said to be the one that helps there."""
    own = with_page(upstream)
    front = started(nginx(own.url)).url
    browser.driver.get(f"{front}/page")
    browser.js(CONNECT, {"closed": "/events"})
    until(lambda: browser.js(STATES)["closed"] == CLOSED, "the page to give up")


def test_a_page_of_another_origin_is_not_held_and_comes_back(browser, starlette, upstream, gateway):
    """A stream that is opened early has no `Access-Control-Allow-Origin`, at which a page of another origin gives up."""
    own = gateway(upstream.url, "--no-answer", "hold")
    browser.driver.get(f"{starlette.url}/page")
    browser.js(CONNECT, {"other": own.url})
    time.sleep(3)
    assert_all_are_back(browser, upstream)
