"""The alerts, with Prometheus' own linter and tests. `alerts/NAME.yml` has series at which NAME fires, and some at which not."""

import subprocess
from pathlib import Path

import pytest
import yaml
from harness import documented, processes

PROMETHEUS = processes.ROOT / "deploy" / "prometheus"
TESTS = Path(__file__).parent / "alerts"
GROUPS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_the_configuration_and_its_rules():
    promtool("check", "config", PROMETHEUS / "prometheus.yml")
    promtool("check", "rules", PROMETHEUS / "alerts.yml")


def test_each_alert_is_tested_and_nothing_else():
    assert {path.stem for path in TESTS.iterdir()} == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_it_fires_and_does_not_fire(name):
    file = TESTS / f"{name}.yml"
    checks = [check for test in yaml.safe_load(file.read_text())["tests"] for check in test["alert_rule_test"]]
    assert {check["alertname"] for check in checks} == {name}
    assert {bool(check["exp_alerts"]) for check in checks} == {False, True}
    promtool("test", "rules", file)


@pytest.mark.parametrize("name", RULES)
def test_it_asks_for_what_the_docs_have(name):
    rule = RULES[name]
    assert documented.mistakes(rule["expr"]) == []
    assert "sse_" in rule["expr"] or rule["expr"].startswith("up{")
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["summary"]
