"""Waiting for conditions: generous limits, and an error that says what was seen last."""

import time

GENEROUS = 30.0


def until(condition, what, limit=GENEROUS, every=0.05):
    """Polls until `condition()` is truthy and returns that. An exception in it counts as not yet."""
    end = time.monotonic() + limit
    seen = None
    while True:
        try:
            seen = condition()
            if seen:
                return seen
        except Exception as error:  # noqa: BLE001  (shown if it stays)
            seen = error
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit:g} s for {what}; last seen: {seen!r}")
        time.sleep(every)
