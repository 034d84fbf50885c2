"""A transport for the Python SDKs of OpenAI and Anthropic, behind `sse-gateway --preset llm`.

A streamed answer whose connection is lost goes on: the same request, with the id of the last event that came whole, brings the rest.
The gateway has gone on reading meanwhile, and does not send it upstream again.

    OpenAI(base_url="http://127.0.0.1:8080/v1", http_client=httpx2.Client(transport=ResumingTransport()))
"""

import re
import time

import httpx2

END_OF_EVENT = re.compile(rb"\r\n\r\n|\n\n|\r\r")
ID = re.compile(rb"(?:^|[\r\n])id: ?([^\r\n]*)")


class ResumingTransport(httpx2.HTTPTransport):
    def __init__(self, *, attempts=5, delay=1.0, **options):
        super().__init__(**options)
        self.attempts, self.delay = attempts, delay

    def handle_request(self, request):
        response = super().handle_request(request)
        if response.status_code == 200 and response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = Events(self, request, response.stream)
        return response

    def rest(self, request, last_id):
        headers = [*request.headers.raw, (b"last-event-id", last_id)]
        again = httpx2.Request(request.method, request.url, headers=headers, content=request.content)
        response = super().handle_request(again)
        if response.status_code == 200:
            return response.stream
        response.close()
        if response.status_code == 204:  # all of it was here
            return httpx2.ByteStream(b"")
        raise httpx2.ReadError(f"the rest of the answer was refused with {response.status_code}")


class Events(httpx2.SyncByteStream):
    """Whole events. Half of one is dropped where the connection is lost: it comes again."""

    def __init__(self, transport, request, stream):
        self.transport, self.request, self.stream = transport, request, stream

    def __iter__(self):
        last_id, left = None, self.transport.attempts
        while True:
            rest = b""
            try:
                if self.stream is None:
                    self.stream = self.transport.rest(self.request, last_id)
                for chunk in self.stream:
                    rest += chunk
                    ends = [match.end() for match in END_OF_EVENT.finditer(rest)]
                    if ends:
                        whole, rest = rest[: ends[-1]], rest[ends[-1] :]
                        last_id = (ID.findall(whole) or [last_id])[-1]
                        left = self.transport.attempts
                        yield whole
                yield rest
                return
            except httpx2.TransportError:
                # Without an id there is nothing to come back to.
                if last_id is None or left == 0:
                    raise
            left -= 1
            self.close()
            time.sleep(self.transport.delay)

    def close(self):
        if self.stream is not None:
            self.stream.close()
        self.stream = None
