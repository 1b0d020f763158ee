"""The manifests that ship: what Kubernetes and compose would say to them."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from crosshaul.config import load

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.parametrize("name", ["sidecar", "daemonset"])
def test_kubernetes_takes_the_manifests(name):
    """Every object fits Kubernetes' own schema, with no field that it doesn't know."""
    objects = list(yaml.safe_load_all((DEPLOY / f"kubernetes/{name}.yaml").read_text()))
    for each in objects:
        kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


def test_the_sidecars_configuration_is_one(tmp_path):
    """The configuration in the ConfigMap is taken by this version, and drains within the pod's grace."""
    objects = {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes/sidecar.yaml").read_text())}
    file = tmp_path / "config.yaml"
    file.write_text(objects["ConfigMap"]["data"]["config.yaml"])
    config = load(file)
    grace = objects["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert config.shutdown_timeout < grace
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["initContainers"]
    assert container["restartPolicy"] == "Always"
    assert {each["mountPath"] for each in container["volumeMounts"]} >= {
        str(config.state_dir),
        str(config.routes[0].path),
    }
