"""Spans of OpenTelemetry: what a collector is sent of requests, by the definitions of the protocol."""

import json
import socket
import ssl

import httpx
import pytest
from harness import certificate, processes
from harness.collector import Collector
from harness.rawhttp import RawResponse
from harness.wait import until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1, other==x"}
OTEL = ["--otel", "on"]


@pytest.fixture
def collector(started):
    return started(Collector())


both = pytest.mark.parametrize("traced", ["lean", "hyper"], indirect=True)


@pytest.fixture
def traced(request, gateway, collector):
    """`traced(upstream, *flags, **variables)`: a gateway that exports, with its own HTTP and with hyper's alone."""

    def start(server, *flags, **variables):
        lean = "off" if getattr(request, "param", "lean") == "hyper" else "on"
        env = collector.variables(SSE_GATEWAY_LEAN=lean, **variables)
        return gateway(server, *OTEL, *flags, env=env)

    return start


def parent_of(seen):
    version, trace, parent, flags = seen["headers"]["traceparent"].split("-")
    assert version == "00"
    return trace, parent, flags


@both
def test_a_request_is_a_span_in_the_trace_of_its_client(starlette, traced, collector, key):
    own = traced(starlette)
    fields = {**SAMPLED, "User-Agent": "tester/1", "Authorization": "Bearer hush"}
    answer = httpx.get(f"{own.url}/log?key={key}&token=hush", headers=fields)
    span = collector.one()
    assert (span.name, span.kind, span.trace, span.parent) == ("GET", "SERVER", TRACE, PARENT)
    assert span.attributes.pop("client.address") == span.attributes.pop("network.peer.address") == "127.0.0.1"
    assert span.attributes.pop("network.peer.port") > 0
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.response.body.size": len(answer.content),
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": own.port,
        "sse.route": "default",
        "url.path": "/log",
        "url.scheme": "http",
        "user_agent.original": "tester/1",
    }
    assert not span.is_error and span.events == {}
    assert span.resource["service.name"] == "sse-gateway" and "service.version" in span.resource
    assert b"hush" not in collector.raw and key.encode() not in collector.raw
    assert own.metric("sse_spans_total", result="exported") == 1


@both
def test_a_stream_is_a_span_until_it_ends(starlette, traced, collector, key, tmp_path):
    routes = tmp_path / "gateway.toml"
    routes.write_text('[[route]]\npath = "/events"\ntoken_param = "token"\n[[route]]\npattern = "/s/:token"\n')
    own = traced(starlette, "--config", routes, "--log-format", "json")
    with RawResponse(f"{own.url}/events?key={key}&every=0.2&token=hush", headers=SAMPLED) as stream:
        stream.events(3)
        (seen,) = starlette.seen(key)
        assert seen["headers"]["authorization"] == "Bearer hush"
        assert collector.spans == []
    span = collector.one()
    assert (span.name, span.trace, span.parent) == ("GET /events", TRACE, PARENT)
    assert parent_of(seen) == (TRACE, span.id, "01")
    assert seen["headers"]["tracestate"] == SAMPLED["tracestate"]
    said = span.attributes
    assert (said["http.route"], said["url.path"], said["sse.reason"]) == ("/events", "/events", "client")
    assert said["http.response.status_code"] == 200
    assert 0 < span.events["sse.first_event"] <= span.seconds and span.seconds > 0.4
    assert b"hush" not in collector.raw and key.encode() not in collector.raw
    closed = until(lambda: [line for line in own.log.splitlines() if "stream closed" in line], "the stream to be logged")
    logged = json.loads(closed[0])
    assert logged["trace"] == TRACE
    assert (said["sse.events"], said["sse.bytes"]) == (logged["events"], logged["bytes"])
    assert said["sse.events"] >= 3
    httpx.get(f"{own.url}/s/hush?hush")
    span = collector.one(lambda span: span.attributes["url.path"] == "/s/:token")
    assert (span.name, span.attributes["http.response.status_code"], span.is_error) == ("GET /s/:token", 404, False)
    assert b"hush" not in collector.raw


@both
def test_a_post_is_a_span_until_its_last_token(starlette, traced, collector, key):
    own = traced(starlette)
    body = b'{"tokens": 3, "every": 0.1}'
    with RawResponse(f"{own.url}/v1/chat/completions?key={key}", "POST", body=body) as answer:
        answer.to_end()
    span = collector.one()
    assert (span.name, span.parent) == ("POST", "")
    assert (span.attributes["sse.events"], span.attributes["sse.reason"]) == (4, "upstream_end")
    # It has begun the trace.
    assert parent_of(starlette.seen(key)[0]) == (span.trace, span.id, "01")


