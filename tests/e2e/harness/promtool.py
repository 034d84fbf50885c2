"""The linter of Prometheus."""

import subprocess


def check(text):
    """Fails if it has something to say of these metrics."""
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, f"{done.stdout}{done.stderr}\n---\n{text}"
