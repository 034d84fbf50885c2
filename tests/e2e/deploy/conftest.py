"""What several of these tests ask."""

import re
import subprocess

import pytest
from harness import processes


def default(flag):
    """The default of a flag, in seconds."""
    done = subprocess.run([processes.gateway_binary(), "--help"], capture_output=True, text=True, check=True, timeout=60)
    return float(re.search(rf"{flag} <TIME>\n.*\[default: (\d+)s\]", done.stdout)[1])


@pytest.fixture(scope="session")
def drain_deadline():
    return default("--drain-deadline")


@pytest.fixture(scope="session")
def drain_window():
    return default("--drain-window")
