"""What a program of Node prints: one JSON object a line."""

import json

from harness import processes
from harness.wait import until


class Said:
    def __init__(self, script, *arguments):
        command = ["node", processes.E2E / "node" / script, processes.NODE_PACKAGES, *arguments]
        self.process = processes.Process(script.removesuffix(".mjs"), command)

    def lines(self):
        return [json.loads(line) for line in self.process.log.splitlines() if line.startswith("{")]

    def values(self, name):
        return [line[name] for line in self.lines() if name in line]

    def until(self, line):
        def is_there():
            assert line in self.lines() or self.process.running(), self.process.log
            return line in self.lines()

        until(is_there, f"{line} to be said")

    def to_end(self):
        self.process.wait(30)
        return self.lines()

    def stop(self):
        self.process.stop()
