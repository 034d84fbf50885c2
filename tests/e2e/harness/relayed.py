"""Clients that come back after each cut, each in its own way, and the cuts."""

import json
import random
import subprocess
import threading
import time

from harness import processes
from harness.browser import Browser
from harness.rawhttp import RawResponse
from harness.wait import until


class Cuts(threading.Thread):
    """Cuts a connection `times` times, at moments that `seed` decides."""

    def __init__(self, cutter, times, seed):
        super().__init__(daemon=True)
        self.cutter, self.times, self.random = cutter, times, random.Random(seed)
        self.done = 0

    def run(self):
        while self.done < self.times:
            time.sleep(self.random.uniform(0.05, 0.7))
            self.done += self.cutter.cut() > 0


class Raw(threading.Thread):
    """Sockets and the event stream format, nothing else. Asks for the rest with the id of the last whole event."""

    def __init__(self, base, path):
        super().__init__(daemon=True)
        self.url, self.received, self.opened, self.left = base + path, [], 0, False
        self.start()

    def run(self):
        while not self.left:
            headers = {"Last-Event-ID": self.received[-1].id} if self.received else {}
            before = list(self.received)
            try:
                with RawResponse(self.url, headers=headers) as response:
                    while not (self.left or response.ended):
                        response.pump(0.2)
                        self.received = before + response.reading.events
                    self.opened += response.status == 200
            except OSError:
                pass
            time.sleep(0.05)

    def count(self):
        return len(self.received)

    def events(self):
        return [(event.type, event.data) for event in self.received]

    def opens(self):
        return self.opened

    def leave(self):
        self.left = True
        self.join()


class Node:
    """The `eventsource` package."""

    def __init__(self, base, path):
        command = ["node", processes.E2E / "node" / "client.mjs", processes.NODE_PACKAGES, base + path, "stream-gap"]
        self.process = processes.Process("node", command, stdin=subprocess.PIPE)

    def _said(self, kind):
        entries = [json.loads(line) for line in self.process.log.split("\n")[:-1] if line.startswith("{")]
        return [entry for entry in entries if entry["kind"] == kind]

    def count(self):
        return self.process.log.count('"kind":"event"')

    def events(self):
        return [(event["type"], event["data"]) for event in self._said("event")]

    def opens(self):
        return len(self._said("open"))

    def leave(self):
        self.process.process.stdin.close()
        assert self.process.wait() == 0

    def stop(self):
        self.process.stop()


class Chromium:
    """The page's `EventSource`, in a browser of its own."""

    def __init__(self, base, path):
        self.browser = Browser().__enter__()
        self.browser.open(base, path, types="stream-gap")

    def count(self):
        return self.browser.js("return entries.filter(entry => entry.kind == 'event').length")

    def events(self):
        return [(event["type"], event["data"]) for event in self.browser.entries("event")]

    def opens(self):
        return len(self.browser.entries("open"))

    def leave(self):
        self.browser.js("source.close()")

    def stop(self):
        self.browser.__exit__()


def until_cut_and_full(clients, cuts, events, limit):
    def full():
        return all(cut.done == cut.times for cut in cuts) and all(client.count() >= events for client in clients)

    def seen():
        return [cut.done for cut in cuts], [client.count() for client in clients]

    try:
        until(full, f"{events} events and all cuts", limit, every=0.3)
    except AssertionError as error:
        raise AssertionError(f"{error}; cuts and events: {seen()}") from None
