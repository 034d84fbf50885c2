"""The dashboard: a real Prometheus that reads a gateway under load answers each of its queries with numbers."""

import itertools
import json
import math
import re
import ssl

import httpx
import pytest
import yaml
from harness import certificate, documented, processes
from harness.rawhttp import RawResponse
from harness.wait import until

DEPLOY = processes.ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
UNITS = {"short", "none", "s", "bytes", "Bps", "cps", "reqps", "percentunit"}

ACCEPT = {"Accept": "text/event-stream"}
ROUTES = """
[[route]]
name = "news"
path = "/events"
share = "on"

[[route]]
name = "chat"
path = "/v1"
resume = "on"

[[route]]
name = "few"
path = "/pinging"
max_streams_per_route = 1
"""


class Prometheus(processes.Server):
    """With the shipped configuration, but for the address it reads, and more often."""

    def __init__(self, admins, folder):
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        config["global"].update(scrape_interval="1s", evaluation_interval="1s")
        config["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in config["rule_files"]]
        config["scrape_configs"][0]["static_configs"] = [{"targets": [admin.removeprefix("http://") for admin in admins]}]
        file, port = folder / "prometheus.yml", processes.free_port()
        file.write_text(yaml.safe_dump(config))
        command = [
            "prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        super().__init__("prometheus", command, port)

    def ask(self, path, **parameters):
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=20)
        return answer.raise_for_status().json()["data"]


def queries():
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def filled_in(query):
    """What Grafana makes of it when all is selected."""
    for name, value in {"instance": ".*", "route": ".*", "__rate_interval": "20s"}.items():
        query = query.replace(f"${name}", value)
    assert "$" not in query
    return query


@pytest.fixture
def loaded(starlette, gateway, started, tmp_path):
    """A Prometheus, the gateway that it reads beside one with TLS and a store, and a step of load."""
    routes = tmp_path / "gateway.toml"
    routes.write_text(ROUTES)
    own = gateway(starlette, "--config", routes)
    files = certificate.make(tmp_path)
    port = processes.free_port()
    redis = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", tmp_path]
    started(processes.Server("redis", redis, port)).ready()
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(32)))
    store = ["--share", "on", "--store", f"redis://127.0.0.1:{port}", "--store-secret", secret]
    encrypted = gateway(starlette, "--tls-cert", files[0], "--tls-key", files[1], *store)
    trusted = ssl.create_default_context(cafile=files[0])
    prometheus = started(Prometheus([own.admin, encrypted.admin], tmp_path)).ready()
    news = "/events?every=1.2&ping=60"
    held = [RawResponse(own.url + path) for path in ["/quiet", news, "/pinging"]]

    def step():
        last = held[1].events(1)[0].id
        with RawResponse(own.url + news, headers={"Last-Event-ID": last}) as back:
            back.events(1)
        with RawResponse(own.url + "/v1/chat/completions", method="POST", body=b'{"tokens": 3}') as answer:
            answer.to_end()
        with RawResponse(own.url + "/quiet") as plain:
            plain.events(1)
        with RawResponse(own.url + "/pinging") as one_too_many:
            one_too_many.until(lambda r: r.ended, "the stream to be refused")
        httpx.get(own.url + "/nothing")
        httpx.post(own.admin + "/reload").raise_for_status()
        with httpx.stream("GET", encrypted.url + "/events", headers=ACCEPT, verify=trusted) as shared:
            next(shared.iter_raw())

    held[2].head()
    yield prometheus, own, step
    for stream in held:
        stream.close()


@pytest.mark.timeout(300)
def test_each_query_is_answered_with_numbers(loaded):
    prometheus, _, step = loaded

    def unanswered():
        step()
        empty = []
        for title, query, legend in queries():
            series = prometheus.ask("query", query=filled_in(query))["result"]
            labels = re.findall(r"\{\{(\w+)\}\}", legend)
            if not any(math.isfinite(float(one["value"][1])) for one in series):
                empty.append(f"{title}: {query}")
            assert all(label in one["metric"] for one in series for label in labels), f"{title}: {legend}"
        return empty

    try:
        until(lambda: unanswered() == [], "all queries to be answered", 240, every=0.3)
    except AssertionError as error:
        raise AssertionError(f"{error}; empty: {unanswered()}") from None


def test_the_numbers_are_those_of_the_gateway(loaded):
    prometheus, own, step = loaded
    step()
    step()
    until(lambda: own.metric("sse_streams_active") == 3, "the streams that are held to be open alone")
    stats = {panel["title"]: panel["targets"][0]["expr"] for panel in PANELS if panel["type"] == "stat"}
    until(lambda: value(prometheus, stats["Open streams"]) == 3, "Prometheus to say 3")
    until(lambda: value(prometheus, stats["Gateways"]) == 2, "Prometheus to know both gateways")


def value(prometheus, query):
    (series,) = prometheus.ask("query", query=filled_in(query))["result"]
    return float(series["value"][1])


def test_the_variables_have_values(loaded):
    prometheus, own, step = loaded
    step()
    targets = until(lambda: prometheus.ask("targets")["activeTargets"], "targets to be known")
    instances = {target["labels"]["instance"] for target in targets}
    assert own.admin.removeprefix("http://") in instances and len(instances) == 2
    for name, expected in [("instance", instances), ("route", {"news", "chat", "few", "default"})]:
        definition = VARIABLES[name]["query"]["query"]
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", definition).groups()
        selector = filled_in(selector)
        until(lambda: set(prometheus.ask(f"label/{label}/values", **{"match[]": selector})) == expected, definition)


def test_the_alerts_are_loaded_and_quiet(loaded):
    prometheus, _, step = loaded
    step()
    (group,) = until(lambda: prometheus.ask("rules")["groups"], "the rules to be loaded")
    until(lambda: all(rule["health"] == "ok" for rule in prometheus.ask("rules")["groups"][0]["rules"]), "rules to run")
    assert len(group["rules"]) > 10
    assert [alert for alert in prometheus.ask("alerts")["alerts"] if alert["state"] == "firing"] == []


def test_queries_ask_for_what_the_docs_have():
    for title, query, _ in queries():
        assert documented.mistakes(query) == [], title
        for selector in re.findall(r"sse_\w+(\{[^}]*\})?", query):
            assert 'instance=~"$instance"' in selector, title


def test_each_metric_is_shown():
    shown = " ".join(query for _, query, _ in queries())
    names = {name for name in documented.metrics() if not name.endswith(("_sum", "_count"))}
    assert {name for name in names if name not in shown} == set()


def test_panels_have_a_unit_a_description_and_the_chosen_source():
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert VARIABLES["datasource"]["type"] == "datasource" and VARIABLES["datasource"]["query"] == "prometheus"
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["description"], panel["title"]
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [source] * (
            1 + len(panel["targets"])
        )


def test_no_panel_is_on_another():
    def cells(panel):
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        return set(itertools.product(columns, rows))

    taken = [cell for panel in DASHBOARD["panels"] for cell in cells(panel)]
    assert len(taken) == len(set(taken))
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
