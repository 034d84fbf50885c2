"""What takes spans in place of a collector of OpenTelemetry: OTLP over HTTP, by the protocol's own definitions."""

import gzip
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from harness.wait import until


def values(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


class Span:
    def __init__(self, span, resource):
        self.resource = resource
        self.name, self.kind = span.name, span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.state = span.trace_state
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.attributes = values(span.attributes)
        self.is_error = span.status.code == span.status.STATUS_CODE_ERROR
        self.seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        self.events = {one.name: (one.time_unix_nano - span.start_time_unix_nano) / 1e9 for one in span.events}

    def __repr__(self):
        return f"{self.kind} {self.name} {self.attributes}"


class Collector:
    def __init__(self, pair=None, status=200, port=0):
        """With TLS where there is a certificate and its key. `status` may be changed, and `hold` keeps answers back."""
        self.spans, self.requests, self.status, self.raw = [], [], status, b""
        self.hold = threading.Event()
        self.hold.set()
        self._lock = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector._take(self.path, dict(self.headers), body)
                collector.hold.wait()
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(collector.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _take(self, path, headers, body):
        if headers.get("content-encoding", headers.get("Content-Encoding")) == "gzip":
            body = gzip.decompress(body)
        exported = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            self.requests.append((path, {name.lower(): value for name, value in headers.items()}))
            if self.status != 200:
                return
            self.raw += body
            for of_resource in exported.resource_spans:
                resource = values(of_resource.resource.attributes)
                for of_scope in of_resource.scope_spans:
                    self.spans += [Span(span, resource) for span in of_scope.spans]

    def variables(self, **others):
        """For a gateway that exports to it, and does not wait for long."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "100", **others}

    def one(self, condition=lambda span: True):
        """The only span that is such a one, once it is there."""
        found = until(lambda: [span for span in list(self.spans) if condition(span)], f"a span; there are {self.spans}")
        assert len(found) == 1, found
        return found[0]

    def stop(self):
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
