"""Fixtures: upstreams, gateways and the browser.

Upstreams and the gateways with the common flags start once a session, on first use; a test that kills, drains or
configures one starts its own. What is missing is a failure, never a skip: `tests/setup` installs it all.
"""

import os
import resource
import shutil
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
# Everything is on loopback.
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
# Thousands of streams: two descriptors each in the gateway, inherited by what is started here.
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(65536, hard) if hard != resource.RLIM_INFINITY else 65536, hard))

import pytest  # noqa: E402

from harness import processes  # noqa: E402
from harness.browser import Browser  # noqa: E402
from harness.cutter import Cutter  # noqa: E402

# Fast enough for tests, slow enough to be told apart.
COMMON = ["--heartbeat", "1s", "--retry", "700ms", "--retry-jitter", "0"]


# ---- upstreams


def upstream(start):
    @pytest.fixture(scope="session")
    def fixture():
        with start() as server:
            yield server

    return fixture


flask = upstream(lambda: processes.gunicorn("flask_app:app"))
django_wsgi = upstream(lambda: processes.gunicorn("django_app:wsgi"))
django_asgi = upstream(lambda: processes.uvicorn("django_app:asgi"))
drf = upstream(lambda: processes.gunicorn("drf_app:wsgi"))
starlette = upstream(lambda: processes.uvicorn("starlette_app:app"))
websocket_echo = upstream(lambda: processes.script("ws_echo"))


# ---- gateways


@pytest.fixture(scope="session")
def shared_gateway():
    """`shared_gateway(upstream)`: one with the common flags, for all tests that leave it as it was."""
    running = {}

    def get(server):
        if server.url not in running:
            running[server.url] = processes.Gateway("--upstream", server.url, *COMMON)
        return running[server.url]

    yield get
    for gateway in running.values():
        gateway.stop()


@pytest.fixture
def gateway():
    """`gateway(upstream, *flags)`: one of the test's own, with the common flags but for those given."""
    started = []

    def start(server, *flags, **options):
        common = dict(zip(COMMON[::2], COMMON[1::2], strict=True))
        flags = [str(flag) for flag in flags]
        common.update(zip(flags[::2], flags[1::2], strict=True))
        target = server if isinstance(server, str) else server.url
        arguments = [part for pair in common.items() for part in pair]
        started.append(processes.Gateway("--upstream", target, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def cutter():
    """`cutter(server)`: a TCP proxy before it."""
    started = []

    def start(server):
        started.append(Cutter(server.address))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def started():
    """`started(process)`: ended with the test."""
    held = []

    def hold(process):
        held.append(process)
        return process

    yield hold
    for process in held:
        process.stop()


@pytest.fixture
def key():
    """What this test's requests are known by at the upstream."""
    return f"good-{uuid.uuid4().hex[:12]}"


# ---- the browser


@pytest.fixture(scope="session")
def chromium():
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    yield chromium
    chromium.leave()


# ---- what the children said, when a test fails


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    item.log_sizes = {process: process.log_path.stat().st_size for process in processes.everything}
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if not report.failed:
        return
    for process in processes.everything:
        with process.log_path.open("rb") as log:
            log.seek(item.log_sizes.get(process, 0))
            said = log.read().decode("utf-8", errors="replace")
        if said:
            state = "running" if process.running() else f"ended with {process.process.returncode}"
            report.sections.append((f"{process.name} ({state}), {process.log_path}", said[-6000:]))


def pytest_unconfigure():
    for process in processes.everything:
        process.stop()
    # The logs of a run that failed stay; those of one that passed need not.
    if getattr(pytest_sessionfinish, "passed", False):
        shutil.rmtree(processes.LOGS, ignore_errors=True)
    else:
        print(f"logs of the child processes: {processes.LOGS}", file=sys.stderr)


def pytest_sessionfinish(exitstatus):
    pytest_sessionfinish.passed = exitstatus == 0
