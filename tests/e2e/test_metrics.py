"""Prometheus from Debian reads our metrics, and finds nothing to complain of."""

import httpx
import pytest
from harness import processes, promtool
from harness.rawhttp import RawResponse
from harness.wait import until

CONFIG = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: sse-gateway
    static_configs:
      - targets: ['{target}']
"""


@pytest.fixture
def streams():
    """`streams(url, count)`: that many streams, each with its first event; closed with the test."""
    held = []

    def open_them(url, count):
        new = [RawResponse(url) for _ in range(count)]
        held.extend(new)
        for stream in new:
            stream.events(1)
        return new

    yield open_them
    for stream in held:
        stream.close()


def test_promtool_has_no_complaint(flask, starlette, gateway, streams):
    own = gateway(starlette)
    promtool.check(own.metrics_text())
    opened = streams(own.url + "/quiet", 3)
    promtool.check(own.metrics_text())
    for stream in opened:
        stream.close()
    own.until_idle()
    promtool.check(own.metrics_text())


def test_the_metrics_count_what_happened(starlette, gateway, streams):
    own = gateway(starlette)
    opened = streams(own.url + "/events?every=60&ping=60&ids=off", 2)
    with RawResponse(own.url + "/events?count=3&every=0.05&ping=60") as finite:
        finite.to_end()
    until(lambda: own.metric("sse_streams_closed_total", reason="upstream_end") == 1, "the finite stream to be counted")
    assert own.metric("sse_streams_active") == 2
    assert own.metric("sse_streams_opened_total") == 3
    assert own.metric("sse_events_total") == 5
    # An id is counted with what comes next, an event or a heartbeat.
    until(lambda: own.metric("sse_ids_added_total") == 2, "the ids to be counted")
    until(lambda: own.metric("sse_heartbeats_total") >= 4, "heartbeats to be counted")
    for stream in opened:
        stream.close()
    own.until_idle()
    assert own.metric("sse_streams_closed_total", reason="client") == 2
    assert own.metric("sse_streams_closed_total") == 3
    assert own.metric("sse_stream_duration_seconds_count") == 3
    assert own.metric("sse_first_event_seconds_count") == 3
    text = own.metrics_text()
    for name in ["sse_streams_active", "sse_streams_opened_total", "sse_streams_closed_total", "sse_events_total"]:
        assert f"# TYPE {name} " in text
        assert f"# HELP {name} " in text


def test_prometheus_answers_with_the_number_of_active_streams(starlette, gateway, streams, started, tmp_path):
    own = gateway(starlette)
    port = processes.free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(target=own.admin.removeprefix("http://")))
    prometheus = started(
        processes.Server(
            "prometheus",
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            port,
        )
    ).ready()  # fmt: skip

    def answer():
        response = httpx.get(f"{prometheus.url}/api/v1/query", params={"query": "sum(sse_streams_active)"}, timeout=10)
        result = response.raise_for_status().json()["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    opened = streams(own.url + "/quiet", 7)
    until(lambda: answer() == 7, "Prometheus to say 7")
    for stream in opened[:3]:
        stream.close()
    until(lambda: answer() == 4, "Prometheus to say 4")
    for stream in opened[3:]:
        stream.close()
    until(lambda: answer() == 0, "Prometheus to say 0")
