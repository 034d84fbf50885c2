"""The manifests, without a cluster: their schema, what must fit together in them, and a gateway with their arguments."""

import copy

import httpx
import kubernetes_validate
import pytest
import yaml
from harness import processes
from harness.rawhttp import RawResponse
from harness.wait import until

FOLDER = processes.ROOT / "deploy" / "kubernetes"
MANIFESTS = list(yaml.safe_load_all((FOLDER / "deployment.yaml").read_text()))
PATCH = yaml.safe_load((FOLDER / "sidecar.yaml").read_text())
POD_MONITOR = yaml.safe_load((FOLDER / "podmonitor.yaml").read_text())
# The first with the sleep of preStop, and the newest known.
VERSIONS = ["1.30", "1.37"]

# What somebody has who adds the sidecar.
APPLICATION = yaml.safe_load("""
apiVersion: apps/v1
kind: Deployment
metadata: { name: app }
spec:
  selector:
    matchLabels: { app: app }
  template:
    metadata:
      labels: { app: app }
    spec:
      containers:
        - name: app
          image: app:1
          ports:
            - { containerPort: 5000 }
""")


def manifest(kind):
    (found,) = [manifest for manifest in MANIFESTS if manifest["kind"] == kind]
    return found


def patched(old, patch):
    """`kubectl patch` with its default, a strategic merge: lists of containers are merged by name."""
    if isinstance(old, dict) and isinstance(patch, dict):
        return {key: patched(old.get(key), patch[key]) if key in patch else old[key] for key in {**old, **patch}}
    if isinstance(old, list) and isinstance(patch, list):
        by_name = {one["name"]: one for one in old}
        for one in patch:
            by_name[one["name"]] = patched(by_name.get(one["name"]), one)
        return list(by_name.values())
    return copy.deepcopy(patch)


DEPLOYMENTS = {"deployment": manifest("Deployment"), "sidecar": patched(APPLICATION, PATCH)}


def containers(deployment):
    return {container["name"]: container for container in deployment["spec"]["template"]["spec"]["containers"]}


def pre_stop(container):
    return container["lifecycle"]["preStop"]["sleep"]["seconds"]


@pytest.fixture(params=DEPLOYMENTS)
def deployment(request):
    return DEPLOYMENTS[request.param]


@pytest.mark.parametrize("version", VERSIONS)
def test_they_are_what_the_schemas_allow(version):
    for one in [*MANIFESTS, DEPLOYMENTS["sidecar"]]:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_patch_adds_a_container_and_keeps_the_other():
    app, gateway = containers(DEPLOYMENTS["sidecar"]).values()
    assert (app["image"], gateway["name"]) == ("app:1", "sse-gateway")
    assert app["ports"][0]["containerPort"] == 5000
    assert "--upstream=http://127.0.0.1:5000" in gateway["args"]


def test_the_pod_lives_until_all_is_drained(deployment, drain_deadline):
    gateway = containers(deployment)["sse-gateway"]
    assert not [argument for argument in gateway["args"] if "drain" in argument]
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace >= pre_stop(gateway) + drain_deadline + 10


def test_the_application_lives_until_its_streams_are_drained(drain_window):
    both = containers(DEPLOYMENTS["sidecar"])
    assert pre_stop(both["app"]) >= pre_stop(both["sse-gateway"]) + drain_window


def test_what_is_selected_is_there():
    deployment = manifest("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        manifest("Service")["spec"]["selector"],
        manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        POD_MONITOR["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    ports = {port["name"] for port in containers(deployment)["sse-gateway"]["ports"]}
    asked = [port["targetPort"] for port in manifest("Service")["spec"]["ports"]]
    asked += [port["port"] for rule in manifest("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    asked += [endpoint["port"] for endpoint in POD_MONITOR["spec"]["podMetricsEndpoints"]]
    assert set(asked) == ports


def test_the_admin_port_is_for_prometheus_alone():
    rules = manifest("NetworkPolicy")["spec"]["ingress"]
    (rule,) = [rule for rule in rules if {"port": "admin"} in rule["ports"]]
    assert rule["from"] and rule["ports"] == [{"port": "admin"}]
    assert "admin" not in [port["targetPort"] for port in manifest("Service")["spec"]["ports"]]


def test_ports_are_those_of_the_arguments(deployment):
    gateway = containers(deployment)["sse-gateway"]
    public, admin = (port["containerPort"] for port in gateway["ports"])
    assert f"--listen=0.0.0.0:{public}" in gateway["args"]
    assert f"--admin-listen=0.0.0.0:{admin}" in gateway["args"]
    for probe in ["readinessProbe", "livenessProbe"]:
        assert gateway[probe]["httpGet"]["port"] == "admin"


def test_probes_and_prometheus_are_answered_by_the_pods_address(deployment, starlette, started):
    gateway = containers(deployment)["sse-gateway"]
    flags = [part for part in gateway["args"] if not part.startswith(("--upstream", "--listen", "--admin-listen"))]
    own = started(processes.Gateway("--upstream", starlette.url, *flags))

    def ask(path, host="10.244.1.7:9078", agent="kube-probe/1.30"):
        return httpx.get(own.admin + path, headers={"Host": host, "User-Agent": agent, "Accept": "*/*"}).status_code

    probes = [gateway[probe]["httpGet"]["path"] for probe in ["readinessProbe", "livenessProbe"]]
    scrape = POD_MONITOR["spec"]["podMetricsEndpoints"][0]["path"]
    assert [ask(path) for path in [*probes, scrape]] == [200, 200, 200]
    assert [ask(path, "[fd00::7]:9078") for path in [*probes, scrape]] == [200, 200, 200]
    # A probe with a Host of its own is answered too; Prometheus by a name is not, without --admin-hosts.
    assert [ask(path, "sse-gateway.default.svc:9078") for path in [*probes, scrape]] == [200, 200, 403]

    with RawResponse(own.url + "/quiet") as stream:
        stream.events(1)
        own.terminate()
        until(lambda: [ask(path) for path in probes] == [503, 200], "a pod that is not ready, and lives")
        # While it drains, Prometheus still gets its last numbers.
        assert ask(scrape) == 200
