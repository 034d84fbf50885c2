"""`sse-gateway demo`: the page, clicked as a visitor would, with a picture kept in tests/artifacts/demo.png."""

import pytest
from harness import processes
from harness.wait import until


@pytest.fixture
def demo(started, browser):
    gateway = started(processes.Gateway("demo"))
    browser.driver.get(f"{gateway.url}/")
    return gateway


@pytest.fixture
def page(browser):
    class Page:
        def text(self, selector):
            return browser.js("return (document.querySelector(arguments[0])?.textContent ?? '').trim()", selector)

        def count(self, selector):
            return browser.js("return document.querySelectorAll(arguments[0]).length", selector)

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
    page.until_state("OPEN")
    page.until_more_events()
    assert page.text("#last-event-id")
    for kind in ("comment", "id", "retry", "data"):
        until(lambda kind=kind: page.count(f"#raw .{kind}") > 0, f"a raw line of class {kind}")
    # One page, without any external file.
    names = browser.js("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith(demo.url) for name in names), names
    assert demo.metric("sse_streams_active") >= 1
    assert complaints(browser) == []


def test_every_button_and_tab_does_what_it_says(demo, page, browser):
    page.until_state("OPEN")
    page.until_more_events()
    before = page.reconnects()

    page.click("cut")
    until(lambda: page.reconnects() > before, "a reconnect after the cut")
    page.until_state("OPEN")
    page.until_more_events()
    before = page.reconnects()

    page.click("restart")
    until(lambda: page.reconnects() > before, "a reconnect after the upstream's restart")
    page.until_state("OPEN")
    page.until_more_events()

    page.click("close")
    page.until_state("CLOSED")
    page.click("reopen")
    page.until_state("OPEN")
    page.until_more_events()

    page.click("tab-notices")
    page.until_more_events()
    until(lambda: page.count("#raw .event") > 0, "a raw line of class event")

    page.click("tab-tokens")
    until(lambda: page.text("#answer"), "the first token")
    until(lambda: "[DONE]" in page.text("#raw"), "the end of the answer")

    page.click("tab-clock")
    page.until_state("OPEN")
    page.until_more_events()
    until(lambda: page.count("#raw .data") > 5, "a picture worth keeping")
    processes.ARTIFACTS.mkdir(parents=True, exist_ok=True)
    picture = processes.ARTIFACTS / "demo.png"
    picture.unlink(missing_ok=True)
    assert browser.driver.save_screenshot(str(picture))
    assert picture.stat().st_size > 10_000

    before = page.reconnects()
    page.click("drain")
    until(
        lambda: page.reconnects() > before or page.state() != "OPEN" or not demo.running(),
        "the drain to end the stream",
    )
    assert complaints(browser) == []


def test_the_demo_ends_on_a_signal(demo, page):
    page.until_state("OPEN")
    code, _ = demo.drained()
    assert code == 0
