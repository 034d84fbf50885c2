"""Answers that come at once, to a client that reads as fast as it can: all of it arrives."""

import subprocess

import pytest
from harness import processes

TRIES = 20


def read_by_curl(url, method, events):
    """The data of the events that came until the last one, or the end."""
    command = ["curl", "--silent", "--no-buffer", "--max-time", "60", "--header", "Accept: text/event-stream"]
    if method == "POST":
        command += ["--data", '{"prompt": "all at once"}']
    seen = []
    with subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True) as curl:
        for line in curl.stdout:
            if line.startswith(("data: ", "event: ")):
                seen.append(line.strip())
            if seen[-1:] == [f"data: {events - 1}"]:
                curl.kill()
    return seen


@pytest.mark.timeout(300)
@pytest.mark.parametrize("events", [1500, 5000, 20_000])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("mode", ["share", "resume"])
@pytest.mark.parametrize("history", [None, 100])
def test_a_burst_arrives_whole(gateway, started, mode, method, events, history):
    upstream = started(processes.script("burst_upstream"))
    flags = ["--share", "on, body"] if mode == "share" else ["--resume", "on"]
    if history:
        flags += ["--history-events", history]
    own = gateway(upstream, *flags)
    # A stream that is shared by GET is asked for again at its end.
    then = "stay" if (mode, method) == ("share", "GET") else "end"
    expected = [f"data: {number}" for number in range(events)]
    for attempt in range(TRIES):
        seen = read_by_curl(f"{own.url}/{then}/{events}/{attempt}", method, events)
        assert seen == expected, f"try {attempt}: {len(seen)} of {events}"
