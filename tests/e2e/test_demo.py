"""`sse-gateway demo`: the page, clicked as a visitor would, with a picture kept in tests/artifacts/demo.png."""

import re

import pytest
from harness import processes
from harness.wait import until


@pytest.fixture
def demo(started, browser):
    gateway = started(processes.Gateway("demo"))
    browser.driver.get(f"{gateway.url}/")
    return gateway


@pytest.fixture
def screen(browser):
    """`screen(width, height)`: what the page is shown on, in CSS pixels."""

    def set_size(width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    yield set_size
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture
def page(browser):
    class Page:
        def text(self, selector):
            return browser.js("return (document.querySelector(arguments[0])?.textContent ?? '').trim()", selector)

        def count(self, selector):
            return browser.js("return document.querySelectorAll(arguments[0]).length", selector)

        def colour(self, selector):
            return browser.js("return getComputedStyle(document.querySelector(arguments[0])).color", selector)

        def top(self, selector):
            return browser.js("return document.querySelector(arguments[0]).getBoundingClientRect().top", selector)

        def state(self):
            return self.text("#ready-state")

        def reconnects(self):
            digits = "".join(filter(str.isdigit, self.text("#reconnects")))
            return int(digits or 0)

        def click(self, name):
            button = browser.driver.find_element("id", name)
            browser.js("arguments[0].scrollIntoView({block: 'center'})", button)
            button.click()

        def until_state(self, wanted, limit=30):
            until(lambda: self.state() == wanted, f"the ready state to be {wanted}", limit)

        def until_more_events(self):
            def shown():
                # The list is bounded, so the last one is looked at, and not how many there are.
                return self.count("#events li") and self.text("#events li:last-child")

            before = shown()
            until(lambda: shown() and shown() != before, "another event")

    return Page()


def complaints(browser):
    """What the console shows, but for the connections that we cut ourselves and an icon nobody has."""
    expected = ("net::ERR_", "favicon", "Failed to load resource")
    return [
        entry["message"]
        for entry in browser.driver.get_log("browser")
        if entry["level"] == "SEVERE" and not any(part in entry["message"] for part in expected)
    ]


def test_the_clock_ticks_beside_its_raw_bytes(demo, page, browser):
    page.click("tab-wire")
    page.until_state("OPEN")
    page.until_more_events()
    assert page.text("#last-event-id")
    # It is the raw response's; the EventSource has one of its own, which it keeps to itself.
    assert browser.js("return document.querySelector('#reconnection-time').closest('section').contains(raw)")
    until(lambda: re.fullmatch(r"2 streams, [1-9]\d*\.\d events/s", page.text("#hop-gateway-says")), "what it hands on")
    for kind in ("comment", "id", "retry", "data"):
        until(lambda kind=kind: page.count(f"#raw .{kind}") > 0, f"a raw line of class {kind}")
    # One page, without any external file.
    names = browser.js("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith(demo.url) for name in names), names
    assert demo.metric("sse_streams_active") >= 1
    assert complaints(browser) == []


def test_the_wire_has_buttons_that_do_what_they_say(demo, page, browser):
    page.click("tab-wire")
    page.until_state("OPEN")
    page.until_more_events()
    for button in ("drop", "restart"):
        before = page.reconnects()
        page.click(button)
        until(lambda before=before: page.reconnects() > before, f"a reconnect after {button}")
        page.until_state("OPEN")
        page.until_more_events()

    page.click("close")
    page.until_state("CLOSED")
    # That was no accident.
    plain = page.colour("#figures")
    assert (page.colour("#ready-state"), page.colour("#about")) == (plain, plain)
    page.click("reopen")
    page.until_state("OPEN")
    page.until_more_events()

    browser.js("const s = document.querySelector('#stream'); s.value = 'notices'; s.onchange()")
    page.until_more_events()
    until(lambda: page.count("#raw .event") > 0, "a raw line of class event")

    before = page.reconnects()
    browser.js("""
        window.lines = [];
        page.source.addEventListener("error", () => lines.push($("about").textContent));
    """)
    page.click("drain")
    until(lambda: "A real drain ends the process" in page.text("#about"), "the drain's banner")
    until(lambda: page.reconnects() > before, "the drain to end the stream")
    assert "A real drain ends the process" in browser.js("return lines[0]"), "it stays when the stream ends"
    assert complaints(browser) == []


# ---- small screens


def test_nothing_wraps_and_nothing_moves_on_a_small_laptop(demo, page, browser, screen):
    screen(1280, 800)
    until_both_read(page)
    lists = page.top("#browser-a .news"), page.top("#browser-b .news")
    buttons = """
        const heads = [...document.querySelectorAll(".head")].filter(head => head.offsetParent);
        return heads.map(head => [...new Set([...head.querySelectorAll("button")].map(button => button.offsetTop))].length);
    """
    browser.driver.find_element("css selector", "#browser-a .cut").click()
    until(lambda: page.text("#browser-a .state") == "CONNECTING", "the EventSource to reconnect")
    assert browser.js(buttons) == [1, 1]
    assert (page.top("#browser-a .news"), page.top("#browser-b .news")) == lists

    page.click("tab-tokens")
    assert browser.js(buttons) == [1]

    page.click("tab-wire")
    page.until_state("OPEN")
    lists = page.top("#events"), page.top("#raw")
    assert lists[0] == lists[1]
    # The head of the raw pane has no buttons.
    assert browser.js(buttons) == [1, 0]
    page.click("drop")
    page.until_state("CONNECTING")
    assert browser.js(buttons) == [1, 0]
    assert (page.top("#events"), page.top("#raw")) == lists


def test_a_phone_shows_at_once_how_many_connections_there_are(demo, page, browser, screen):
    screen(390, 844)
    # A link to a tab is not to scroll past it.
    browser.driver.get("about:blank")
    browser.driver.get(f"{demo.url}/#share")
    until_both_read(page)
    figure = "return document.querySelector('.figure').getBoundingClientRect()"
    assert browser.js(figure)["top"] > 0
    assert browser.js(figure)["bottom"] < browser.js("return innerHeight")
    assert browser.js("return document.documentElement.scrollWidth") == 390


# ---- one stream for all


def tally(page, letter):
    """What a browser of the page has counted."""
    names = ("received", "lost", "twice", "again", "connections")
    return {name: int(page.text(f"#browser-{letter} .{name} dd") or 0) for name in names}


def until_received(page, letter, more):
    wanted = tally(page, letter)["received"] + more
    until(lambda: tally(page, letter)["received"] >= wanted, f"{more} more events for browser {letter}")


def until_both_read(page):
    for letter in "ab":
        until(lambda letter=letter: tally(page, letter)["received"] > 1, f"news for browser {letter}")
    until(lambda: (page.text("#connections"), page.text("#clients")) == ("1", "2"), "two clients on one connection")


def test_a_restart_of_the_upstream_is_not_seen_by_the_browsers(demo, page, browser):
    until_both_read(page)
    browser.js("""
        window.left = [];
        for (const browser of browsers) browser.source.addEventListener("error", () => left.push(browser.client));
    """)
    page.click("restart")
    until(lambda: page.text("#hop-upstream-says") == "restarting", "the upstream to be gone")
    until(lambda: page.count("#requests li") == 2, "the upstream to be asked again")
    assert "Last-Event-ID: " in page.text("#requests li:last-child")
    for letter in "ab":
        until(lambda letter=letter: page.count(f"#browser-{letter} .late") > 0, "what was made meanwhile")
        until_received(page, letter, 2)
        counted = tally(page, letter)
        assert (counted["lost"], counted["twice"], counted["connections"]) == (0, 0, 1), counted
        assert page.text(f"#browser-{letter} .state") == "OPEN"
        # In all that time there was something to hear.
        assert "heartbeats" in page.text(f"#browser-{letter} .note")
    assert browser.js("return window.left") == []
    until(lambda: (page.text("#connections"), page.text("#clients")) == ("1", "2"), "two clients on one connection")


def test_a_browser_whose_connection_is_cut_gets_what_it_missed(demo, page, browser):
    until_both_read(page)
    other = tally(page, "b")
    button = browser.driver.find_element("css selector", "#browser-a .cut")
    button.click()
    until(lambda: page.text("#browser-a .state") != "OPEN", "the connection to be lost")
    until(lambda: tally(page, "a")["connections"] == 2, "the EventSource to come back by itself")
    until(lambda: page.count("#browser-a .replayed") > 0, "events that are marked as replayed")
    until_received(page, "a", 2)
    for letter, connections in (("a", 2), ("b", 1)):
        counted = tally(page, letter)
        assert (counted["lost"], counted["twice"], counted["connections"]) == (0, 0, connections), counted
    assert tally(page, "a")["again"] == page.count("#browser-a .replayed")
    assert page.count("#browser-b .replayed") == 0
    assert tally(page, "b")["received"] > other["received"]
    assert page.count("#requests li") == 1, "the upstream has not noticed"
    assert demo.metric("sse_replayed_events_total") >= tally(page, "a")["again"]

    processes.ARTIFACTS.mkdir(parents=True, exist_ok=True)
    picture = processes.ARTIFACTS / "demo.png"
    picture.unlink(missing_ok=True)
    assert browser.driver.save_screenshot(str(picture))
    assert picture.stat().st_size > 10_000
    assert complaints(browser) == []


# ---- tokens


def test_an_answer_that_is_cut_goes_on_where_it_was(demo, page, browser):
    page.click("tab-tokens")
    page.click("ask-again")
    until(lambda: page.text("#answer-state") == "done", "a whole answer")
    whole = browser.js("return [...document.querySelectorAll('#answer .token')].map(token => token.textContent).join('')")
    before = page.count("#requests li")

    page.click("cut-tokens")
    until(lambda: page.count("#answer .mark") > 0, "the cut")
    until(lambda: page.text("#answer-state") == "done", "the whole answer")
    again = browser.js("return [...document.querySelectorAll('#answer .token')].map(token => token.textContent).join('')")
    assert again == whole
    assert page.count("#answer .replayed") > 0
    until(lambda: page.text("#tokens-tally .requests dd") == "1", "one request to the upstream")
    assert page.count("#requests li") == before + 1
    tokens = page.count("#answer .token")
    assert page.text("#tokens-tally .tokens dd") == f"1–{tokens}"
    for name, number in (("lost", "0"), ("twice", "0"), ("resumed", "1")):
        assert page.text(f"#tokens-tally .{name} dd") == number, name
    # What is shown is what was run.
    assert page.text("#code-text") == page.text("#resume-source")
    assert complaints(browser) == []


def test_the_demo_ends_on_a_signal(demo, page):
    until(lambda: page.text("#browser-a .state") == "OPEN", "an open stream")
    code, _ = demo.drained()
    assert code == 0
