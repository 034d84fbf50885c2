"""Child processes: started in a group of their own, logged to a file, ended with the group."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from harness.wait import until

E2E = Path(__file__).resolve().parents[1]
ROOT = E2E.parents[1]
APPS = E2E / "apps"
NODE_PACKAGES = ROOT / "tests" / ".env" / "node"
ARTIFACTS = ROOT / "tests" / "artifacts"
LOGS = Path(tempfile.mkdtemp(prefix="sse-gateway-e2e-"))

# Every process of the run, for the report of a failed test.
everything = []


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def gateway_binary():
    return Path(os.environ.get("SSE_GATEWAY_BIN") or ROOT / "target" / "debug" / "sse-gateway").resolve()


def inherited():
    """The environment, less what would configure the gateway and its spans."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SSE_GATEWAY_", "OTEL_"))}


class Process:
    def __init__(self, name, command, cwd=None, env=None, stdin=None):
        self.name = name
        self.log_path = LOGS / f"{len(everything):03}-{name}.log"
        self._log = self.log_path.open("wb")
        self.process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env={**inherited(), "PYTHONUNBUFFERED": "1", **(env or {})},
            stdin=stdin if stdin is not None else subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        everything.append(self)

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def running(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, limit=30):
        """The exit code."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {limit:g} s; its log:\n{self.log[-3000:]}") from None

    def kill(self):
        """At once, with all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.running():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
        self.kill()
        self._log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Server(Process):
    """A process that listens on `port`; ready when it accepts."""

    def __init__(self, name, command, port, **options):
        super().__init__(name, command, **options)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.address = ("127.0.0.1", port)

    def ready(self):
        def accepts():
            if not self.running():
                return True
            socket.create_connection(self.address, timeout=1).close()
            return True

        until(accepts, f"{self.name} to listen")
        assert self.running(), f"{self.name} ended at its start:\n{self.log}"
        return self

    def seen(self, key):
        """The requests with this key, as the app logged them."""
        return httpx.get(f"{self.url}/log", params={"key": key}, timeout=20).raise_for_status().json()


def gunicorn(app, port=None):
    """`app` as `module:name`; a worker with threads, as people run Flask with streams: each stream holds a thread."""
    port = port or free_port()
    command = [
        sys.executable, "-m", "gunicorn", app, "--bind", f"127.0.0.1:{port}", "--workers", 1,
        "--worker-class", "gthread", "--threads", 64, "--timeout", 0, "--graceful-timeout", 1, "--keep-alive", 5,
        "--no-control-socket",
    ]  # fmt: skip
    return Server(f"gunicorn-{app.partition(':')[0]}", command, port, cwd=APPS).ready()


def uvicorn(app, port=None):
    port = port or free_port()
    command = [
        sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", port, "--lifespan", "off",
        "--timeout-graceful-shutdown", 1, "--log-level", "info",
    ]  # fmt: skip
    return Server(f"uvicorn-{app.partition(':')[0]}", command, port, cwd=APPS).ready()


def script(name, *arguments, port=None):
    """One of the apps that is a program of its own; its first argument is the port."""
    port = port or free_port()
    return Server(name, [sys.executable, APPS / f"{name}.py", port, *arguments], port, cwd=APPS).ready()


class Gateway(Process):
    """`sse-gateway` with `arguments`; ready when it says where it listens."""

    def __init__(self, *arguments, env=None, listen="127.0.0.1:0"):
        binary = gateway_binary()
        assert binary.exists(), f"no gateway at {binary}: build it, or say where it is with SSE_GATEWAY_BIN"
        arguments = [str(argument) for argument in arguments]
        self.command = [binary, *arguments, "--listen", listen, "--admin-listen", "127.0.0.1:0"]
        super().__init__("sse-gateway", self.command, env=env)

        def address(pattern):
            match = re.search(pattern + r" (https?://127\.0\.0\.1:\d+)", self.log)
            return match and match[1]

        def started():
            return not self.running() or (address("listening on") and address("admin on"))

        until(started, "the gateway to say where it listens")
        assert self.running(), f"the gateway ended at its start with {self.process.returncode}:\n{self.log}"
        self.url = address("listening on")
        self.admin = address("admin on")
        self.port = int(self.url.rpartition(":")[2])
        self.address = ("127.0.0.1", self.port)

    # ---- admin listener

    def metrics_text(self):
        return httpx.get(f"{self.admin}/metrics", timeout=20).raise_for_status().text

    def metric(self, name, **labels):
        """The sum over the series of `name` whose labels include these."""
        total = 0.0
        for line in self.metrics_text().splitlines():
            match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
            if not match or match[1] != name:
                continue
            series = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            if all(series.get(label) == value for label, value in labels.items()):
                total += float(match[3])
        return total

    def streams(self):
        """The streams open now, as `/streams` lists them."""
        listed = httpx.get(f"{self.admin}/streams", timeout=20).raise_for_status().json()
        return listed["streams"] if isinstance(listed, dict) else listed

    def relays(self):
        """The relays, as `/streams` lists them."""
        return httpx.get(f"{self.admin}/streams", timeout=20).raise_for_status().json()["relays"]

    def until_idle(self, limit=30):
        until(lambda: self.metric("sse_streams_active") == 0, "no stream to be active", limit)
        until(lambda: self.streams() == [], "no stream to be listed", limit)

    # ---- the process

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self):
        """What the process allocated, in bytes. Pages of files are left out: they come and go with other processes."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss_Anon:\s+(\d+) kB", rollup, re.MULTILINE)[1]) * 1024

    def resting_memory(self):
        """The least of `memory()` over the time in which the allocator gives back what is free.

        jemalloc lets pages age for ten seconds, and its thread may see so only when it looks the next time: nineteen seconds
        were seen, the last eight of them without a change.
        """
        least = self.memory()
        end = time.monotonic() + 25
        while time.monotonic() < end:
            time.sleep(0.5)
            least = min(least, self.memory())
        return least

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def terminate(self):
        self.signal(signal.SIGTERM)

    def drained(self):
        """SIGTERM, then the exit code and how long it took."""
        start = time.monotonic()
        self.terminate()
        return self.wait(60), time.monotonic() - start
