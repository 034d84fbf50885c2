"""What an upstream saw: one entry a request, kept in the process and read by the tests at `/log?key=…`.

Each app runs in one worker process, so that one list holds it all. The key is what a test put in the query
(`user_id`, `token` or `key`), so tests can share an upstream.
"""

import threading
import time
from pathlib import Path

PAGE = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
CHINESE = "你好，世界"


class RequestLog:
    def __init__(self):
        self._lock = threading.Lock()
        self._entries = []

    def open(self, query, headers):
        """`query` and `headers` are mappings; header names may be in any case."""
        headers = {name.lower(): value for name, value in dict(headers).items()}
        entry = {
            "key": query.get("user_id") or query.get("token") or query.get("key"),
            "last_event_id": headers.get("last-event-id"),
            "headers": headers,
            "opened": time.time(),
            "closed": None,
        }
        with self._lock:
            self._entries.append(entry)
        return entry

    @staticmethod
    def close(entry):
        entry["closed"] = time.time()

    def of(self, key):
        with self._lock:
            return [dict(entry) for entry in self._entries if entry["key"] == key]


def resume_from(last_event_id):
    """The number of the first event to send to a client that has seen `last_event_id`."""
    return int(last_event_id) + 1 if last_event_id and last_event_id.isdigit() else 1
