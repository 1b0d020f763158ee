"""The rules and the dashboard in ops/ use existing metrics, and each alert has an entry in the runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from crosshaul.model import RouteStatus
from crosshaul.telemetry.metrics import Metrics

HOME = Path(__file__).parents[3]
OPS = HOME / "ops"
promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not there")


def rendered() -> str:
    """Return /metrics after each event has happened once."""
    metrics = Metrics()
    metrics.expect(["r"], ["d"])
    metrics.delivered("r", 1, 0.1)
    metrics.failed("r", "AccessDenied")
    metrics.watched(RouteStatus("r", "watching"))
    metrics.paused("r", paused=False)
    metrics.credentials("d", 60.0)
    metrics.sts("d", "ok")
    metrics.load("d", 1, 64)
    metrics.committed(0.001)
    metrics.loop_lag(0.001)
    return metrics.render().decode()


def rules() -> list[dict[str, object]]:
    return [rule for group in yaml.safe_load((OPS / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("name", ["alerts.yaml", "dashboard.json"])
def test_every_metric_that_is_named_is_there(name):
    """Each metric in a rule or a panel exists."""
    there = set(re.findall(r"^(crosshaul_\w+)", rendered(), re.MULTILINE))
    if name == "alerts.yaml":
        texts = [str(rule["expr"]) for rule in rules()]
    else:
        panels = json.loads((OPS / name).read_text())["panels"]
        texts = [target["expr"] for panel in panels for target in panel["targets"]]
    named = {word for text in texts for word in re.findall(r"crosshaul_\w+", text)}
    assert named
    assert named <= there


def test_every_alert_has_its_entry_in_the_runbook():
    """docs/OPERATIONS.md has an entry for each alert and no other."""
    entries = re.findall(r"^\| `(Crosshaul\w+)` \|", (HOME / "docs/OPERATIONS.md").read_text(), re.MULTILINE)
    assert entries == [rule["alert"] for rule in rules()]


def test_every_alert_is_tried_both_ways():
    """The rules' own tests have a case in which each fires, and one in which it is quiet."""
    cases = yaml.safe_load((OPS / "alerts_test.yaml").read_text())["tests"]
    tried = {(check["alertname"], bool(check["exp_alerts"])) for case in cases for check in case["alert_rule_test"]}
    assert tried == {(rule["alert"], fires) for rule in rules() for fires in (True, False)}


@promtool
def test_promtool_passes_the_rules():
    """Promtool accepts the rules, and their tests pass."""
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=OPS, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_promtool_finds_nothing_in_the_metrics():
    """The metrics' names, help and types follow Prometheus' conventions."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=rendered(), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
