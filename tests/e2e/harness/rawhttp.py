"""One HTTP/1 exchange over a plain socket: no client library to hide how the bytes came and how the response ended."""

import re
import select
import socket
import time
from urllib.parse import urlsplit

from harness import wire
from harness.wait import GENEROUS


class RawResponse:
    """A request, sent; then the response as it comes.

    `ended` is None while the response is open, then `"clean"` (last chunk, whole length, or close where that is the
    framing) or `"failed"` (anything else).
    """

    def __init__(self, url, method="GET", headers=(), body=None, version="1.1", limit=GENEROUS):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=limit)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = {"Host": parts.netloc, "Accept": "text/event-stream"}
        if body is not None:
            fields["Content-Length"] = str(len(body))
        fields.update(headers)
        head = f"{method} {target} HTTP/{version}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields.items()) + "\r\n"
        self.socket.sendall(head.encode() + (body or b""))
        self.received = b""
        self.body = b""
        self.status = None
        self.headers = {}
        self.ended = None
        self._framing = None
        self._left = 0
        self._eof = False

    # ---- reading

    def pump(self, seconds):
        """Takes in what comes within `seconds`; returns whether anything did, the end included."""
        if self.ended:
            return False
        readable, _, _ = select.select([self.socket], [], [], seconds)
        if not readable:
            return False
        try:
            piece = self.socket.recv(262144)
        except ConnectionError:
            piece = b""
        self._eof = piece == b""
        self.received += piece
        self._parse()
        return True

    def until(self, condition, what="the condition", limit=GENEROUS):
        """Reads until `condition(self)` is truthy and returns that."""
        end = time.monotonic() + limit
        while True:
            value = condition(self)
            if value:
                return value
            left = end - time.monotonic()
            if left <= 0 or self.ended:
                raise AssertionError(
                    f"{'the response ended' if self.ended else f'waited {limit:g} s'} before {what}: "
                    f"status {self.status}, ended {self.ended}, last bytes {self.body[-600:]!r}"
                )
            self.pump(min(left, 1))

    def head(self, limit=GENEROUS):
        self.until(lambda r: r.status, "the response head", limit)
        return self

    def to_end(self, limit=GENEROUS):
        self.until(lambda r: r.ended, "the end of the response", limit)
        return self

    def events(self, count, limit=GENEROUS):
        """The first `count` events dispatched."""
        self.until(lambda r: len(r.reading.events) >= count, f"{count} events", limit)
        return self.reading.events[:count]

    @property
    def reading(self):
        return wire.read(self.body)

    @property
    def text(self):
        return self.body.decode("utf-8", errors="replace")

    # ---- leaving

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- framing

    def _parse(self):
        while self.status is None and b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            first, *rest = head.decode("latin-1").split("\r\n")
            self.version, status = first.split(" ")[:2]
            if status == "100":
                continue
            self.status = int(status)
            self.headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in rest)}
            if self.status in (204, 304):
                self._framing, self._left = "length", 0
            elif "chunked" in self.headers.get("transfer-encoding", "").lower():
                self._framing = "chunked"
            elif "content-length" in self.headers:
                self._framing, self._left = "length", int(self.headers["content-length"])
            else:
                self._framing = "close"
        if self._framing == "chunked":
            self._dechunk()
        elif self._framing == "length":
            piece, self.received = self.received[: self._left], self.received[self._left :]
            self.body += piece
            self._left -= len(piece)
            if self._left == 0:
                self.ended = "clean"
        elif self._framing == "close":
            self.body += self.received
            self.received = b""
        if self._eof and not self.ended:
            self.ended = "clean" if self._framing == "close" else "failed"

    def _dechunk(self):
        while not self.ended:
            match = re.match(rb"([0-9A-Fa-f]+)[^\r\n]*\r\n", self.received)
            if not match:
                return
            size = int(match[1], 16)
            end = match.end() + size + 2
            if size == 0:
                if b"\r\n\r\n" in self.received[match.end() - 2 :]:
                    self.ended = "clean"
                return
            if len(self.received) < end:
                return
            self.body += self.received[match.end() : end - 2]
            self.received = self.received[end:]
