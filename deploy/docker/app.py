"""A small upstream to try the gateway with: a page, and the time as an event stream. Python alone is enough for it."""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"""<!doctype html>
<title>sse-gateway</title>
<h1 id=time>...</h1>
<script>
  new EventSource('/stream').onmessage = (event) => (document.getElementById('time').textContent = event.data)
</script>
"""


class App(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/":
            self.head("text/html")
            self.wfile.write(PAGE)
        elif self.path == "/stream":
            self.head("text/event-stream")
            self.tell_the_time()
        else:
            self.send_error(404)

    def head(self, content_type):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()

    def tell_the_time(self):
        try:
            while True:
                self.wfile.write(f"data: {time.strftime('%H:%M:%S')}\n\n".encode())
                time.sleep(1)
        except OSError:
            pass


ThreadingHTTPServer(("", int(sys.argv[1])), App).serve_forever()
