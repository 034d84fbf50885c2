"""Clients of a stream of numbers, each of which writes down what it was given, and the verdict on that."""

import json
import random
import subprocess
import threading
import time
from urllib.parse import urlsplit

from harness import processes
from harness.browser import Browser
from harness.rawhttp import RawResponse

GAP = "stream-gap"


class Verdict:
    """Each number comes once and in order, or behind an event that tells of a gap."""

    def __init__(self, client, path):
        self.name, self.path = f"{client} at {path}", path
        self.last, self.told, self.gaps, self.wrong = None, False, 0, []
        # Of which gaps it was told, and when.
        self.notices = []

    def take(self, kind, data):
        if kind == GAP:
            self.told = True
            self.gaps += 1
            self.notices.append(f"{self.name}: a gap behind {self.last}, at {time.time():.3f}")
            return
        number = int(data.split(" ")[0])
        follows = self.last is None or number == self.last + 1 or (self.told and number > self.last)
        if not follows:
            self.wrong.append(f"{self.name}: {number} behind {self.last}{' and a gap' if self.told else ''}")
        self.last, self.told = number, False


class Node:
    """A package of npm that has an `EventSource`."""

    def __init__(self, package, url):
        command = ["node", processes.E2E / "node" / "client.mjs", processes.NODE_PACKAGES, url, GAP]
        self.process = processes.Process(package, command, env={"CLIENT": package}, stdin=subprocess.PIPE)
        self.verdict = Verdict(package, urlsplit(url).path)
        self._log = self.process.log_path.open("rb")
        self._rest = b""

    def look(self):
        assert self.process.running(), f"{self.verdict.name} ended: {self.process.log[-2000:]}"
        *lines, self._rest = (self._rest + self._log.read()).split(b"\n")
        for line in lines:
            entry = json.loads(line)
            if entry["kind"] == "event":
                self.verdict.take(entry["type"], entry["data"])

    def stop(self):
        self._log.close()
        self.process.stop()


class Chromium:
    """The `EventSource` of a page, one for each path."""

    CONNECT = f"""
        window.entries = []
        window.sources = arguments[0].map((path, at) => {{
            const source = new EventSource(path)
            for (const type of ['message', '{GAP}'])
                source.addEventListener(type, (event) => entries.push([at, event.type, event.data]))
            return source
        }})
    """

    def __init__(self, base, paths):
        self.paths = paths
        self.verdicts = [Verdict("chromium", path) for path in paths]
        self.browser = Browser().__enter__()
        self.browser.driver.get(f"{base}/page")
        self.browser.js(self.CONNECT, paths)

    def look(self):
        entries, states = self.browser.js("return [entries.splice(0), sources.map((source) => source.readyState)]")
        for at, kind, data in entries:
            self.verdicts[at].take(kind, data)
        assert 2 not in states, f"chromium has given up: {dict(zip(self.paths, states, strict=True))}"

    def stop(self):
        self.browser.__exit__()


class Hopper(threading.Thread):
    """Sockets and the event stream format. It leaves after a few events, and comes back with the last event ID."""

    def __init__(self, url, seed):
        super().__init__(daemon=True)
        self.url, self.random = url, random.Random(seed)
        self.verdict = Verdict(f"hopper {seed}", urlsplit(url).path)
        self.last_id, self.left = None, False
        self.start()

    def run(self):
        while not self.left:
            headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
            wanted, had = self.random.randrange(1, 40), 0
            try:
                with RawResponse(self.url, headers=headers) as response:
                    while had < wanted and not (self.left or response.ended):
                        response.pump(0.2)
                        for event in response.reading.events[had:]:
                            self.verdict.take(event.type, event.data)
                            self.last_id = event.id or self.last_id
                            had += 1
            except OSError:
                pass
            time.sleep(0.03)

    def look(self):
        assert self.is_alive(), f"{self.verdict.name} has ended"

    def stop(self):
        self.left = True
        self.join()

