"""The manifests that ship: what Kubernetes and compose would say to them."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from crosshaul.config import Config, load

WRITER = 30.0
"""Seconds that the writer has for its end (Kubernetes' usual grace)."""
CLOSING = 10.0
DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.parametrize("name", ["sidecar", "daemonset"])
def test_kubernetes_takes_the_manifests(name):
    """Every object fits Kubernetes' own schema, with no field that it doesn't know."""
    objects = list(yaml.safe_load_all((DEPLOY / f"kubernetes/{name}.yaml").read_text()))
    for each in objects:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_the_sidecars_configuration_is_one(tmp_path):
    """The configuration in the ConfigMap is taken by this version, and all of its end fits in the pod's grace."""
    objects = {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes/sidecar.yaml").read_text())}
    file = tmp_path / "config.yaml"
    file.write_text(objects["ConfigMap"]["data"]["config.yaml"])
    config = load(file)
    grace = objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert WRITER + config.shutdown_timeout + CLOSING <= grace
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["initContainers"]
    assert container["restartPolicy"] == "Always"
    assert container["args"] == ["run", "--finish"]
    assert "lifecycle" not in container  # a hook runs while the writer still writes, and takes of its time
    assert {each["mountPath"] for each in container["volumeMounts"]} >= {
        str(config.state_dir),
        str(config.routes[0].path),
    }


def test_the_daemonsets_nodes_can_be_told_apart(tmp_path):
    """The key that the DaemonSet's comment asks for is taken, with the node's name that its pods are given."""
    text = (DEPLOY / "kubernetes/daemonset.yaml").read_text()
    (pod,) = [each["spec"]["template"]["spec"] for each in yaml.safe_load_all(text)]
    (name,) = [each for each in pod["containers"][0]["env"] if each["name"] == "NODE_NAME"]
    assert name["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    key = re.search(r"key: (\S+)", text)[1].strip(",")
    sidecar = list(yaml.safe_load_all((DEPLOY / "kubernetes/sidecar.yaml").read_text()))
    (map_,) = [each for each in sidecar if each["kind"] == "ConfigMap"]
    file = tmp_path / "config.yaml"
    file.write_text(map_["data"]["config.yaml"].replace("path: /exports", f"path: /exports\n    key: {key}"))
    assert load(file, {"NODE_NAME": "node-7"}).routes[0].key == "node-7/{path}"


def test_compose_gives_the_time_that_an_end_takes():
    """The compose file's stop_grace_period covers shutdown_timeout as it is by default, and the closing."""
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["crosshaul"]
    default = Config.model_fields["shutdown_timeout"].default
    assert default + CLOSING <= float(service["stop_grace_period"].removesuffix("s"))
