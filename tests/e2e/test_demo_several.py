"""`sse-gateway demo --store`: two gateways, one of which is killed, with a picture in tests/artifacts/demo-several.png."""

import subprocess

import pytest
from harness import processes
from harness.redis import Redis
from harness.wait import until


@pytest.fixture
def demo(started):
    redis = started(Redis())
    return started(processes.Gateway("demo", "--store", redis.url))


class Page:
    def __init__(self, browser):
        self.browser = browser

    def text(self, selector):
        script = "return (document.querySelector(arguments[0])?.textContent ?? '').trim()"
        return self.browser.js(script, selector)

    def click(self, selector):
        self.browser.driver.find_element("css selector", selector).click()

    def tally(self, letter):
        names = ("received", "lost", "twice", "connections")
        return {name: int(self.text(f"#browser-{letter} .{name} dd") or 0) for name in names}

    def owner(self):
        """The number of the gateway that reads the upstream, as a list."""
        return [number for number in (0, 1) if self.text(f"#node-{number} .state") == "reads the upstream"]

    def until_both_receive(self, more):
        for letter in "cd":
            wanted = self.tally(letter)["received"] + more
            until(lambda letter=letter, n=wanted: self.tally(letter)["received"] >= n, f"{more} events for {letter}")


def test_a_gateway_is_killed_and_the_other_goes_on(demo, browser):
    browser.driver.get(f"{demo.url}/#several")
    page = Page(browser)
    page.until_both_receive(1)
    (owner,) = until(page.owner, "an owner")
    page.click(f"#node-{owner} .kill")
    until(lambda: page.text(f"#node-{owner} .state") == "killed", "it to be killed")
    until(lambda: page.owner() == [1 - owner], "the other one to go on")
    page.until_both_receive(3)
    processes.ARTIFACTS.mkdir(parents=True, exist_ok=True)
    assert browser.driver.save_screenshot(str(processes.ARTIFACTS / "demo-several.png"))
    page.click(f"#node-{owner} .begin")
    # Browsers hop by themselves, so it has clients again.
    until(lambda: "serves" in page.text(f"#node-{owner} .serves"), "a browser to come to it")
    until(lambda: page.text(f"#node-{owner} .state") == "follows", "it to follow")
    for letter in "cd":
        # Who was not at the gateway that was killed comes back when it hops for the first time.
        until(lambda letter=letter: page.tally(letter)["connections"] > 1, f"{letter} to come back")
        page.until_both_receive(1)
        tally = page.tally(letter)
        assert (tally["lost"], tally["twice"]) == (0, 0), tally
    until(lambda: page.text("#connections") == "1", "one connection to the upstream")
    complaints = [entry["message"] for entry in browser.driver.get_log("browser") if "Content Security" in entry["message"]]
    assert complaints == []


def test_with_both_killed_browsers_come_back_once_one_is_there(demo, browser):
    browser.driver.get(f"{demo.url}/#several")
    page = Page(browser)
    page.until_both_receive(2)
    for number in (0, 1):
        page.click(f"#node-{number} .kill")
        until(lambda number=number: page.text(f"#node-{number} .state") == "killed", "it to be killed")
    page.click("#node-1 .begin")
    page.until_both_receive(2)
    for letter in "cd":
        tally = page.tally(letter)
        assert (tally["lost"], tally["twice"]) == (0, 0), tally


def test_the_demo_says_how_to_start_a_store_that_is_not_there():
    url = f"redis://127.0.0.1:{processes.free_port()}"
    done = subprocess.run(
        [processes.gateway_binary(), "demo", "--store", url, "--listen", "127.0.0.1:0", "--admin-listen", "off"],
        capture_output=True, text=True, timeout=30, env=processes.inherited(),
    )  # fmt: skip
    assert done.returncode == 2
    assert "sse-gateway: --store: " in done.stderr and "start one with `redis-server`, or `docker run" in done.stderr