def test_a_resumable_stream_is_asked_for_as_a_part_of_its_request(starlette, traced, collector, key):
    own = traced(starlette, "--resume", "on")
    body = b'{"tokens": 3}'
    with RawResponse(f"{own.url}/v1/chat/completions?key={key}", "POST", SAMPLED, body) as answer:
        answer.to_end()
    span = collector.one()
    assert (span.kind, span.trace, span.attributes["sse.events"]) == ("SERVER", TRACE, 4)
    assert parent_of(starlette.seen(key)[0]) == (TRACE, span.id, "01")


def test_http_2_and_tls_are_told(starlette, traced, collector, tmp_path):
    cert, private = certificate.make(tmp_path)
    own = traced(starlette, "--tls-cert", cert, "--tls-key", private)
    with httpx.Client(verify=ssl.create_default_context(cafile=cert), http2=True) as client:
        assert client.get(f"{own.url}/log?key=x").http_version == "HTTP/2"
    said = collector.one().attributes
    assert (said["network.protocol.version"], said["url.scheme"], said["server.port"]) == ("2", "https", own.port)


@both
def test_a_stream_in_a_coding_that_nobody_knows_is_a_span_until_it_ends_too(traced, collector):
    parts = [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: odd\r\n\r\n", b"12345"]
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        own = traced(f"http://127.0.0.1:{upstream.getsockname()[1]}")
        with RawResponse(f"{own.url}/x") as answer:
            server, _ = upstream.accept()
            assert server.recv(65536).startswith(b"GET /x ")
            for part in parts:
                server.sendall(part)
            answer.until(lambda r: r.body == b"12345", "the body to be there")
            assert collector.spans == []
            server.close()
            answer.to_end()
    span = collector.one()
    assert (span.attributes["http.response.status_code"], span.attributes["http.response.body.size"]) == (200, 5)
    assert own.metric("sse_request_seconds_count") == 0


@both
def test_what_fails_is_an_error(traced, collector):
    own = traced(f"http://127.0.0.1:{processes.free_port()}")
    assert httpx.get(f"{own.url}/x").status_code == 502
    span = collector.one()
    assert span.is_error
    assert (span.attributes["http.response.status_code"], span.attributes["error.type"]) == (502, "refused")
    # One that an EventSource is to make again has no answer.
    with RawResponse(f"{own.url}/x") as unanswered:
        unanswered.until(lambda r: r.ended, "the connection to be closed")
    span = collector.one(lambda span: "http.response.status_code" not in span.attributes)
    assert span.is_error and span.attributes["error.type"] == "refused"


def test_no_route_is_no_error(starlette, gateway, collector, tmp_path):
    routes = tmp_path / "gateway.toml"
    routes.write_text(f'otel = true\n[[route]]\npath = "/events"\nupstream = "{starlette.url}"\n')
    own = processes.Gateway("--config", routes, env=collector.variables())
    with own:
        assert httpx.get(f"{own.url}/hush").status_code == 404
        span = collector.one()
        assert (span.name, span.is_error, span.attributes["http.response.status_code"]) == ("GET", False, 404)
        assert not {"sse.route", "http.route", "url.path"} & set(span.attributes)


def test_who_leaves_is_told(starlette, traced, collector, key):
    own = traced(starlette)
    with RawResponse(f"{own.url}/slow-head?key={key}"):
        until(lambda: starlette.seen(key), "the request to be there")
    span = collector.one()
    assert (span.attributes["error.type"], span.is_error) == ("left", False)


def test_a_trace_that_is_not_sampled_is_passed_on_and_not_exported(starlette, traced, collector, key):
    own = traced(starlette)
    not_sampled = {**SAMPLED, "traceparent": f"00-{TRACE}-{PARENT}-00"}
    with RawResponse(f"{own.url}/events?key={key}&count=1", headers=not_sampled) as stream:
        stream.events(1)
    (seen,) = starlette.seen(key)
    trace, parent, flags = parent_of(seen)
    assert (trace, flags) == (TRACE, "00") and parent != PARENT
    assert seen["headers"]["tracestate"] == SAMPLED["tracestate"]
    httpx.get(f"{own.url}/log?key=other")
    assert collector.one().trace != TRACE


def test_what_is_no_trace_begins_one(starlette, traced, collector, key):
    own = traced(starlette)
    wrong = {"traceparent": f"00-{TRACE}-{PARENT}", "tracestate": "vendor=1"}
    with RawResponse(f"{own.url}/events?key={key}&count=1", headers=wrong) as stream:
        stream.events(1)
    (seen,) = starlette.seen(key)
    span = collector.one()
    assert span.trace != TRACE and parent_of(seen) == (span.trace, span.id, "01")
    assert "tracestate" not in seen["headers"]


@both
def test_a_shared_stream_has_a_trace_of_its_own_with_a_link(starlette, traced, collector, key):
    own = traced(starlette, "--share", "on", "--on-leave", "cancel")
    url = f"{own.url}/events?key={key}&every=0.1"
    with RawResponse(url, headers=SAMPLED) as first:
        first.events(1)
        with RawResponse(url) as second:
            second.events(1)
    until(lambda: len(collector.spans) == 3, "three spans")
    (seen,) = starlette.seen(key)
    relay = collector.one(lambda span: span.kind == "CLIENT")
    opener = collector.one(lambda span: span.trace == TRACE)
    assert parent_of(seen) == (relay.trace, relay.id, "01")
    assert relay.trace != TRACE and relay.links == [(TRACE, opener.id)]
    assert relay.attributes["url.path"] == "/events" and relay.attributes["http.response.status_code"] == 200
    assert "tracestate" not in seen["headers"]
    assert key.encode() not in collector.raw


def test_a_stream_that_is_over_at_the_drain_is_exported(starlette, gateway, collector):
    own = gateway(starlette, *OTEL, "--drain-window", "100ms", env=collector.variables(OTEL_BSP_SCHEDULE_DELAY="60000"))
    with RawResponse(f"{own.url}/events?every=0.1") as stream:
        stream.events(2)
        code, _ = own.drained()
        assert code == 0
    assert [span.attributes["sse.reason"] for span in collector.spans] == ["drain"]


def test_a_collector_that_is_away_or_hangs_costs_spans_and_nothing_else(starlette, gateway, collector):
    collector.hold.clear()
    variables = collector.variables(OTEL_BSP_MAX_QUEUE_SIZE="4", OTEL_EXPORTER_OTLP_TIMEOUT="60000")
    own = gateway(starlette, *OTEL, env=variables)
    with httpx.Client() as client:
        client.get(f"{own.url}/log?key=x")
        until(lambda: collector.requests, "a batch to be sent")
        for _ in range(20):
            client.get(f"{own.url}/log?key=x", timeout=5)
    # One is being sent, so many wait.
    until(lambda: own.metric("sse_spans_total", result="dropped") == 16, "the others to be dropped")
    assert own.log.count("a span is dropped") == 1
    code, seconds = own.drained()
    assert code == 0 and seconds < 15
    assert "the last spans were not exported" in own.log

    away = gateway(starlette, *OTEL, env=collector.variables(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1"))
    assert httpx.get(f"{away.url}/log?key=x").status_code == 200
    until(lambda: away.metric("sse_spans_total", result="failed") == 1, "a span to be lost")
    assert "has not taken spans, which are lost" in away.log and "onnection refused" in away.log
    assert away.drained()[0] == 0


def test_an_answer_that_refuses_is_told(starlette, gateway, started):
    collector = started(Collector(status=401))
    own = gateway(starlette, *OTEL, env=collector.variables())
    httpx.get(f"{own.url}/log?key=x")
    until(lambda: "the answer is 401" in own.log, "the refusal to be logged")
    assert own.metric("sse_spans_total", result="failed") == 1


def test_a_collector_is_spoken_to_as_its_variables_say(starlette, gateway, started, tmp_path):
    pair = certificate.make(tmp_path)
    collector = started(Collector(pair))
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://localhost:{collector.port}/in/",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(pair[0]),
        "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=quiet",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_SERVICE_NAME": "edge",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    own = gateway(starlette, *OTEL, env=collector.variables(**variables))
    httpx.get(f"{own.url}/log?key=x")
    span = collector.one()
    path, headers = collector.requests[0]
    assert path == "/in/v1/traces"
    assert (headers["x-api-key"], headers["content-encoding"]) == ("quiet", "gzip")
    assert (span.resource["service.name"], span.resource["deployment.environment.name"]) == ("edge", "test")
    assert "quiet" not in own.log


def test_a_share_of_the_traces_can_be_sampled(starlette, gateway, collector):
    variables = collector.variables(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
    own = gateway(starlette, *OTEL, env=variables)
    httpx.get(f"{own.url}/log?key=x")
    httpx.get(f"{own.url}/log?key=x", headers=SAMPLED)
    assert collector.one().trace == TRACE


def test_a_variable_that_cannot_hold_is_refused(starlette):
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://localhost:4318"}
    for name, value, said in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "sse-gateway: OTEL_EXPORTER_OTLP_ENDPOINT: "),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "use http/protobuf"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem", '"/nowhere.pem" cannot be read'),
    ]:
        command = [processes.gateway_binary(), "--upstream", starlette.url, "--listen", "127.0.0.1:0", *OTEL]
        command += ["--admin-listen", "off"]
        with processes.Process("sse-gateway", command, env={**endpoint, name: value}) as refused:
            assert refused.wait() == 2, name
            assert said in refused.log, refused.log


def test_nothing_of_it_is_on_by_itself(starlette, gateway, collector, key):
    own = gateway(starlette, env=collector.variables())
    with RawResponse(f"{own.url}/events?key={key}&count=1", headers=SAMPLED) as stream:
        stream.events(1)
    (seen,) = starlette.seen(key)
    assert seen["headers"]["traceparent"] == SAMPLED["traceparent"]
    assert own.drained()[0] == 0
    assert collector.requests == []
