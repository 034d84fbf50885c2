"""The wheel: built, installed where there is nothing else, and run."""

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest
from harness import processes


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder():
    """Not one of pytest's own, which it would keep with all that is installed into it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


# Seconds, unless it has to be compiled with other features than it was.
@pytest.mark.timeout(900)
def test_pip_installs_the_program(folder):
    # The profile and features of `tests/run`, so that all is compiled already. Not stripped, which would be another program.
    run(
        Path(sys.executable).parent / "maturin", "build", "--profile", "dev", "--all-features", "--strip", "false",
        "--compatibility", "linux", "--manifest-path", processes.ROOT / "sse-gateway" / "Cargo.toml", "--out", folder,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    run(programs / "python", "-m", "pip", "install", "--no-index", "--disable-pip-version-check", wheel)
    said = run(programs / "sse-gateway", "--version")
    assert re.fullmatch(rf"sse_gateway-{said.split()[1]}-py3-none-linux_\w+\.whl", wheel.name)
    assert said == run(processes.gateway_binary(), "--version")
