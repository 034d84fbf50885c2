"""Pages of several origins, one shared route, and an upstream whose answer differs by `Origin`."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness import processes


class Handler(BaseHTTPRequestHandler):
    """Serves the page, and a stream that only a page of the origin which asked for it may read."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/page"):
            body = (processes.APPS / "page.html").read_bytes()
            self.head("text/html", {"Content-Length": len(body)})
            self.wfile.write(body)
            return
        if self.path != "/stream":
            self.send_error(404)
            return
        origin = self.headers["Origin"]
        self.server.asked.append(origin)
        allowed = {"Access-Control-Allow-Origin": origin} if origin else {}
        self.head("text/event-stream", {"Vary": "Origin", "Connection": "close", **allowed})
        number = 0
        with contextlib.suppress(OSError):
            while not self.server.ending.wait(0.1):
                number += 1
                self.wfile.write(f"data: for {origin}, {number}\n\n".encode())

    def head(self, media_type, fields):
        self.send_response(200)
        for name, value in {"Content-Type": media_type, **fields}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def site():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.asked, server.ending = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.ending.set()
        server.shutdown()


@pytest.fixture
def tabs(browser):
    """`tabs(origin, url)`: a page of the origin in a tab of its own, with an `EventSource` of the URL."""
    first = browser.driver.current_window_handle

    def open_in_new(origin, url):
        browser.driver.switch_to.new_window("tab")
        browser.open(origin, url)
        return browser.driver.current_window_handle

    yield open_in_new
    for handle in browser.driver.window_handles:
        if handle != first:
            browser.driver.switch_to.window(handle)
            browser.driver.close()
    browser.driver.switch_to.window(first)


@pytest.mark.parametrize("share", ["on", "host,path"])
def test_pages_of_two_origins_are_each_given_their_stream(browser, tabs, gateway, share):
    with site() as one, site() as other:
        own = gateway(one, "--share", share)
        opened = [(page.url, tabs(page.url, f"{own.url}/stream")) for page in (one, other, one)]
        for origin, handle in opened:
            browser.driver.switch_to.window(handle)
            events = browser.until_entries("event", 2)
            assert all(event["data"].startswith(f"for {origin}, ") for event in events), events
        asked = one.asked
        assert sorted(origin for origin in asked if origin) == sorted([one.url, other.url])
        # Where the key does not name the field, the upstream has to say once that it counts.
        assert asked.count(None) == (0 if share == "on" else 1)
