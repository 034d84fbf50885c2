"""Clients that ask one question after the other by POST, and the verdict on what they are given."""

import json
import random
import re
import subprocess
import threading
import time
from collections import Counter

from harness import processes
from harness.numbers import GAP
from harness.rawhttp import RawResponse

DONE = "[DONE]"


class Answered:
    """An answer comes whole, or is told to be broken off. It comes from the first number on, each once and in order."""

    def __init__(self, name):
        self.name, self.gaps, self.wrong, self.ends = name, 0, [], Counter()
        # Where those ended that were broken off.
        self.broken = []
        # Answers of which there is something, and the question that was asked last.
        self.question, self.begun = None, 0
        self._count, self._last, self._is_told, self._is_done = 0, 0, False, False

    def ask(self, question, count):
        self.question, self._count, self._last, self._is_told, self._is_done = question, count, 0, False, False

    def take(self, kind, data):
        if self._is_told or self._is_done:
            self._fails(f"{data!r} behind the end")
        elif kind == GAP:
            self._is_told = True
            self.gaps += 1
            self.broken.append(f"{self.question} behind {self._last} of {self._count} at {time.time():.3f}")
        elif data == DONE:
            self._is_done = True
            if self._last != self._count:
                self._fails(f"the end behind {self._last} of {self._count}")
        else:
            if int(data) != self._last + 1:
                self._fails(f"{data} behind {self._last}")
            self._last = int(data)
            self.begun += self._last == 1

    @property
    def is_waiting(self):
        """For the first of an answer."""
        return self._last == 0

    def end(self, how):
        """Done, broken off behind a gap, or unanswered, where there never was an id to come back with. A status is none of these."""
        if how not in ("done", "broken off", "unanswered"):
            self._fails(f"it ends behind {self._last} of {self._count} with {how}")
        self.ends[how] += 1

    def _fails(self, what):
        self.wrong.append(f"{self.name}, {self.question}: {what}")


class NodeAsker:
    """A package of npm with an `EventSource` that can POST."""

    def __init__(self, url, name):
        command = ["node", processes.E2E / "node" / "ask.mjs", processes.NODE_PACKAGES, url, name, GAP]
        self.process = processes.Process(name, command, stdin=subprocess.PIPE)
        self.verdict = Answered(f"{name} at {url}")
        self._log = self.process.log_path.open("rb")
        self._rest = b""

    def look(self):
        assert self.process.running(), f"{self.verdict.name} ended: {self.process.log[-2000:]}"
        *lines, self._rest = (self._rest + self._log.read()).split(b"\n")
        for line in lines:
            what, *words = json.loads(line)
            {"asks": self.verdict.ask, "takes": self.verdict.take, "ends": self.verdict.end}[what](*words)

    def stop(self):
        self._log.close()
        self.process.stop()


class HoppingAsker(threading.Thread):
    """Sockets and the event stream format. It leaves in the middle of an answer, and comes back with the last event ID."""

    def __init__(self, url, name):
        super().__init__(daemon=True)
        self.url, self.random, self.left = url, random.Random(name), False
        self.asker, self.verdict = name, Answered(f"{name} at {url}")
        self.start()

    def run(self):
        number = 0
        while not self.left:
            question, count = f"{self.asker}-{number}", self.random.randrange(10, 60)
            self.verdict.ask(question, count)
            if how := self._read(f"{question} {count}".encode()):
                self.verdict.end(how)
            number += 1

    def _read(self, body):
        """How the answer ended, unless the client has to stop."""
        last_id = None
        while not self.left:
            wanted, had = self.random.randrange(1, 20), 0
            headers = {"Last-Event-ID": last_id} if last_id else {}
            try:
                with RawResponse(self.url, "POST", headers, body) as response:
                    while had < wanted and not (self.left or response.ended):
                        response.pump(0.2)
                        for event in response.reading.events[had:]:
                            self.verdict.take(event.type, event.data)
                            last_id = event.id or last_id
                            had += 1
                            if event.type == GAP:
                                return "broken off"
                            if event.data == DONE:
                                return "done"
                    if response.ended and response.status and response.status != 200 and response.status < 500:
                        return f"status {response.status}"
            except OSError:
                pass
            time.sleep(0.03)
            if last_id is None:
                return "unanswered"
        return None

    def look(self):
        assert self.is_alive(), f"{self.verdict.name} has ended"

    def stop(self):
        self.left = True
        self.join()


def asked_more_than_once(upstream):
    """Questions that the upstream was asked again."""
    times = Counter(re.findall(r"^POST (\S+)$", upstream.log, re.MULTILINE))
    return [question for question, number in times.items() if number > 1]
